//! burn, with its CPU backend flex.

use crate::{
    Run,
    numbers::{self, Weights, conv_layer, numbers},
};
use burn::{
    backend::{Autodiff, Flex},
    module::{Module, Param},
    nn::{
        Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        loss::{CrossEntropyLoss, CrossEntropyLossConfig},
    },
    optim::{AdamConfig, GradientsParams, Optimizer, SgdConfig, momentum::MomentumConfig},
    tensor::{
        Int, Tensor, TensorData,
        activation::{gelu, relu},
        backend::Backend,
        module::{attention, conv2d, linear, max_pool2d},
        ops::ConvOptions,
    },
};

type Cpu = Flex;
type Train = Autodiff<Flex>;

fn tensor<B: Backend, const N: usize>(seed: u64, shape: [usize; N]) -> Tensor<B, N> {
    Tensor::from_data(TensorData::new(numbers(seed, &shape), shape), &Default::default())
}

fn named<B: Backend, const N: usize>(weights: &Weights, name: &str) -> Tensor<B, N> {
    let (data, shape) = weights.get(name);
    Tensor::from_data(TensorData::new(data, shape), &Default::default())
}

fn classes<B: Backend>(n: i32, of: i32) -> Tensor<B, 1, Int> {
    let all: Vec<i32> = (0..n).map(|i| i % of).collect();
    Tensor::from_data(TensorData::new(all, [n as usize]), &Default::default())
}

fn flat<B: Backend, const N: usize>(x: Tensor<B, N>, wanted: bool) -> Result<Vec<f32>, String> {
    if !wanted {
        return Ok(Vec::new());
    }
    x.into_data().to_vec().map_err(|e| format!("{e:?}"))
}

fn linear_layer<B: Backend>(weights: &Weights, name: &str) -> Linear<B> {
    // burn keeps a linear layer's weight as [in, out].
    let w: Tensor<B, 2> = named(weights, &format!("{name}.weight"));
    let [outputs, inputs] = w.dims();
    let mut layer = LinearConfig::new(inputs, outputs).init(&Default::default());
    layer.weight = Param::from_tensor(w.transpose());
    layer.bias = Some(Param::from_tensor(named(weights, &format!("{name}.bias"))));
    layer
}

fn conv_module<B: Backend>(weights: &Weights, name: &str) -> Conv2d<B> {
    let w: Tensor<B, 4> = named(weights, &format!("{name}.weight"));
    let [outputs, inputs, k, _] = w.dims();
    let config = Conv2dConfig::new([inputs, outputs], [k, k]).with_padding(PaddingConfig2d::Valid);
    let mut layer = config.init(&Default::default());
    layer.weight = Param::from_tensor(w);
    layer.bias = Some(Param::from_tensor(named(weights, &format!("{name}.bias"))));
    layer
}

#[derive(Module, Debug)]
struct Mlp<B: Backend> {
    a: Linear<B>,
    b: Linear<B>,
    c: Linear<B>,
}

#[derive(Module, Debug)]
struct LeNet<B: Backend> {
    a: Conv2d<B>,
    b: Conv2d<B>,
    c: Linear<B>,
    d: Linear<B>,
}

fn cross_entropy() -> CrossEntropyLoss<Train> {
    CrossEntropyLossConfig::new().init(&Default::default())
}

fn chain() -> Run {
    let start: Vec<f32> = (0..16).map(|i| -1.0 + i as f32 * 2.0 / 15.0).collect();
    let x: Tensor<Train, 1> =
        Tensor::from_data(TensorData::new(start, [16]), &Default::default()).require_grad();
    let one: Tensor<Train, 1> = Tensor::ones([16], &Default::default());
    Box::new(move |wanted| {
        let mut y = x.clone() + one.clone();
        for _ in 1..1000 {
            y = y + one.clone();
        }
        let y = y.sum();
        let slopes = y.backward();
        let slope = x.grad(&slopes).ok_or("no gradient")?;
        Ok(flat(slope + y.inner(), wanted)?)
    })
}

fn mlp() -> Run {
    let weights = numbers::mlp();
    let mut net = Mlp::<Train> {
        a: linear_layer(&weights, "0"),
        b: linear_layer(&weights, "2"),
        c: linear_layer(&weights, "4"),
    };
    let (x, y) = (tensor::<Train, 2>(1, [64, 784]), classes::<Train>(64, 10));
    let entropy = cross_entropy();
    let mut adam = AdamConfig::new().with_epsilon(1e-8).init::<Train, Mlp<Train>>();
    Box::new(move |wanted| {
        let h = relu(net.a.forward(x.clone()));
        let h = relu(net.b.forward(h));
        let loss = entropy.forward(net.c.forward(h), y.clone());
        let slopes = GradientsParams::from_grads(loss.backward(), &net);
        net = adam.step(1e-3, net.clone(), slopes);
        Ok(flat(loss, wanted)?)
    })
}

