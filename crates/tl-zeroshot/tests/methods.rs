//! Methods against independent formulas, and on data where the answer is known.

mod synthetic;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Indices, Tensor};
use tl_zeroshot::{
    CadaVae, Conse, Dap, Direction, Eszsl, FClsWgan, FeatureVae, Iap, Method, PrototypeRegression,
    Ranking, RankingLoss, Sae, Seen, Signatures, Split, Test, Xlsa17, ranking_loss, sylvester,
    zsl_accuracy,
};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn synthetic(noise: f32) -> (Seen, Test) {
    let (train, _, unseen) = synthetic::synthetic(noise, 0);
    (train, unseen)
}

fn methods() -> Vec<(Box<dyn Method>, f64)> {
    let to_features = Sae { lambda: 0.2, direction: Direction::SemanticToFeature };
    vec![
        (Box::new(Eszsl::default()), 0.6), // signatures of unequal length
        (Box::new(Sae { lambda: 100.0, ..Sae::default() }), 0.95),
        (Box::new(to_features), 0.95),
        (Box::new(Dap::default()), 0.9),
        (Box::new(Iap::default()), 0.4),
        (Box::new(Conse::default()), 0.3),
        (Box::new(PrototypeRegression { alpha: 0.1 }), 0.95),
        (Box::new(Ranking::devise()), 0.6),
        (Box::new(Ranking::sje()), 0.45),
        (Box::new(Ranking::ale()), 0.45),
        (Box::new(Ranking::deep()), 0.4),
        (Box::new(Ranking::latem(3)), 0.5),
        (Box::new(feature_vae()), 0.7),
        (Box::new(cada_vae()), 0.7),
        (Box::new(f_clswgan()), 0.7),
    ]
}

fn feature_vae() -> FeatureVae {
    FeatureVae { latent: 4, hidden: 64, samples: 60, epochs: 60, lr: 3e-3, ..Default::default() }
}

fn f_clswgan() -> FClsWgan {
    FClsWgan { noise: 6, hidden: 64, samples: 60, steps: 300, lr: 1e-3, ..Default::default() }
}

fn cada_vae() -> CadaVae {
    let (seen_samples, unseen_samples) = (60, 60);
    let small = CadaVae { latent: 8, hidden: 64, lr: 3e-3, ..Default::default() };
    CadaVae { seen_samples, unseen_samples, ..small }
}

#[test]
fn all_methods_find_unseen_classes() {
    let (seen, unseen) = synthetic(0.3);
    for (method, least) in methods() {
        let model = method.fit(&seen).unwrap();
        let accuracy = zsl_accuracy(model.as_ref(), &unseen).unwrap();
        assert!(accuracy >= least, "{}: {accuracy}; chance is 0.25", method.name());
    }
}

#[test]
fn contributions_sum_to_scores() {
    let (seen, unseen) = synthetic(0.3);
    let signature = unseen.classes.table().select(0, 2).unwrap();
    for (method, _) in methods() {
        let model = method.fit(&seen).unwrap();
        let Some(parts) = model.contributions(&unseen.features, &signature).unwrap() else {
            let others = ["SAE", "prototype regression", "feature VAE", "CADA-VAE", "f-CLSWGAN"];
            assert!(others.contains(&method.name()));
            continue;
        };
        let sums = parts.sum(-1, false).unwrap().to_vec();
        let scores = model.scores(&unseen.features, unseen.classes.table()).unwrap();
        for (sum, score) in sums.iter().zip(scores.select(1, 2).unwrap().to_vec()) {
            approx::assert_relative_eq!(*sum, score, max_relative = 1e-3, epsilon = 1e-3);
        }
    }
}

