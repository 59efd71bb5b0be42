//! Losses and their gradients against reference implementations: lightly and the
//! authors' code, as `tools/fixtures/self_supervised.py` runs them.

use tl_nn::StateDict;
use tl_ssl::*;
use tl_tensor::Tensor;

type Loss = fn(&[Tensor<f64>]) -> Result<Tensor<f64>>;

/// What is learned, what is constant, the loss.
type Case = (&'static str, &'static [&'static str], &'static [&'static str], Loss);

fn labels(x: &Tensor<f64>) -> Vec<usize> {
    x.to_vec().iter().map(|y| *y as usize).collect()
}

fn cases() -> Vec<Case> {
    vec![
        ("nt_xent_0.5", &["a", "b"], &[], |v| nt_xent(&v[0], &v[1], 0.5)),
        ("nt_xent_0.07", &["a", "b"], &[], |v| nt_xent(&v[0], &v[1], 0.07)),
        ("sup_con", &["z"], &["labels"], |v| sup_con(&v[0], &labels(&v[1]), 0.1)),
        ("three_views", &["z"], &[], |v| nt_xent_views(&v[0].chunk(3, 0)?, 0.1)),
        ("moco", &["q", "k"], &["queue"], |v| info_nce(&v[0], &v[1], &v[2], 0.07)),
        ("simcse", &["a", "b"], &[], |v| simcse(&v[0], &v[1], 0.05)),
        // lightly has -cos, BYOL 2 - 2 cos.
        ("negative_cosine", &["p", "z"], &[], |v| {
            Ok(negative_cosine(&v[0], &v[1])?.mul_scalar(0.5).add_scalar(-1.0))
        }),
        ("byol", &["p", "z"], &[], |v| negative_cosine(&v[0], &v[1])),
        ("barlow", &["a", "b"], &[], |v| barlow_twins(&v[0], &v[1], 0.0051)),
        ("vicreg", &["a", "b"], &[], |v| vicreg(&v[0], &v[1], &VicReg::default())),
        ("swav", &["a", "b"], &[], |v| swav(&v[0], &v[1], 0.1, 0.05)),
        ("dino", &["s1", "s2"], &["t1", "t2", "centre"], |v| {
            let one = |s: usize, t: usize| dino(&v[s], &v[t], &v[4], 0.1, 0.04);
            Ok(one(0, 3)?.add(&one(1, 2)?)?.mul_scalar(0.5))
        }),
        ("mae", &["pred"], &["x", "mask"], |v| mae_loss(&v[0], &v[1], &v[2], 2, false)),
        ("mae_standardised", &["pred"], &["x", "mask"], |v| mae_loss(&v[0], &v[1], &v[2], 2, true)),
    ]
}

fn fixtures() -> StateDict {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/losses.safetensors");
    StateDict::open(path).unwrap()
}

fn close(name: &str, got: f64, want: f64) {
    assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{name}: {got}, expected {want}");
}

#[test]
fn losses_and_gradients_are_those_of_the_references() {
    let file = fixtures();
    for (name, learned, constant, loss) in cases() {
        let read = |key: String| file.tensor(&format!("{name}/{key}")).map(|t| t.cast::<f64>());
        let input = |key: &&str| read(format!("in.{key}")).unwrap();
        let learned_in: Vec<_> = learned.iter().map(|k| input(k).requires_grad()).collect();
        let all: Vec<_> = learned_in.iter().cloned().chain(constant.iter().map(input)).collect();
        let ours = loss(&all).unwrap();
        close(name, ours.item().unwrap(), read("out".to_owned()).unwrap().item().unwrap());
        let gradients = ours.backward().unwrap();
        for (key, variable) in learned.iter().zip(&learned_in) {
            match (gradients.get(variable), read(format!("grad.{key}"))) {
                (Some(got), Ok(want)) => {
                    for (a, b) in got.to_vec().into_iter().zip(want.to_vec()) {
                        close(&format!("gradient of {name} by {key}"), a, b);
                    }
                }
                // A constant there is a constant here.
                (got, want) => assert!(got.is_none() && want.is_err(), "{name}: {key}"),
            }
        }
    }
}

#[test]
fn measures_are_those_of_the_references() {
    let file = fixtures();
    let read = |key: &str| file.tensor(key).unwrap();
    let out = |name: &str| f64::from(read(&format!("{name}/out")).item().unwrap());
    let now = health(&read("rank_me/in.x")).unwrap();
    close("rank", now.rank, out("rank_me"));
    close("uniformity", now.uniformity, out("uniformity"));
    let got = alignment(&read("alignment/in.a"), &read("alignment/in.b")).unwrap();
    close("alignment", got, out("alignment"));
}
