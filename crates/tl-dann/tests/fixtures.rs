//! Losses, plans and projections against the independent formulas of
//! `tools/fixtures/dann.py` (POT, SciPy and loops in PyTorch).

use tl_dann::*;
use tl_nn::{StateDict, Tensor as Single};
use tl_tensor::Tensor;

type Loss = fn(&[Tensor<f64>]) -> Result<Tensor<f64>>;

fn one(bands: &[f64]) -> Kernels {
    Kernels::Fixed(bands.to_vec())
}

fn joint(v: &[Tensor<f64>], form: MmdForm) -> Result<Tensor<f64>> {
    let layers = [(&v[0], &v[1]), (&v[2], &v[3])];
    joint_mmd(&layers, &[one(&[2.0, 5.0]), one(&[3.0])], form)
}

/// The inputs of a case, and its loss.
fn cases() -> Vec<(&'static str, &'static [&'static str], Loss)> {
    vec![
        ("mmd_biased", &["s", "t"], |v| mmd(&v[0], &v[1], &one(&[1.5, 4.0]), MmdForm::Biased)),
        ("mmd_unbiased", &["s", "t"], |v| mmd(&v[0], &v[1], &one(&[1.5, 4.0]), MmdForm::Unbiased)),
        ("mmd_linear", &["s", "t"], |v| mmd(&v[0], &v[1], &one(&[1.5, 4.0]), MmdForm::Linear)),
        ("mmd_mean", &["s", "t"], |v| mmd(&v[0], &v[1], &Kernels::default(), MmdForm::Unbiased)),
        ("jmmd_biased", &["s", "t", "s2", "t2"], |v| joint(v, MmdForm::Biased)),
        ("jmmd_unbiased", &["s", "t", "s2", "t2"], |v| joint(v, MmdForm::Unbiased)),
        ("jmmd_linear", &["s", "t", "s2", "t2"], |v| joint(v, MmdForm::Linear)),
        ("coral", &["s", "t"], |v| coral(&v[0], &v[1])),
        ("cmd", &["s", "t"], |v| central_moments(&v[0], &v[1], 5, 2.0)),
        ("safn", &["s"], |v| feature_norm(&v[0], 1.0)),
        ("hafn", &["s"], |v| hard_feature_norm(&v[0], 25.0)),
        ("bsp", &["s"], |v| spectral_penalty(&v[0], 1)),
        ("domain", &["s", "t"], |v| domain_loss(&v[0], &v[1], None)),
        ("domain_entropy", &["s", "t", "zs", "zt"], |v| {
            let weights = |z: &Tensor<f64>| entropy_weights(&z.softmax(-1)?);
            domain_loss(&v[0], &v[1], Some((&weights(&v[2])?, &weights(&v[3])?)))
        }),
        ("mdd", &["a", "b", "zs", "zt"], |v| mdd_loss((&v[2], &v[0]), (&v[3], &v[1]), 4.0)),
        ("mcd", &["a", "zs"], |v| mcd_discrepancy(&v[0], &v[1])),
        ("osbp", &["z"], |v| open_set_loss(&v[0], 0.5)),
        ("mcc", &["z"], |v| class_confusion(&v[0], 2.5)),
        ("entropy", &["z"], |v| entropy(&v[0])),
        ("im", &["z"], |v| information_maximisation(&v[0])),
        ("fixmatch", &["a", "teacher"], |v| Ok(pseudo_label_loss(&v[0], &v[1], 0.6)?.0)),
        ("deep_jdot", &["s", "t", "z", "plan"], |v| {
            let labels = Tensor::one_hot(&[0, 1, 2, 3, 0, 1].into(), 4)?;
            transport_cost(&v[3], &joint_cost((&v[0], &v[1]), &labels, &v[2], (0.2, 0.7))?)
        }),
    ]
}

fn file() -> StateDict {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/losses.safetensors");
    StateDict::open(path).unwrap()
}

fn read(file: &StateDict, case: &str, key: &str) -> Tensor<f64> {
    file.tensor(&format!("{case}/{key}")).unwrap().cast::<f64>()
}

fn same(what: &str, ours: &Tensor<f64>, theirs: &Tensor<f64>, tolerance: f64) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let scale = theirs.to_vec().iter().fold(0.1_f64, |a, b| a.max(b.abs()));
    for (a, b) in ours.to_vec().iter().zip(theirs.to_vec()) {
        assert!((a - b).abs() < tolerance * scale, "{what}: {a}, the reference gives {b}");
    }
}