#[test]
fn eszsl_solves_its_normal_equations() {
    let (seen, unseen) = synthetic(0.5);
    let (gamma, lambda) = (2.0_f64, 0.5_f64);
    let model = Eszsl { gamma, lambda }.fit(&seen).unwrap();
    // V from the identity: scores of unit features for unit signatures.
    let v = model.scores(&Tensor::eye(20), &Tensor::eye(6)).unwrap().cast::<f64>();
    let x = seen.features().cast::<f64>();
    let s = seen.signatures().table().cast::<f64>();
    let y = Tensor::<f64>::one_hot(&seen.labels().into(), 8).unwrap();
    let y = y.mul_scalar(2.0).add_scalar(-1.0);
    let t = |a: &Tensor<f64>| a.t().unwrap();
    let mul = |a: &Tensor<f64>, b: &Tensor<f64>| a.matmul(b).unwrap();
    // (XᵀX + γI) V (SᵀS + λI) = XᵀYS.
    let left = mul(&t(&x), &x).add(&Tensor::eye(20).mul_scalar(gamma)).unwrap();
    let right = mul(&t(&s), &s).add(&Tensor::eye(6).mul_scalar(lambda)).unwrap();
    let want = mul(&mul(&t(&x), &y), &s);
    for (a, b) in mul(&mul(&left, &v), &right).to_vec().iter().zip(want.to_vec()) {
        approx::assert_relative_eq!(*a, b, max_relative = 1e-3, epsilon = 1e-2);
    }
    assert_eq!(unseen.classes.len(), 4);
}

#[test]
fn sylvester_solves_its_equation() {
    let root = |n: usize, seed| Tensor::<f64>::randn([n, n], &mut rng(seed));
    let psd = |r: Tensor<f64>| r.t().unwrap().matmul(&r).unwrap();
    let (a, b) = (psd(root(4, 1)), psd(root(5, 2)));
    let c = Tensor::<f64>::randn([4, 5], &mut rng(3));
    let w = sylvester(&a, &b, &c).unwrap();
    let again = a.matmul(&w).unwrap().add(&w.matmul(&b).unwrap()).unwrap();
    for (got, want) in again.to_vec().iter().zip(c.to_vec()) {
        approx::assert_abs_diff_eq!(*got, want, epsilon = 1e-9);
    }
}

#[test]
fn ranking_losses_are_those_of_the_papers() {
    let scores = Tensor::from_vec(vec![0.5, 0.9, 0.2, 0.1, 0.3, 0.0], [2, 3]).unwrap();
    let labels = Indices::from(vec![0, 1]);
    let of = |loss| f64::from(ranking_loss(&scores, &labels, loss).unwrap().item().unwrap());
    // Hinges at margin 0.25: [0.65, 0 (-0.05)] and [0.05, 0 (-0.05)].
    approx::assert_relative_eq!(
        of(RankingLoss::Devise { margin: 0.25 }),
        (0.65 + 0.05) / 2.0,
        max_relative = 1e-5
    );
    approx::assert_relative_eq!(
        of(RankingLoss::Sje { margin: 0.4 }),
        (0.8 + 0.2) / 2.0,
        max_relative = 1e-5
    );
    // At margin 0.4 both others violate: [0.8, 0.1] and [0.2, 0.1], each times
    // (1 + 1/2) / 2.
    approx::assert_relative_eq!(
        of(RankingLoss::Ale { margin: 0.4 }),
        0.75 * (0.9 + 0.3) / 2.0,
        max_relative = 1e-5
    );
}

