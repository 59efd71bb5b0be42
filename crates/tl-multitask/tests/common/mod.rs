//! What several test files use.
#![allow(dead_code, unreachable_pub)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_multitask::{HardSharing, Labels, Task};
use tl_nn::{Act, Error, Linear, Module, ModuleExt, Sequential, Tensor};

pub type Net = HardSharing<Sequential, Linear>;

pub fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

/// A perceptron of 3 inputs with a head of each size.
pub fn net(outputs: &[usize]) -> Net {
    let mut rng = rng();
    let trunk = Sequential::new().push(Linear::new(3, 12, &mut rng)).push(Act::Tanh);
    let heads = outputs.iter().map(|&n| Linear::new(12, n, &mut rng)).collect();
    HardSharing { trunk, heads }
}

/// Three flower measurements; species and petal width are to be found.
pub struct Flowers {
    pub x: Tensor,
    pub labels: Labels,
}

pub fn flowers() -> Flowers {
    let iris = tl_data::samples::iris();
    let x = iris.features();
    let x = x.sub(&x.mean(0, true).unwrap()).unwrap();
    let width = x.narrow(1, 3, 1).unwrap().to_vec();
    let species: Vec<_> = iris.labels().unwrap().iter().map(|l| Some(*l)).collect();
    let labels = Labels::new(150).classes("species", 3, &species).unwrap();
    let labels = labels.numbers("width", &width).unwrap();
    Flowers { x: x.narrow(1, 0, 3).unwrap(), labels }
}

pub fn tasks() -> [Task; 2] {
    [Task::classification("species"), Task::regression("width")]
}

/// A batch with everything, once an epoch.
pub fn once(_: usize) -> [Result<Vec<usize>, Error>; 1] {
    [Ok((0..150).collect())]
}

/// Three batches, in which all species are.
pub fn thirds(_: usize) -> Vec<Result<Vec<usize>, Error>> {
    (0..3).map(|k| Ok((k..150).step_by(3).collect())).collect()
}

pub fn numbers<M: Module>(model: &M) -> Vec<f32> {
    model.params().iter().flat_map(|(_, p)| p.tensor().to_vec()).collect()
}
