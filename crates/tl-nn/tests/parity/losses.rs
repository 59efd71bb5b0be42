//! Losses, with their gradients.

use super::{close, read};
use tl_nn::{GradOptions, Reduction::Mean, Tensor, grad, loss};

#[test]
fn losses_are_those_of_pytorch() {
    let file = read("losses");
    let w = Tensor::from_slice(&[0.5, 3.0, 1.0], 3).unwrap();
    let signs = Tensor::from_slice(&[1.0, -1.0, 1.0, -1.0], 4).unwrap();
    type Case<'a> =
        (&'a str, &'a [&'a str], Box<dyn Fn(&[Tensor]) -> tl_tensor::Result<Tensor> + 'a>);
    let cases: Vec<Case<'_>> = vec![
        ("mse", &["x", "t"], Box::new(|v| loss::mse(&v[0], &v[1], Mean))),
        ("l1", &["x", "t"], Box::new(|v| loss::l1(&v[0], &v[1], Mean))),
        ("huber", &["x", "t"], Box::new(|v| loss::huber(&v[0], &v[1], 0.7, Mean))),
        ("smooth_l1", &["x", "t"], Box::new(|v| loss::smooth_l1(&v[0], &v[1], 0.7, Mean))),
        ("bce", &["x", "t"], Box::new(|v| loss::bce_with_logits(&v[0], &v[1], Some(&w), Mean))),
        (
            "nll",
            &["x"],
            Box::new(|v| loss::nll(&v[0].log_softmax(1)?, &[0, 2, 1, 2].into(), Some(&w), Mean)),
        ),
        ("kl", &["x", "t"], Box::new(|v| loss::kl_div(&v[0].log_softmax(1)?, &v[1], Mean))),
        ("kl_log", &["x", "t"], Box::new(|v| loss::kl_div_log(&v[0].log_softmax(1)?, &v[1], Mean))),
        (
            "cosine",
            &["x", "t"],
            Box::new(|v| loss::cosine_embedding(&v[0], &v[1], &signs, -0.5, Mean)),
        ),
        ("triplet", &["x", "t", "n"], Box::new(|v| loss::triplet(&v[0], &v[1], &v[2], 2.0, Mean))),
    ];
    for (case, inputs, f) in cases {
        let read = |name: &str| file.tensor(&format!("{case}/{name}")).unwrap();
        let leaves: Vec<Tensor> =
            inputs.iter().map(|name| read(&format!("in.{name}")).requires_grad()).collect();
        let y = f(&leaves).unwrap();
        close(case, &y, &read("out"), 1e-5);
        let total = y.mul(&read("seed")).unwrap();
        let all: Vec<&Tensor> = leaves.iter().collect();
        for (name, gradient) in inputs.iter().zip(grad(&total, &all, GradOptions::new()).unwrap()) {
            // Targets of these have no gradient in PyTorch's fixtures.
            if !(*name == "t" && ["bce", "kl", "kl_log"].contains(&case)) {
                let name = format!("grad.{name}");
                close(&format!("{case}/{name}"), &gradient, &read(&name), 1e-5);
            }
        }
    }
}