#[test]
fn attribute_prediction_uses_the_prior() {
    let (seen, unseen) = synthetic(0.1);
    let model = Dap::default().fit(&seen).unwrap();
    // A class with all bits of the truth, against one with one bit turned.
    let scores = model.scores(&unseen.features, unseen.classes.table()).unwrap();
    assert!(scores.is_finite());
    // Embeddings are refused.
    let table = seen.signatures().table().mul_scalar(2.0);
    let names = seen.signatures().names().to_vec();
    let other = Signatures::new(names, table).unwrap();
    let wrong = Seen::new(seen.features().clone(), seen.labels().to_vec(), other).unwrap();
    for method in [&Dap::default() as &dyn Method, &Iap::default()] {
        let error = method.fit(&wrong).unwrap_err().to_string();
        assert!(error.contains("use another method for embeddings"), "{error}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let (seen, _) = synthetic(0.3);
    let wrong: [&dyn Method; 10] = [
        &Eszsl { gamma: 0.0, lambda: 1.0 },
        &Sae { lambda: -1.0, ..Sae::default() },
        &Conse { top: 0, c: 1.0 },
        &Ranking { epochs: 0, ..Ranking::sje() },
        &Ranking { lr: -1e-3, ..Ranking::sje() },
        &Ranking::new(RankingLoss::Ale { margin: -0.1 }),
        &Ranking::new(RankingLoss::CrossEntropy { scale: 0.0 }),
        &FeatureVae { beta: f32::NAN, ..feature_vae() },
        &FeatureVae { lr: 0.0, ..feature_vae() },
        &CadaVae { lr: f32::INFINITY, ..cada_vae() },
    ];
    for method in wrong {
        assert!(method.fit(&seen).unwrap_err().to_string().contains("expected"));
    }
    assert!(serde_json::from_str::<Eszsl>(r#"{"gamma":1,"lambda":1,"beta":1}"#).is_err());
}

#[test]
fn folds_hold_every_class_out_once() {
    let (seen, _) = synthetic(0.3);
    let mut held: Vec<String> = Vec::new();
    for (kept, test) in seen.class_folds(4, 7).unwrap() {
        assert_eq!((kept.classes(), test.classes.len()), (6, 2));
        assert!(test.classes.names().iter().all(|n| !kept.signatures().names().contains(n)));
        assert_eq!(kept.labels().len() + test.labels.len(), seen.labels().len());
        held.extend(test.classes.names().iter().cloned());
    }
    held.sort();
    held.dedup();
    assert_eq!(held.len(), 8);
    assert!(seen.class_folds(9, 0).is_err());
}

#[test]
fn splits_keep_unseen_classes_out_of_training() {
    let digits = tl_data::samples::digits();
    let flat = digits.with_features(&digits.features().flatten(1, -1).unwrap()).unwrap();
    let signatures = tl_zeroshot::seven_segments().unwrap();
    let split = Split::random(&flat, &signatures, 3, 0.25, 5).unwrap();
    assert_eq!((split.train.classes(), split.unseen.classes.len()), (7, 3));
    let total =
        split.train.labels().len() + split.seen_test.labels.len() + split.unseen.labels.len();
    assert_eq!(total, 1797);
    assert!(split.seen_test.labels.iter().all(|&label| label < 7));
    assert!(split.unseen_among_all().labels.iter().all(|&label| (7..10).contains(&label)));
    assert_eq!(split.all.names()[7..], *split.unseen.classes.names());
    let error = Split::new(&flat, &signatures, &["eleven"], 0.2, 0).unwrap_err().to_string();
    assert!(error.contains("eleven"), "{error}");
    assert!(Split::new(&digits, &signatures, &["1"], 0.2, 0).is_err()); // not a matrix
}

#[test]
fn generated_classes_come_and_go_as_in_a_rebuild() {
    let (seen, unseen) = synthetic(0.3);
    let methods: [Box<dyn Method>; 3] =
        [Box::new(feature_vae()), Box::new(cada_vae()), Box::new(f_clswgan())];
    for method in methods {
        let model = method.fit(&seen).unwrap();
        let table = unseen.classes.table();
        let before = model.scores(&unseen.features, table).unwrap().to_vec();
        // Other classes in between, then the same ones again.
        let fewer = table.narrow(0, 0, 2).unwrap();
        assert_eq!(model.scores(&unseen.features, &fewer).unwrap().dims()[1], 2);
        assert_eq!(model.scores(&unseen.features, table).unwrap().to_vec(), before);
        assert_eq!(
            method.fit(&seen).unwrap().scores(&unseen.features, table).unwrap().to_vec(),
            before
        );
    }
    assert!(FeatureVae { latent: 0, ..feature_vae() }.fit(&seen).is_err());
    assert!(CadaVae { epochs: 0, ..cada_vae() }.fit(&seen).is_err());
    assert!(Ranking { maps: 0, ..Ranking::latem(1) }.fit(&seen).is_err());
}

#[test]
fn the_layout_of_xlsa17_is_read() {
    let at = |name: &str| format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let set = Xlsa17::open(at("res101.mat"), at("att_splits.mat")).unwrap();
    assert_eq!(set.features.dims(), [24, 5]);
    assert_eq!(set.signatures.names()[3], "class d");
    let split = set.split().unwrap();
    assert_eq!((split.train.classes(), split.train.labels().len()), (4, 12));
    assert_eq!((split.seen_test.labels.len(), split.unseen.labels.len()), (4, 8));
    assert_eq!(split.unseen.classes.names(), ["class e", "class f"]);
    let model = PrototypeRegression { alpha: 0.01 }.fit(&split.train).unwrap();
    assert_eq!(zsl_accuracy(model.as_ref(), &split.unseen).unwrap(), 1.0);
    let (train, validation) = set.validation.clone().unwrap();
    assert_eq!((train.len(), validation.len()), (9, 3));
    // A file of the wrong kind says what is missing.
    let e = Xlsa17::open(at("att_splits.mat"), at("res101.mat")).unwrap_err();
    assert!(e.to_string().contains("features"), "{e}");
}