fn lenet() -> Run {
    let weights = numbers::lenet();
    let mut net = LeNet::<Train> {
        a: conv_module(&weights, "0"),
        b: conv_module(&weights, "3"),
        c: linear_layer(&weights, "7"),
        d: linear_layer(&weights, "9"),
    };
    let (x, y) = (tensor::<Train, 4>(1, [64, 1, 28, 28]), classes::<Train>(64, 10));
    let entropy = cross_entropy();
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let mut sgd = SgdConfig::new().with_momentum(Some(momentum)).init::<Train, LeNet<Train>>();
    let pool = |x| max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], false);
    Box::new(move |wanted| {
        let h = pool(relu(net.a.forward(x.clone())));
        let h: Tensor<Train, 2> = pool(relu(net.b.forward(h))).flatten(1, 3);
        let h = relu(net.c.forward(h));
        let loss = entropy.forward(net.d.forward(h), y.clone());
        let slopes = GradientsParams::from_grads(loss.backward(), &net);
        net = sgd.step(0.01, net.clone(), slopes);
        Ok(flat(loss, wanted)?)
    })
}

fn norm(x: Tensor<Cpu, 3>, weight: &Tensor<Cpu, 1>, bias: &Tensor<Cpu, 1>) -> Tensor<Cpu, 3> {
    let (variance, mean) = x.clone().var_mean_bias(2);
    (x - mean) / (variance + 1e-5).sqrt() * weight.clone().unsqueeze() + bias.clone().unsqueeze()
}

fn transformer() -> Run {
    let weights = numbers::transformer();
    let layers: Vec<_> = (0..6)
        .map(|i| {
            let matrix =
                |n: &str| named::<Cpu, 2>(&weights, &format!("layers.{i}.{n}weight")).transpose();
            let vector = |n: &str| named::<Cpu, 1>(&weights, &format!("layers.{i}.{n}"));
            let matrices =
                ["self_attn.in_proj_", "self_attn.out_proj.", "linear1.", "linear2."].map(matrix);
            let biases = [
                "self_attn.in_proj_bias",
                "self_attn.out_proj.bias",
                "linear1.bias",
                "linear2.bias",
                "norm1.weight",
                "norm1.bias",
                "norm2.weight",
                "norm2.bias",
            ];
            (matrices, biases.map(vector))
        })
        .collect();
    let x = tensor::<Cpu, 3>(1, [16, 64, 384]);
    Box::new(move |wanted| {
        let mut x = x.clone();
        for (w, b) in &layers {
            let dense = |x, i: usize| linear(x, w[i].clone(), Some(b[i].clone()));
            let qkv: Tensor<Cpu, 5> = dense(x.clone(), 0).reshape([16, 64, 3, 12, 32]);
            let part = |i: usize| -> Tensor<Cpu, 4> {
                qkv.clone().narrow(2, i, 1).squeeze_dim::<4>(2).swap_dims(1, 2)
            };
            let y = attention(part(0), part(1), part(2), None, None, Default::default());
            let y: Tensor<Cpu, 3> = y.swap_dims(1, 2).reshape([16, 64, 384]);
            let y = norm(x + dense(y, 1), &b[4], &b[5]);
            let h = gelu(dense(y.clone(), 2));
            x = norm(y + dense(h, 3), &b[6], &b[7]);
        }
        Ok(flat(x, wanted)?)
    })
}

fn conv([batch, inputs, outputs, size, k, stride, groups]: [usize; 7], train: bool) -> Run {
    let shape = [outputs, inputs / groups, k, k];
    let w = TensorData::new(numbers::weight(10, "weight", &shape), shape);
    let options = ConvOptions::new([stride; 2], [k / 2; 2], [1, 1], groups);
    if !train {
        let w: Tensor<Cpu, 4> = Tensor::from_data(w, &Default::default());
        let x = tensor::<Cpu, 4>(1, [batch, inputs, size, size]);
        return Box::new(move |wanted| {
            Ok(flat(conv2d(x.clone(), w.clone(), None, options.clone()), wanted)?)
        });
    }
    let w: Tensor<Train, 4> = Tensor::from_data(w, &Default::default()).require_grad();
    let x = tensor::<Train, 4>(1, [batch, inputs, size, size]).require_grad();
    let out = conv2d(x.clone(), w.clone(), None, options.clone()).dims();
    let slope = tensor::<Train, 4>(2, out);
    Box::new(move |wanted| {
        let y = conv2d(x.clone(), w.clone(), None, options.clone());
        let slopes = (y * slope.clone()).sum().backward();
        x.grad(&slopes).ok_or("no gradient")?;
        Ok(flat(w.grad(&slopes).ok_or("no gradient")?, wanted)?)
    })
}

pub fn workload(name: &str) -> Result<Run, String> {
    if let Some((layer, kind)) = name.rsplit_once('_')
        && let Some(sizes) = conv_layer(layer)
    {
        return Ok(conv(sizes, kind == "train"));
    }
    Ok(match name {
        "chain1000" => chain(),
        "mlp_step" => mlp(),
        "lenet_step" => lenet(),
        "transformer_fwd" => transformer(),
        _ => return Err(format!("no twin of {name} in burn")),
    })
}
