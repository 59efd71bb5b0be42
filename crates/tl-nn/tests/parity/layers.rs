//! Layers: loaded by PyTorch's names, forward, gradients, statistics.

use super::{close, read};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{
    Act, AttentionMask, BatchNorm, Conv, Conv1d, Conv2d, ConvTranspose2d, Ctx, Embedding, Forward,
    GradOptions, GroupNorm, Gru, Indices, InstanceNorm2d, LayerNorm, Linear, Load, Lstm, Module,
    ModuleExt, MultiHeadAttention, Result, StateDict, Tensor, TransformerEncoderLayer, grad,
};

/// Loads the case's state dict, runs `forward`, and compares.
fn check<M: Module>(
    file: &StateDict,
    case: &str,
    mut layer: M,
    train: bool,
    forward: impl FnOnce(&M, &Tensor, &mut Ctx) -> Result<Tensor>,
) {
    let part = file.part_of(case);
    let params = part.section("param");
    if !params.is_empty() {
        let report = layer.load(&params, &Load::strict()).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert!(report.is_complete());
    }
    let x = part.get("in.x").unwrap();
    let x = if x.dtype() == tl_nn::Dtype::I64 {
        x.to_tensor().unwrap()
    } else {
        x.to_tensor().unwrap().requires_grad()
    };
    let mut cx = if train { Ctx::train(0) } else { Ctx::eval() };
    let y = forward(&layer, &x, &mut cx).unwrap_or_else(|e| panic!("{case}: {e}"));
    close(case, &y, &part.tensor("out").unwrap(), 2e-5);

    let loss = y.mul(&part.tensor("seed").unwrap()).unwrap().sum_all();
    let named = layer.params();
    let mut wanted: Vec<(String, &Tensor)> =
        named.iter().map(|(path, p)| (path.clone(), p.tensor())).collect();
    if x.is_tracked() {
        wanted.push(("x".to_owned(), &x));
    }
    let leaves: Vec<&Tensor> = wanted.iter().map(|(_, t)| *t).collect();
    let gradients = grad(&loss, &leaves, GradOptions::new()).unwrap();
    for ((path, _), gradient) in wanted.iter().zip(gradients) {
        let name = format!("grad.{path}");
        close(&format!("{case}/{name}"), &gradient, &part.tensor(&name).unwrap(), 5e-5);
    }

    layer.apply(cx.take_updates()).unwrap();
    let after = layer.state_dict();
    let moved = part.section("after");
    for (name, weight) in moved.iter() {
        let what = format!("{case}/after.{name}");
        close(&what, &after.tensor(name).unwrap(), &weight.to_tensor().unwrap(), 1e-5);
    }
}

/// The parts of a file whose names are joined by `/` and `.`.
trait Parts {
    fn part_of(&self, case: &str) -> StateDict;
    fn section(&self, name: &str) -> StateDict;
}

impl Parts for StateDict {
    fn part_of(&self, case: &str) -> StateDict {
        let mut part = StateDict::new();
        for (name, weight) in self.iter() {
            if let Some(rest) = name.strip_prefix(case).and_then(|r| r.strip_prefix('/')) {
                part.insert(rest, weight.clone());
            }
        }
        assert!(!part.is_empty(), "no case {case}");
        part
    }

    fn section(&self, name: &str) -> StateDict {
        self.part(name)
    }
}

#[test]
fn layers_are_those_of_pytorch() {
    let file = read("layers");
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    fn plain<M: Forward>(m: &M, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        m.forward(x, cx)
    }
    check(&file, "linear", Linear::new(5, 3, rng), true, plain);
    let conv1d = Conv1d::new(4, 3, 3, rng).options(Conv::new().stride(2).padding(1));
    check(&file, "conv1d", conv1d, true, plain);
    let conv2d = Conv2d::grouped(4, 6, [3, 3], 2, rng).options(Conv::new().padding(1).groups(2));
    check(&file, "conv2d", conv2d.without_bias(), true, plain);
    let up = ConvTranspose2d::new(4, 2, 3, rng).options(Conv::new().stride(2).padding(1), [1, 1]);
    check(&file, "conv_transpose2d", up, true, plain);
    for (case, channels) in [("batch_norm1d", 5), ("batch_norm1d_line", 4), ("batch_norm2d", 4)] {
        check(&file, case, BatchNorm::new(channels), true, plain);
        check(&file, &format!("{case}_eval"), BatchNorm::new(channels), false, plain);
    }
    check(&file, "layer_norm", LayerNorm::new(5), true, plain);
    check(&file, "group_norm", GroupNorm::new(2, 4), true, plain);
    check(&file, "instance_norm2d", InstanceNorm2d::new(), true, plain);
    check(&file, "instance_norm2d_affine", InstanceNorm2d::affine(4), true, plain);
    check(&file, "embedding", Embedding::new(7, 3, rng).padding(2), true, |m, x, _| {
        let indices: Vec<usize> = x.to_vec().into_iter().map(|i| i as usize).collect();
        m.forward(&Indices::from_vec(indices, *x.shape())?)
    });
}

#[test]
fn attention_is_that_of_pytorch() {
    let file = read("layers");
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let padding = Tensor::from_slice(&[1., 1., 1., 1., 1., 1., 1., 1., 0., 0.], [2, 5]).unwrap();
    for (case, mask) in [
        ("attention", AttentionMask::default()),
        ("attention_padding", AttentionMask { keys: Some(padding), ..AttentionMask::default() }),
        ("attention_causal", AttentionMask { causal: true, ..AttentionMask::default() }),
    ] {
        let layer = MultiHeadAttention::new(8, 2, rng).unwrap();
        check(&file, case, layer, true, |m, x, cx| m.forward_self(x, &mask, cx));
    }
    let layer = || {
        TransformerEncoderLayer::new(8, 2, 16, &mut ChaCha8Rng::seed_from_u64(0))
            .unwrap()
            .dropout(0.0)
    };
    check(&file, "transformer_post", layer(), true, Forward::forward);
    let pre = layer().norm_first().activation(Act::Gelu);
    check(&file, "transformer_pre", pre, true, Forward::forward);
}

#[test]
fn recurrent_layers_are_those_of_pytorch() {
    let file = read("layers");
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    for (case, layers, both) in [("gru", 1, false), ("gru_both", 2, true)] {
        let gru = Gru::new(8, 3, layers, both, rng).unwrap();
        check(&file, case, gru, true, |m, x, cx| Ok(m.forward(x, cx)?.0));
    }
    for (case, layers, both) in [("lstm", 1, false), ("lstm_both", 2, true)] {
        let lstm = Lstm::new(8, 3, layers, both, rng).unwrap();
        check(&file, case, lstm, true, |m, x, cx| Ok(m.forward(x, cx)?.0));
    }
}