#[test]
fn losses_and_their_gradients_are_those_of_the_definitions() {
    let file = file();
    for (name, inputs, loss) in cases() {
        let mut all: Vec<Tensor<f64>> =
            inputs.iter().map(|key| read(&file, name, &format!("in.{key}"))).collect();
        all[0] = all[0].requires_grad();
        let ours = loss(&all).unwrap();
        same(name, &ours.detach(), &read(&file, name, "out"), 2e-6);
        let gradients = ours.backward().unwrap();
        same(name, gradients.get(&all[0]).unwrap(), &read(&file, name, "grad"), 2e-6);
    }
}

#[test]
fn maps_of_features_and_predictions() {
    let file = file();
    let get = |case: &str, key: &str| read(&file, case, &format!("in.{key}"));
    let plain = multilinear(&get("cdan_map", "f"), &get("cdan_map", "p"), None).unwrap();
    same("cdan_map", &plain, &read(&file, "cdan_map", "out"), 2e-6);
    let of = |key| get("cdan_random", key);
    let random = multilinear(&of("f"), &of("p"), Some((&of("rf"), &of("rp")))).unwrap();
    same("cdan_random", &random, &read(&file, "cdan_random", "out"), 2e-6);
}

#[test]
fn plans_are_those_of_pot() {
    let file = file();
    let cost = read(&file, "sinkhorn", "in.cost");
    let plan = sinkhorn(&cost, 0.3, 2000).unwrap();
    same("sinkhorn", &plan, &read(&file, "sinkhorn", "out"), 2e-6);
    same("cost", &transport_cost(&plan, &cost).unwrap(), &read(&file, "sinkhorn", "cost"), 2e-6);
    let labels = Tensor::one_hot(&[0, 1, 2, 0, 1, 2, 0].into(), 3).unwrap();
    let brought = propagate_labels(&plan, &labels).unwrap();
    same("propagate", &brought, &read(&file, "propagate", "out"), 2e-6);
    let moved = transport_map(&plan, &read(&file, "barycentric", "in.x")).unwrap();
    same("barycentric", &moved, &read(&file, "barycentric", "out"), 2e-6);
}

#[test]
fn neighbourhood_density_is_that_of_the_definition() {
    let file = file();
    let z: Single = file.tensor("snd/in.z").unwrap();
    let x = Single::zeros([2, 1]);
    let evidence = Evidence {
        source_features: &x,
        source_logits: &Single::zeros([2, 3]),
        source_labels: &[0, 1],
        target_features: &z,
        target_logits: &z,
    };
    let ours = Validator::NeighbourhoodDensity.score(&evidence).unwrap();
    same("snd", &Tensor::full([1], ours), &read(&file, "snd", "out"), 1e-4);
}

#[test]
fn projections_of_features_are_those_of_scipy() {
    let file = file();
    let (s, t): (Single, Single) =
        (file.tensor("gfk/in.s").unwrap(), file.tensor("gfk/in.t").unwrap());
    let inner = |(a, b): (Single, Single)| a.matmul(&b.t().unwrap()).unwrap().cast::<f64>();
    let moved = align_coral(&s, &t, 1.0).unwrap().cast::<f64>();
    same("align_coral", &moved, &read(&file, "align_coral", "out"), 1e-4);
    let subspaces = inner(align_subspaces(&s, &t, 2).unwrap());
    same("subspaces", &subspaces, &read(&file, "subspaces", "out"), 1e-4);
    same("gfk", &inner(geodesic_flow(&s, &t, 2).unwrap()), &read(&file, "gfk", "out"), 1e-4);
    let (a, b) = transfer_components(&s, &t, 2, 0.5, Some(10.0)).unwrap();
    let z = Single::cat(&[&a, &b], 0).unwrap();
    same("tca", &inner((z.clone(), z)), &read(&file, "tca", "out"), 1e-4);
}

/// The weights of a flat objective differ more than its value.
#[test]
fn mean_matching_reaches_the_optimum_of_the_programme() {
    let file = file();
    let (s, t): (Single, Single) =
        (file.tensor("kmm/in.s").unwrap(), file.tensor("kmm/in.t").unwrap());
    let ours = kernel_mean_matching(&s, &t, 1000.0, 5000).unwrap();
    let theirs = read(&file, "kmm", "out").to_vec();
    for (a, b) in ours.iter().zip(&theirs) {
        assert!((a - b).abs() < 0.02 * b.max(1.0), "{ours:?}, SLSQP gives {theirs:?}");
    }
}
