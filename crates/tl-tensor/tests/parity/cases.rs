//! Each case of the file, in our words.

use super::Inputs;
use tl_tensor::{
    Attention, Conv, CrossEntropy, Indices, PadMode, Pool, Reduction, Result, Tensor, Triangle,
};

type Case = (&'static str, fn(&Inputs<'_>) -> Result<Tensor>);

fn labels() -> Indices {
    [0, 3, 1, 1, 2, 0].into()
}

fn weights() -> Tensor {
    Tensor::from_slice(&[0.5, 2.0, 1.0, 1.5], 4).unwrap()
}

fn index() -> Indices {
    Indices::from_vec(vec![2, 0, 1, 1, 0, 0, 2, 1], [2, 4]).unwrap()
}

fn pad(i: &Inputs<'_>, mode: PadMode) -> Result<Tensor> {
    i.get("x").pad(3, 2, 1, mode)
}

pub(crate) const CASES: &[Case] = &[
    ("neg", |i| Ok(i.get("x").neg())),
    ("abs", |i| Ok(i.get("x").abs())),
    ("sign", |i| Ok(i.get("x").sign())),
    ("exp", |i| Ok(i.get("x").exp())),
    ("expm1", |i| Ok(i.get("x").expm1())),
    ("square", |i| Ok(i.get("x").square())),
    ("sin", |i| Ok(i.get("x").sin())),
    ("cos", |i| Ok(i.get("x").cos())),
    ("tanh", |i| Ok(i.get("x").tanh())),
    ("sigmoid", |i| Ok(i.get("x").sigmoid())),
    ("relu", |i| Ok(i.get("x").relu())),
    ("leaky_relu", |i| Ok(i.get("x").leaky_relu(0.1))),
    ("elu", |i| Ok(i.get("x").elu(0.7))),
    ("gelu", |i| Ok(i.get("x").gelu())),
    ("gelu_tanh", |i| Ok(i.get("x").gelu_tanh())),
    ("silu", |i| Ok(i.get("x").silu())),
    ("softplus", |i| Ok(i.get("x").softplus())),
    ("hardswish", |i| Ok(i.get("x").hardswish())),
    ("erf", |i| Ok(i.get("x").erf())),
    ("clamp", |i| Ok(i.get("x").clamp(-0.5, 0.8))),
    ("floor", |i| Ok(i.get("x").floor())),
    ("round", |i| Ok(i.get("x").round())),
    ("log", |i| Ok(i.get("x").log())),
    ("log1p", |i| Ok(i.get("x").log1p())),
    ("sqrt", |i| Ok(i.get("x").sqrt())),
    ("rsqrt", |i| Ok(i.get("x").rsqrt())),
    ("recip", |i| Ok(i.get("x").recip())),
    ("powf", |i| Ok(i.get("x").powf(2.5))),
    ("add", |i| i.get("a").add(&i.get("b"))),
    ("sub", |i| i.get("a").sub(&i.get("b"))),
    ("mul", |i| i.get("a").mul(&i.get("b"))),
    ("div", |i| i.get("a").div(&i.get("b"))),
    ("pow", |i| i.get("a").pow(&i.get("b"))),
    ("maximum", |i| i.get("a").maximum(&i.get("b"))),
    ("minimum", |i| i.get("a").minimum(&i.get("b"))),
    ("lerp", |i| i.get("a").lerp(&i.get("b"), &i.get("w"))),
    ("addcmul", |i| i.get("x").addcmul(&i.get("a"), &i.get("b"), 0.3)),
    ("where", |i| Tensor::where_cond(&i.constant("mask"), &i.get("a"), &i.get("b"))),
    ("masked_fill", |i| i.get("a").masked_fill(&i.constant("mask"), -2.0)),
    ("sum_axis", |i| i.get("x").sum([0, 2], false)),
    ("mean_keep", |i| i.get("x").mean(1, true)),
    ("prod", |i| i.get("x").prod(2, false)),
    ("max", |i| i.get("x").max([1, 2], false)),
    ("min", |i| i.get("x").min(0, false)),
    ("var", |i| i.get("x").var(1, true, false)),
    ("var_biased", |i| i.get("x").var([0, 1], false, false)),
    ("std", |i| i.get("x").std(2, true, false)),
    ("norm", |i| i.get("x").norm([1, 2], false)),
    ("logsumexp", |i| i.get("x").logsumexp(1, false)),
    ("cumsum", |i| i.get("x").cumsum(1)),
    ("matmul", |i| i.get("a").matmul(&i.get("b"))),
    ("matmul_batched", |i| i.get("a").matmul(&i.get("b"))),
    ("matmul_vector", |i| i.get("a").matmul(&i.get("b"))),
    ("linear", |i| i.get("x").linear(&i.get("w"), Some(&i.get("b")))),
    ("einsum", |i| Tensor::einsum("bij,jik->kb", &[&i.get("a"), &i.get("b")])),
    ("cholesky", |i| i.get("a").cholesky()),
    ("inverse", |i| i.get("a").inverse()),
    ("solve", |i| i.get("a").solve(&i.get("b"))),
    ("logdet", |i| i.get("a").logdet()),
    ("triangular", |i| i.get("a").triangular_solve(&i.get("b"), Triangle::lower())),
    ("diagonal", |i| i.get("x").diagonal(1, 1, 2)),
    ("tril", |i| i.get("x").tril(-1)),
    ("conv2d", |i| Conv::new().conv2d(&i.get("x"), &i.get("w"), Some(&i.get("b")))),
    ("conv2d_options", |i| {
        let conv = Conv::new().strides([2, 1]).paddings([1, 2]).dilations([1, 2]);
        conv.conv2d(&i.get("x"), &i.get("w"), Some(&i.get("b")))
    }),
    ("conv2d_groups", |i| Conv::new().padding(1).groups(2).conv2d(&i.get("x"), &i.get("w"), None)),
    ("conv2d_depthwise", |i| {
        Conv::new().padding(1).groups(4).stride(2).conv2d(&i.get("x"), &i.get("w"), None)
    }),
    ("conv1d", |i| {
        let conv = Conv::new().stride(2).padding(1).dilation(2);
        conv.conv1d(&i.get("x"), &i.get("w"), Some(&i.get("b")))
    }),
    ("conv_transpose2d", |i| {
        let conv = Conv::new().stride(2).padding(1);
        conv.conv_transpose2d(&i.get("x"), &i.get("w"), Some(&i.get("b")), [0, 0])
    }),
    ("max_pool2d", |i| i.get("x").max_pool2d(Pool::new(3).stride(2).padding(1))),
    ("avg_pool2d", |i| i.get("x").avg_pool2d(Pool::new(3).stride(2).padding(1))),
    ("avg_pool2d_inside", |i| {
        i.get("x").avg_pool2d(Pool::new(3).stride(2).padding(1).count_padding(false))
    }),
    ("adaptive_avg_pool2d", |i| i.get("x").adaptive_avg_pool2d([3, 4])),
    ("adaptive_max_pool2d", |i| i.get("x").adaptive_max_pool2d([3, 4])),
    ("pad_reflect", |i| pad(i, PadMode::Reflect)),
    ("pad_replicate", |i| pad(i, PadMode::Replicate)),
    ("pad_circular", |i| pad(i, PadMode::Circular)),
    ("resize_nearest", |i| i.get("x").resize_nearest([10, 4])),
    ("resize_bilinear", |i| i.get("x").resize_bilinear([10, 4], false)),
    ("resize_corners", |i| i.get("x").resize_bilinear([4, 9], true)),
    ("unfold", |i| Conv::new().padding(1).stride(2).unfold(&i.get("x"), [3, 2])),
    ("fold", |i| Conv::new().strides([2, 1]).fold(&i.get("x"), [2, 3], [7, 6])),
    ("softmax", |i| i.get("x").softmax(1)),
    ("log_softmax", |i| i.get("x").log_softmax(-1)),
    ("ce", |i| CrossEntropy::new().loss(&i.get("x"), &labels())),
    ("ce_smooth", |i| {
        CrossEntropy::new().weight(weights()).label_smoothing(0.1).loss(&i.get("x"), &labels())
    }),
    ("ce_ignore", |i| {
        CrossEntropy::new().weight(weights()).ignore_index(1).loss(&i.get("x"), &labels())
    }),
    ("ce_none", |i| CrossEntropy::new().reduction(Reduction::None).loss(&i.get("x"), &labels())),
    ("ce_soft", |i| {
        CrossEntropy::new().label_smoothing(0.2).soft_loss(&i.get("x"), &i.constant("t"))
    }),
    ("layer_norm", |i| i.get("x").layer_norm(&[5], Some(&i.get("w")), Some(&i.get("b")), 1e-5)),
    ("group_norm", |i| i.get("x").group_norm(2, Some(&i.get("w")), Some(&i.get("b")), 1e-5)),
    ("rms_norm", |i| i.get("x").rms_norm(Some(&i.get("w")), 1e-5)),
    ("batch_norm", |i| {
        Ok(i.get("x").batch_norm(Some(&i.get("w")), Some(&i.get("b")), 1e-5)?.output)
    }),
    ("attention", |i| Attention::new().forward(&i.get("q"), &i.get("k"), &i.get("v"))),
    ("attention_mask", |i| {
        Attention::new().keep(i.constant("keep")).forward(&i.get("q"), &i.get("k"), &i.get("v"))
    }),
    ("attention_causal", |i| {
        Attention::new().causal(true).forward(&i.get("q"), &i.get("k"), &i.get("v"))
    }),
    ("gather", |i| i.get("x").gather(0, &index())),
    ("scatter_add", |i| i.get("x").scatter_add(0, &index(), &i.get("s"))),
    ("index_select", |i| i.get("x").index_select(1, &[2, 2, 0].into())),
    ("index_add", |i| i.get("x").index_add(0, &[2, 2, 0].into(), &i.get("s"))),
    ("embedding", |i| i.get("w").embedding(&Indices::from_vec(vec![4, 0, 4, 2], [2, 2])?)),
    ("sort", |i| Ok(i.get("x").sort(2, true)?.0)),
    ("topk", |i| Ok(i.get("x").topk(2, 1, true)?.0)),
    ("roll", |i| i.get("x").roll(2, -2)),
    ("flip", |i| i.get("x").flip([0, 2])),
];
