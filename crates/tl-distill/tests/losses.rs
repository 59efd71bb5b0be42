//! Every loss against the independent formulas of `tools/fixtures/distill.py`,
//! and its gradient against finite differences.

use rand::SeedableRng;
use tl_distill::*;
use tl_nn::{Ctx, Indices, ModuleExt, StateDict, Tensor};
use tl_tensor::{GradCheck, gradcheck};

type Loss = fn(&[Tensor<f64>]) -> tl_tensor::Result<Tensor<f64>>;

fn labels() -> Indices {
    [0, 2, 4, 1].into()
}

/// The inputs of a case, student first, and its loss.
fn cases() -> Vec<(&'static str, &'static [&'static str], Loss)> {
    vec![
        ("kd", &["s", "t"], |v| kd(&v[0], &v[1], 3.0)),
        ("standardised_kd", &["s", "t"], |v| standardised_kd(&v[0], &v[1], 2.0)),
        ("dkd", &["s", "t"], |v| dkd(&v[0], &v[1], &labels(), 1.0, 8.0, 4.0)),
        ("dist", &["s", "t"], |v| dist(&v[0], &v[1], 2.0, 0.5, 1.5)),
        ("logit_mse", &["s", "t"], |v| logit_mse(&v[0], &v[1])),
        ("pseudo_label", &["s", "t"], |v| pseudo_label(&v[0], &v[1], 0.5)),
        ("multi_teacher_kd", &["s", "t", "u"], |v| {
            multi_teacher_kd(&v[0], &[&v[1], &v[2]], Some(&[1.0, 3.0]), 2.0)
        }),
        ("bounded_regression", &["s", "t", "y"], |v| bounded_regression(&v[0], &v[1], &v[2], 0.5)),
        ("token_kd", &["s", "t", "mask"], |v| token_kd(&v[0], &v[1], &v[2], 2.0)),
        ("embedding_cosine", &["s", "t"], |v| embedding_cosine(&v[0], &v[1])),
        ("similarity_kl", &["s", "t"], |v| similarity_kl(&v[0], &v[1], 0.3)),
        ("margin_mse", &["s", "n", "t"], |v| margin_mse(&v[0], &v[1], &v[2])),
        ("attention", &["s", "t"], |v| attention(&v[0], &v[1])),
        ("similarity_preserving", &["s", "t"], |v| similarity_preserving(&v[0], &v[1])),
        ("pkt", &["s", "t"], |v| pkt(&v[0], &v[1])),
        ("rkd_distance", &["s", "t"], |v| rkd_distance(&v[0], &v[1])),
        ("rkd_angle", &["s", "t"], |v| rkd_angle(&v[0], &v[1])),
        ("nst", &["s", "t"], |v| nst(&v[0], &v[1])),
        ("flow", &["s", "s2", "t", "t2"], |v| flow([&v[0], &v[1]], [&v[2], &v[3]])),
        ("vid", &["s", "t", "raw"], |v| vid(&v[0], &v[1], &v[2])),
        ("hierarchical_context", &["s", "t"], |v| hierarchical_context(&v[0], &v[1])),
        ("hint", &["s", "t"], |v| hint(&v[0], &v[1])),
        ("embedding_mse", &["s", "t"], |v| embedding_mse(&v[0], &v[1])),
        ("score_kl", &["s", "t"], |v| score_kl(&v[0], &v[1], 0.5)),
        ("sequence_kd", &["s", "mask"], |v| {
            let tokens = Indices::from_vec(vec![1, 4, 0, 2, 2, 3], [2, 3])?;
            sequence_kd(&v[0], &tokens, &v[1])
        }),
        ("contrast", &["s", "t"], |v| contrast(&v[0], &v[1], 0.5, 2.0, 10)),
    ]
}

fn fixtures() -> StateDict {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/losses.safetensors");
    StateDict::open(path).unwrap()
}

#[test]
fn losses_are_those_of_the_definitions() {
    let file = fixtures();
    for (name, inputs, loss) in cases() {
        let read = |key: &str| file.tensor(&format!("{name}/{key}")).unwrap().cast::<f64>();
        let mut all: Vec<Tensor<f64>> =
            inputs.iter().map(|key| read(&format!("in.{key}"))).collect();
        all[0] = all[0].requires_grad();
        let ours = loss(&all).unwrap();
        let (a, b) = (ours.item().unwrap(), read("out").item().unwrap());
        assert!((a - b).abs() < 2e-6 * b.abs().max(0.1), "{name}: {a}, the definition gives {b}");
        let gradient = ours.backward().unwrap();
        let ours = gradient.get(&all[0]).unwrap().to_vec();
        for (i, (a, b)) in ours.into_iter().zip(read("grad").to_vec()).enumerate() {
            assert!((a - b).abs() < 1e-5, "gradient of {name}[{i}]: {a}, expected {b}");
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let file = fixtures();
    for (name, inputs, loss) in cases() {
        let read = |key: &&str| file.tensor(&format!("{name}/in.{key}")).unwrap().cast::<f64>();
        let all: Vec<Tensor<f64>> = inputs.iter().map(read).collect();
        let of_student = |s: &[Tensor<f64>]| {
            let mut all = all.clone();
            all[0] = s[0].clone();
            loss(&all)
        };
        gradcheck(of_student, &all[..1], GradCheck::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn no_gradient_flows_to_the_teacher() {
    let file = fixtures();
    for (name, inputs, loss) in cases() {
        let Some(at) = inputs.iter().position(|k| *k == "t") else { continue };
        let read = |key: &&str| file.tensor(&format!("{name}/in.{key}")).unwrap().cast::<f64>();
        let mut all: Vec<Tensor<f64>> = inputs.iter().map(read).collect();
        all[at] = all[at].requires_grad();
        assert!(!loss(&all).unwrap().is_tracked(), "{name}");
    }
}

#[test]
fn a_student_that_is_its_teacher_has_no_loss() {
    let file = fixtures();
    let zero_at_teacher = [
        "kd",
        "standardised_kd",
        "dkd",
        "dist",
        "logit_mse",
        "embedding_cosine",
        "similarity_kl",
        "similarity_preserving",
        "pkt",
        "rkd_distance",
        "rkd_angle",
        "nst",
        "attention",
        "hierarchical_context",
    ];
    for (name, inputs, loss) in cases() {
        if !zero_at_teacher.contains(&name) {
            continue;
        }
        assert_eq!(inputs.len(), 2);
        let t = file.tensor(&format!("{name}/in.t")).unwrap().cast::<f64>();
        let own = loss(&[t.clone(), t]).unwrap().item().unwrap();
        assert!(own.abs() < 2e-6, "{name}: {own}");
    }
}

#[test]
fn the_size_of_the_gradient_hardly_depends_on_the_temperature() {
    let file = fixtures();
    let t = file.tensor("kd/in.t").unwrap();
    let size = |temperature: f64| {
        let s = file.tensor("kd/in.s").unwrap().requires_grad();
        let gradient = kd(&s, &t, temperature).unwrap().backward().unwrap();
        gradient.get(&s).unwrap().square().sum_all().item().unwrap().sqrt()
    };
    // Without T² the second would be 100 times smaller.
    let ratio = size(200.0) / size(20.0);
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
}

#[test]
fn a_hot_kd_is_half_the_error_of_centred_logits() {
    let file = fixtures();
    let centre = |key: &str| {
        let z = file.tensor(key).unwrap().cast::<f64>();
        z.sub(&z.mean([1], true).unwrap()).unwrap()
    };
    let (s, t) = (centre("kd/in.s"), centre("kd/in.t"));
    let hot = kd(&s, &t, 1e4).unwrap().item().unwrap();
    let mse = logit_mse(&s, &t).unwrap().item().unwrap();
    assert!((hot - mse / 2.0).abs() < 1e-3 * mse, "{hot} {mse}");
}

#[test]
fn equal_logits_and_features_give_finite_gradients() {
    let flat = Tensor::<f64>::zeros([4, 5]).requires_grad();
    let t = fixtures().tensor("kd/in.t").unwrap().cast::<f64>();
    let losses: [Loss; 7] = [
        |v| rkd_distance(&v[0], &v[1]),
        |v| kd(&v[0], &v[1], 3.0),
        |v| standardised_kd(&v[0], &v[1], 2.0),
        |v| dist(&v[0], &v[1], 1.0, 1.0, 1.0),
        |v| similarity_preserving(&v[0], &v[1]),
        |v| pkt(&v[0], &v[1]),
        |v| rkd_angle(&v[0], &v[1]),
    ];
    for (i, loss) in losses.iter().enumerate() {
        let gradient = loss(&[flat.clone(), t.clone()]).unwrap().backward().unwrap();
        assert!(gradient.get(&flat).unwrap().is_finite(), "loss {i}");
    }
}

#[test]
fn several_equal_teachers_are_one() {
    let file = fixtures();
    let (s, t) = (file.tensor("kd/in.s").unwrap(), file.tensor("kd/in.t").unwrap());
    let one = kd(&s, &t, 3.0).unwrap().item().unwrap();
    let three = multi_teacher_kd(&s, &[&t, &t, &t], None, 3.0).unwrap().item().unwrap();
    assert!((one - three).abs() < 1e-5);
}

#[test]
fn sequences_count_only_what_the_mask_keeps() {
    let z = Tensor::<f64>::zeros([1, 2, 4]);
    let mask = Tensor::from_vec(vec![1.0, 0.0], [1, 2]).unwrap();
    let tokens = Indices::from_vec(vec![3, 0], [1, 2]).unwrap();
    let loss = sequence_kd(&z, &tokens, &mask).unwrap().item().unwrap();
    assert!((loss - 4.0_f64.ln()).abs() < 1e-12);
    let nothing = token_kd(&z, &z, &Tensor::zeros([1, 2]), 1.0).unwrap_err().to_string();
    assert!(nothing.contains("a place to learn from"), "{nothing}");
}

#[test]
fn bad_input_is_named() {
    let (a, b) = (Tensor::<f64>::zeros([4, 5]), Tensor::<f64>::zeros([4, 6]));
    let two = Tensor::<f64>::zeros([4, 2]);
    let says = |result: tl_tensor::Result<Tensor<f64>>, text: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    says(kd(&a, &b, 1.0), "one shape");
    says(kd(&a, &a, 0.0), "temperature is 0");
    says(kd(&a, &a, f64::NAN), "temperature is NaN");
    says(dkd(&two, &two, &labels(), 1.0, 8.0, 4.0), "at least 3");
    says(dkd(&a, &a, &[0, 1].into(), 1.0, 8.0, 4.0), "a label for each row");
    says(dkd(&a, &a, &[0, 1, 2, 5].into(), 1.0, 8.0, 4.0), "5");
    says(
        dist(&a.narrow(0, 0, 1).unwrap(), &a.narrow(0, 0, 1).unwrap(), 1.0, 1.0, 1.0),
        "n at least 2",
    );
    says(pseudo_label(&a, &a, 1.5), "from 0 to 1");
    says(multi_teacher_kd(&a, &[], None, 1.0), "at least one");
    says(multi_teacher_kd(&a, &[&a, &a], Some(&[0.0, 0.0]), 1.0), "not all 0");
    says(attention(&a, &a), "maps [n, channels, height, width]");
    says(vid(&a, &a, &Tensor::zeros([4])), "a variance [c]");
}

fn near(what: &str, ours: &Tensor, theirs: &Tensor, most: f32) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    for (i, (a, b)) in ours.to_vec().into_iter().zip(theirs.to_vec()).enumerate() {
        assert!((a - b).abs() <= most * b.abs().max(1.0), "{what}[{i}]: {a}, expected {b}");
    }
}

#[test]
fn the_memory_of_crd_goes_the_way_of_the_authors_code() {
    let file = fixtures();
    let read = |key: &str| file.tensor(&format!("crd/{key}")).unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let crd = Crd::new(8, 4, 3, &mut rng).unwrap().temperature(0.3).unwrap();
    let mut crd = crd.with_banks(&read("bank.s"), &read("bank.t")).unwrap();
    for step in 0..2 {
        let read = |key: &str| read(&format!("{step}/{key}"));
        let whole = |key: &str| -> Vec<usize> {
            read(key).to_vec().into_iter().map(|x| x as usize).collect()
        };
        let s = read("s").requires_grad();
        let (samples, candidates) = (whole("samples"), whole("candidates"));
        let loss = crd.loss_with(&s, &read("t"), &samples, &candidates).unwrap();
        near("crd", &loss.detach(), &read("out"), 1e-5);
        let gradient = loss.backward().unwrap();
        near("gradient of crd", gradient.get(&s).unwrap(), &read("grad"), 1e-5);
        near("student's memory", &crd.banks()[0], &read("bank.s"), 1e-6);
        near("teacher's memory", &crd.banks()[1], &read("bank.t"), 1e-6);
    }
    assert!(crd.loss(&Tensor::zeros([2, 3]), &Tensor::zeros([2, 3]), &[0, 1], &mut rng).is_err());
    assert!(crd.loss(&Tensor::ones([1, 4]), &Tensor::ones([1, 4]), &[8], &mut rng).is_err());
}

#[test]
fn review_fuses_as_the_authors_code() {
    let file = fixtures();
    let read = |key: &str| file.tensor(&format!("review/{key}")).unwrap();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    let mut review = Review::new(&[3, 4, 2], &[4, 5, 6], &mut rng).unwrap();
    review.for_each_param(|path, param| Ok(param.set_data(&read(path))?)).unwrap();
    let s: Vec<Tensor> = (0..3).map(|i| read(&format!("s.{i}")).requires_grad()).collect();
    let t: Vec<Tensor> = (0..3).map(|i| read(&format!("t.{i}"))).collect();
    let (s, t): (Vec<&Tensor>, Vec<&Tensor>) = (s.iter().collect(), t.iter().collect());
    let mut cx = Ctx::train(0);
    let loss = review.loss(&s, &t, &mut cx).unwrap();
    assert_eq!(cx.take_updates().len(), 3 * 6);
    near("review", &loss.detach(), &read("out"), 1e-5);
    let gradient = loss.backward().unwrap();
    for (i, s) in s.iter().enumerate() {
        near("gradient", gradient.get(s).unwrap(), &read(&format!("grad.{i}")), 2e-5);
    }
    for (path, param) in review.params() {
        let expected = read(&format!("grad.{path}"));
        near(&path, gradient.get(param.tensor()).unwrap(), &expected, 2e-5);
    }
    assert!(Review::new(&[3], &[4, 5], &mut rng).is_err());
    assert!(review.loss(&s[..2], &t[..2], &mut cx).unwrap_err().to_string().contains("3 of each"));
}
