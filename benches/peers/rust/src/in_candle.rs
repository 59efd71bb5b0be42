//! candle.

use crate::{
    Run,
    numbers::{self, Weights, conv_layer, numbers},
};
use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss::cross_entropy, ops};
use std::collections::HashMap;

const CPU: Device = Device::Cpu;

fn tensor(seed: u64, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(numbers(seed, shape), shape, &CPU)
}

fn classes(n: u32, of: u32) -> Result<Tensor> {
    Tensor::from_vec((0..n).map(|i| i % of).collect(), n as usize, &CPU)
}

fn flat(x: &Tensor, wanted: bool) -> Result<Vec<f32>> {
    if wanted { x.flatten_all()?.to_vec1() } else { Ok(Vec::new()) }
}

/// The weights as variables, by name.
struct Net(HashMap<String, Var>);

impl Net {
    fn new(weights: &Weights, names: &[&str]) -> Result<Self> {
        let both = names.iter().flat_map(|n| [format!("{n}.weight"), format!("{n}.bias")]);
        let var = |name: String| {
            let (data, shape) = weights.get(&name);
            Ok((name, Var::from_vec(data, shape, &CPU)?))
        };
        Ok(Self(both.map(var).collect::<Result<_>>()?))
    }

    fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let w = self.0[&format!("{name}.weight")].t()?;
        x.matmul(&w)?.broadcast_add(&self.0[&format!("{name}.bias")])
    }

    fn conv(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let y = x.conv2d(&self.0[&format!("{name}.weight")], 0, 1, 1, 1)?;
        y.broadcast_add(&self.0[&format!("{name}.bias")].reshape((1, (), 1, 1))?)
    }

    fn vars(&self) -> Vec<Var> {
        self.0.values().cloned().collect()
    }
}

fn chain() -> Result<Run> {
    let start: Vec<f32> = (0..16).map(|i| -1.0 + i as f32 * 2.0 / 15.0).collect();
    let x = Var::from_vec(start, 16, &CPU)?;
    let one = Tensor::ones(16, candle_core::DType::F32, &CPU)?;
    Ok(Box::new(move |wanted| {
        let mut y = x.add(&one)?;
        for _ in 1..1000 {
            y = y.add(&one)?;
        }
        let y = y.sum_all()?;
        let slopes = y.backward()?;
        let slope = slopes.get(&x).ok_or("no gradient")?;
        Ok(flat(&slope.broadcast_add(&y)?, wanted)?)
    }))
}

fn mlp() -> Result<Run> {
    let net = Net::new(&numbers::mlp(), &["0", "2", "4"])?;
    let (x, y) = (tensor(1, &[64, 784])?, classes(64, 10)?);
    // AdamW without decay is Adam.
    let params = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..Default::default() };
    let mut adam = AdamW::new(net.vars(), params)?;
    Ok(Box::new(move |wanted| {
        let h = net.linear("0", &x)?.relu()?;
        let h = net.linear("2", &h)?.relu()?;
        let loss = cross_entropy(&net.linear("4", &h)?, &y)?;
        adam.backward_step(&loss)?;
        Ok(flat(&loss, wanted)?)
    }))
}

fn lenet() -> Result<Run> {
    let net = Net::new(&numbers::lenet(), &["0", "3", "7", "9"])?;
    let (x, y) = (tensor(1, &[64, 1, 28, 28])?, classes(64, 10)?);
    let vars = net.vars();
    let mut velocity: Vec<Option<Tensor>> = vec![None; vars.len()];
    Ok(Box::new(move |wanted| {
        let h = net.conv("0", &x)?.relu()?.max_pool2d(2)?;
        let h = net.conv("3", &h)?.relu()?.max_pool2d(2)?.flatten_from(1)?;
        let h = net.linear("7", &h)?.relu()?;
        let loss = cross_entropy(&net.linear("9", &h)?, &y)?;
        // candle's SGD has no momentum.
        let slopes = loss.backward()?;
        for (var, v) in vars.iter().zip(&mut velocity) {
            let g = slopes.get(var).ok_or("no gradient")?;
            let next = match v.take() {
                Some(v) => ((v * 0.9)? + g)?,
                None => g.clone(),
            };
            var.set(&var.sub(&(&next * 0.01)?)?)?;
            *v = Some(next.detach());
        }
        Ok(flat(&loss, wanted)?)
    }))
}

