//! What PyTorch computes, value and gradient, for every operation that it
//! has. The file comes from `tools/fixtures/generate.py`, which names the
//! version.

mod cases;

use cases::CASES;
use safetensors::SafeTensors;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};
use tl_tensor::{GradOptions, Shape, Tensor, vjp};

/// The inputs of a case; those that were asked for are its variables.
struct Inputs<'a> {
    all: &'a BTreeMap<String, Tensor>,
    case: &'a str,
    asked: RefCell<Vec<(String, Tensor)>>,
}

impl Inputs<'_> {
    /// A variable.
    fn get(&self, name: &str) -> Tensor {
        let leaf = self.constant(name).requires_grad();
        self.asked.borrow_mut().push((name.to_owned(), leaf.clone()));
        leaf
    }

    /// Without a gradient.
    fn constant(&self, name: &str) -> Tensor {
        self.all[&format!("{}/in.{name}", self.case)].clone()
    }
}

fn read() -> BTreeMap<String, Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/operations.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| {
            let data: Vec<f32> =
                view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
            let shape = Shape::new(view.shape()).unwrap();
            (name.to_owned(), Tensor::from_vec(data, shape).unwrap())
        })
        .collect()
}

/// Equal up to `1e-5` of the tensor's largest number.
fn close(what: &str, ours: &Tensor, theirs: &Tensor) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let theirs = theirs.to_vec();
    let scale = theirs.iter().fold(0.01_f32, |s, x| s.max(x.abs()));
    for (i, (a, b)) in ours.to_vec().into_iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= 1e-5 * scale, "{what}[{i}]: {a}, PyTorch has {b}");
    }
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let all = read();
    for (case, function) in CASES {
        let inputs = Inputs { all: &all, case, asked: RefCell::default() };
        let y = function(&inputs).unwrap_or_else(|e| panic!("{case}: {e}"));
        close(case, &y, &all[&format!("{case}/out")]);
        let asked = inputs.asked.into_inner();
        let leaves: Vec<&Tensor> = asked.iter().map(|(_, t)| t).collect();
        let seed = &all[&format!("{case}/seed")];
        let gradients = vjp(&y, &leaves, seed, GradOptions::new()).unwrap();
        for ((name, _), gradient) in asked.iter().zip(gradients) {
            let what = format!("{case}/grad.{name}");
            close(&what, &gradient, &all[&what]);
        }
    }
}

#[test]
fn every_case_of_the_file_is_checked() {
    let all = read();
    let there: BTreeSet<&str> = all.keys().filter_map(|k| k.split('/').next()).collect();
    let here: BTreeSet<&str> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(there, here);
}