fn transformer() -> Result<Run> {
    let weights = numbers::transformer();
    let get = |name: String| {
        let (data, shape) = weights.get(&name);
        Tensor::from_vec(data, shape, &CPU)
    };
    let mut layers = Vec::new();
    for i in 0..6 {
        let all = [
            "self_attn.in_proj_weight",
            "self_attn.in_proj_bias",
            "self_attn.out_proj.weight",
            "self_attn.out_proj.bias",
            "linear1.weight",
            "linear1.bias",
            "linear2.weight",
            "linear2.bias",
            "norm1.weight",
            "norm1.bias",
            "norm2.weight",
            "norm2.bias",
        ];
        let all = all.map(|part| get(format!("layers.{i}.{part}")));
        layers.push(all.into_iter().collect::<Result<Vec<_>>>()?);
    }
    let x = tensor(1, &[1024, 384])?;
    let linear = |x: &Tensor, w: &Tensor, b: &Tensor| x.matmul(&w.t()?)?.broadcast_add(b);
    Ok(Box::new(move |wanted| {
        let mut x = x.clone();
        for w in &layers {
            let qkv = linear(&x, &w[0], &w[1])?.reshape((16, 64, 3, 12, 32))?;
            let part = |i: usize| qkv.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
            let (q, k, v) = (part(0)?, part(1)?, part(2)?);
            let scores = (q.matmul(&k.t()?)? / 32_f64.sqrt())?;
            let y = ops::softmax_last_dim(&scores)?.matmul(&v)?;
            let y = y.transpose(1, 2)?.reshape((1024, 384))?;
            let y = (&x + linear(&y, &w[2], &w[3])?)?;
            let y = ops::layer_norm(&y, &w[8], &w[9], 1e-5)?;
            let h = linear(&y, &w[4], &w[5])?.gelu_erf()?;
            let y = (&y + linear(&h, &w[6], &w[7])?)?;
            x = ops::layer_norm(&y, &w[10], &w[11], 1e-5)?;
        }
        Ok(flat(&x, wanted)?)
    }))
}

fn conv([batch, inputs, outputs, size, k, stride, groups]: [usize; 7], train: bool) -> Result<Run> {
    let shape = [outputs, inputs / groups, k, k];
    let w = Var::from_vec(numbers::weight(10, "weight", &shape), &shape, &CPU)?;
    let x = Var::from_tensor(&tensor(1, &[batch, inputs, size, size])?)?;
    if !train {
        let (x, w) = (x.as_detached_tensor(), w.as_detached_tensor());
        return Ok(Box::new(move |wanted| {
            Ok(flat(&x.conv2d(&w, k / 2, stride, 1, groups)?, wanted)?)
        }));
    }
    let slope = tensor(2, x.conv2d(&w, k / 2, stride, 1, groups)?.dims())?;
    Ok(Box::new(move |wanted| {
        let y = x.conv2d(&w, k / 2, stride, 1, groups)?;
        let slopes = y.mul(&slope)?.sum_all()?.backward()?;
        slopes.get(&x).ok_or("no gradient")?;
        Ok(flat(slopes.get(&w).ok_or("no gradient")?, wanted)?)
    }))
}

pub fn workload(name: &str) -> std::result::Result<Run, Box<dyn std::error::Error>> {
    if let Some((layer, kind)) = name.rsplit_once('_') {
        if let Some(sizes) = conv_layer(layer) {
            return Ok(conv(sizes, kind == "train")?);
        }
    }
    Ok(match name {
        "chain1000" => chain()?,
        "mlp_step" => mlp()?,
        "lenet_step" => lenet()?,
        "transformer_fwd" => transformer()?,
        _ => return Err(format!("no twin of {name} in candle").into()),
    })
}
