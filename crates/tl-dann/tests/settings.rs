//! Several sources, a few target labels, classes that one domain lacks, streams.

mod common;

use common::{blobs, model, normalised, right, rng};
use tl_dann::{
    Adaptation, Classifier, DomainBatchNorm, Domains, Embedding, InDomain, Method, OpenSet,
    Projection, StreamNorm, Tent, TentSettings, Transfer, Validator, Warning, choose, diagnose,
    importance_weighted_risk, logistic_ratio, warnings,
};
use tl_data::{Dataset, transform::GaussianNoise};
use tl_nn::{Act, Ctx, Forward, Linear, ModuleExt, Sequential, Tensor, metric::predictions};

fn quick(method: Method) -> Adaptation {
    Adaptation { batch: 32, ..Adaptation::new(method).epochs(12) }
}

#[test]
fn several_sources_are_learned_together() {
    let (a, b) = (blobs(1, &[90; 3], 0.0), blobs(2, &[60; 3], -1.0));
    let target = blobs(3, &[80; 3], 1.2);
    let domains = Domains::new(&a, &target).source(&b);
    assert_eq!(domains.target_domain(), 2);
    for method in [Method::Mdan { gamma: 10.0 }, Method::Dann, Method::DeepCoral] {
        let mut model = model(3);
        let run = quick(method).fit_domains(&mut model, &domains).unwrap();
        assert!(right(&model, &a) > 0.9 && right(&model, &b) > 0.9, "{method:?}");
        assert!(run.train.history.records[0].train.contains_key("loss.alignment"));
    }
    let other = blobs(4, &[20; 2], 0.0);
    let error = quick(Method::Dann)
        .fit_domains(&mut model(3), &Domains::new(&a, &target).source(&other))
        .unwrap_err();
    assert!(error.to_string().contains("as in the first source"), "{error}");
}

#[test]
fn a_few_target_labels_help() {
    let (source, target) = (blobs(1, &[90; 3], 0.0), blobs(3, &[80; 3], 2.4));
    let (few, rest) = target.k_shot(4, &mut rng(1)).unwrap();
    let fit = |domains: &Domains| {
        let mut model = model(3);
        quick(Method::SourceOnly).fit_domains(&mut model, domains).unwrap();
        right(&model, &rest)
    };
    let without = fit(&Domains::new(&source, &rest));
    let with = fit(&Domains::new(&source, &rest).few(&few));
    assert!(with > without + 0.1, "{without} without, {with} with four labels a class");
}

#[test]
fn partial_adaptation_turns_from_classes_that_the_target_lacks() {
    let source = blobs(1, &[80; 4], 0.0);
    let target = blobs(2, &[120, 120, 0, 0], 0.8);
    let mut model = model(4);
    let run = quick(Method::Pada).fit(&mut model, &source, &target).unwrap();
    assert!(right(&model, &target) > 0.85, "{}", right(&model, &target));
    assert!(run.train.best.is_none(), "no validator that wants all classes");
}

#[test]
fn open_set_adaptation_finds_what_is_unknown() {
    let source = blobs(1, &[100; 3], 0.0);
    let source = Dataset::classification(
        source.features().clone(),
        source.labels().unwrap().to_vec(),
        ["a", "b", "c"],
    )
    .unwrap();
    let target = blobs(2, &[70; 4], 0.4);
    // Eight steps an epoch: after 30 epochs p(unknown) is not yet at the boundary,
    // and all samples look known.
    let fit = Adaptation { epochs: 240, ..quick(Method::Osbp { boundary: 0.5 }) };
    let mut open = model(4);
    fit.fit(&mut open, &source, &target).unwrap();
    let logits = open.forward(target.features(), &mut Ctx::eval()).unwrap();
    let said = predictions(&logits).unwrap();
    let scores = OpenSet::new(&said, target.labels().unwrap(), 3).unwrap();
    assert!(scores.known > 0.95 && scores.unknown > 0.9, "{scores:?}");
    let error = fit.fit(&mut model(3), &source, &target).unwrap_err().to_string();
    assert!(error.contains("one for what is unknown"), "{error}");
}

#[test]
fn domain_specific_normalisation_learns_in_two_stages() {
    let (source, target) = (blobs(1, &[90; 3], 0.0), blobs(3, &[90; 3], 2.0));
    let mut rng = rng(7);
    let encoder = Sequential::new()
        .push(Linear::new(4, 16, &mut rng))
        .push(DomainBatchNorm::new(16, 2))
        .push(Act::Relu);
    let unadapted = Classifier { encoder, head: Linear::new(16, 3, &mut rng) };
    let mut model = unadapted.clone();
    let plain = {
        let mut plain = normalised(3);
        quick(Method::SourceOnly).fit(&mut plain, &source, &target).unwrap();
        right(&plain, &target)
    };
    quick(Method::Dsbn).fit(&mut model, &source, &target).unwrap();
    let on_target = InDomain { model: model.clone(), domain: 1 };
    assert!(right(&on_target, &target) > plain, "{} {plain}", right(&on_target, &target));
    // A last stage on the target leaves the source's layers as they are.
    let mut refined = unadapted.clone();
    quick(Method::Dsbn).refined().fit(&mut refined, &source, &target).unwrap();
    let source_layer = |m: &Classifier<Sequential>| {
        m.state_dict().tensor("encoder.1.domains.0.weight").unwrap().to_vec()
    };
    assert_eq!(source_layer(&refined), source_layer(&model));
    let refined = InDomain { model: refined, domain: 1 };
    assert!(right(&refined, &target) >= right(&on_target, &target));
    // The wrong statistics are worse: the domain has to be said.
    assert!(right(&on_target, &target) > right(&InDomain { model, domain: 0 }, &target));
    let error = quick(Method::Dsbn).fit(&mut normalised(3), &source, &target).unwrap_err();
    assert!(error.to_string().contains("DomainBatchNorm"), "{error}");
}

#[test]
fn rare_classes_are_drawn_as_often_as_others() {
    let (source, target) = (blobs(1, &[200, 200, 8], 0.0), blobs(3, &[60; 3], 0.6));
    let fit = |adaptation: Adaptation| {
        let mut model = model(3);
        adaptation.epochs(4).fit(&mut model, &source, &target).unwrap();
        let logits = model.forward(target.features(), &mut Ctx::eval()).unwrap();
        let said = predictions(&logits).unwrap();
        said[120..].iter().filter(|c| **c == 2).count()
    };
    let (plain, balanced) =
        (fit(quick(Method::SourceOnly)), fit(quick(Method::SourceOnly).balanced()));
    assert!(balanced > plain, "{plain} of 60 rare samples plainly, {balanced} balanced");
}

#[test]
fn views_of_ones_own_are_used() {
    let (source, target) = (blobs(1, &[60; 3], 0.0), blobs(3, &[60; 3], 0.8));
    let fit = |domains: &Domains| {
        let mut model = model(3);
        let method = Method::FixMatch { confidence: 0.4 };
        quick(method).epochs(3).fit_domains(&mut model, domains).unwrap();
        model.state_dict().to_bytes().unwrap()
    };
    let plain = Domains::new(&source, &target);
    assert_eq!(fit(&plain), fit(&plain));
    let own = plain.clone().views(GaussianNoise::new(0.0), GaussianNoise::new(1.0));
    assert_ne!(fit(&plain), fit(&own));
}

#[test]
fn every_training_batch_is_augmented_for_every_method() {
    let (source, target) = (blobs(1, &[60; 3], 0.0), blobs(3, &[60; 3], 0.8));
    for method in [Method::SourceOnly, Method::Dann, Method::Shot, Method::Mcd { steps: 1 }] {
        let fit = |domains: &Domains| {
            let mut model = model(3);
            quick(method).epochs(2).fit_domains(&mut model, domains).unwrap();
            model.state_dict().to_bytes().unwrap()
        };
        let plain = Domains::new(&source, &target);
        let noisy = plain.clone().augment(GaussianNoise::new(0.5));
        assert_ne!(fit(&plain), fit(&noisy), "{method:?}");
        assert_eq!(fit(&plain), fit(&plain.clone().augment(GaussianNoise::new(0.0))));
        assert_eq!(fit(&noisy), fit(&noisy));
    }
}

#[test]
fn a_last_stage_on_the_target_makes_it_surer() {
    let (source, target) = (blobs(1, &[90; 3], 0.0), blobs(3, &[90; 3], 1.4));
    let fit = |adaptation: Adaptation| {
        let mut model = normalised(3);
        let run = adaptation.fit(&mut model, &source, &target).unwrap();
        (right(&model, &target), run.score(Validator::InformationMaximisation))
    };
    let (before, vague) = fit(quick(Method::Dann));
    let (after, sure) = fit(quick(Method::Dann).refined());
    assert!(sure > vague && after >= before, "{before} {after}, {vague} {sure}");
}

#[test]
fn the_epoch_and_the_settings_are_chosen_without_target_labels() {
    let (source, target) = (blobs(1, &[60; 3], 0.0), blobs(3, &[60; 3], 1.0));
    let domains = Domains::new(&source, &target);
    let candidates = [0.0, 1.0].map(|w| quick(Method::DeepCoral).weight(w).epochs(4));
    let chosen =
        choose(&candidates, Validator::InformationMaximisation, &domains, || model(3)).unwrap();
    assert_eq!(chosen.scores.len(), 2);
    let most = chosen.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(chosen.scores[chosen.index], most);
    let (epoch, score) = chosen.run.train.best.unwrap();
    assert!(epoch < 4 && (score - most).abs() < 1e-6, "{score} {most}");
    assert!(choose(&[], Validator::Entropy, &domains, || model(3)).is_err());
    // Methods with a loop of their own keep to it too, if they are asked to.
    for method in [Method::Adda, Method::Mcd { steps: 2 }, Method::Shot] {
        let quick = quick(method).epochs(3);
        let run = quick.fit_domains(&mut model(3), &domains).unwrap();
        assert!(run.train.best.is_none(), "{method:?}");
        let watched = quick.validator(Some(Validator::Entropy));
        let run = watched.fit_domains(&mut model(3), &domains).unwrap();
        let (epoch, score) = run.train.best.unwrap();
        assert!(epoch < 3 && (score - run.score(Validator::Entropy)).abs() < 1e-6, "{method:?}");
    }
}

#[test]
fn source_free_adaptation_needs_a_trained_model_alone() {
    let (source, target) = (blobs(1, &[90; 3], 0.0), blobs(3, &[90; 3], 1.4));
    let mut model = normalised(3);
    quick(Method::SourceOnly).fit(&mut model, &source, &target).unwrap();
    let before = right(&model, &target);
    let mut shot = model.clone();
    quick(Method::Shot).fit_source_free(&mut shot, &target).unwrap();
    assert!(right(&shot, &target) > before);
    let mut adapted = model.clone();
    assert!(quick(Method::AdaBn).fit_source_free(&mut adapted, &target).unwrap().is_none());
    assert!(right(&adapted, &target) > before);
    assert!(quick(Method::Dann).fit_source_free(&mut model, &target).is_err());
    let judged = quick(Method::Shot).validator(Some(Validator::Entropy));
    let error = judged.fit_source_free(&mut model, &target).unwrap_err().to_string();
    assert!(error.contains("without source samples"), "{error}");
}

#[test]
fn streams_follow_and_are_put_back() {
    let (source, target) = (blobs(1, &[90; 3], 0.0), blobs(3, &[90; 3], 1.4));
    let mut model = normalised(3);
    quick(Method::SourceOnly).fit(&mut model, &source, &target).unwrap();
    let before = model.state_dict().to_bytes().unwrap();
    let order: Vec<usize> = (0..270).map(|i| i % 3 * 90 + i / 3).collect();
    let mixed = target.select(&order).unwrap();
    let accuracy = |predict: &mut dyn FnMut(&Tensor) -> Tensor| {
        let mut hits = 0;
        for from in (0..270).step_by(30) {
            let x = mixed.features().narrow(0, from, 30).unwrap();
            let said = predictions(&predict(&x)).unwrap();
            hits +=
                said.iter().zip(&mixed.labels().unwrap()[from..]).filter(|(a, b)| a == b).count();
        }
        hits as f64 / 270.0
    };
    let plain = accuracy(&mut |x| model.forward(x, &mut Ctx::eval()).unwrap());
    let mut stream = StreamNorm::new(model.clone(), 0.5).unwrap();
    let followed = accuracy(&mut |x| stream.predict(x).unwrap());
    assert!(followed > plain, "{plain} without, {followed} with moving statistics");
    stream.reset().unwrap();
    assert_eq!(stream.model().state_dict().to_bytes().unwrap(), before);
    assert!(StreamNorm::new(model.clone(), 0.0).is_err());
    // Of a stream that begins anew with every batch each prediction is as the first.
    let settings = TentSettings { reset_every: Some(1), ..TentSettings::default() };
    let mut tent = Tent::new(model.clone(), settings).unwrap();
    let x = mixed.features().narrow(0, 0, 30).unwrap();
    let first = tent.predict(&x).unwrap().to_vec();
    assert_eq!(tent.predict(&x).unwrap().to_vec(), first);
    let mut tent = Tent::new(model, TentSettings::default()).unwrap();
    tent.predict(&x).unwrap();
    assert_ne!(tent.predict(&x).unwrap().to_vec(), first);
}

#[test]
fn harm_to_a_class_is_found() {
    let truth: Vec<usize> = (0..300).map(|i| i / 100).collect();
    let before = truth.clone();
    let after: Vec<usize> = truth.iter().map(|&t| if t == 2 { 1 } else { t }).collect();
    let transfer = Transfer::new(&before, &after, &truth, 3).unwrap();
    assert_eq!(transfer.harmed(), [2]);
    assert!(transfer.is_negative() && transfer.to_string().contains("negative transfer"));
    assert!(Transfer::new(&after, &before, &truth, 3).unwrap().harmed().is_empty());
    let logits = Tensor::one_hot(&after[..].into(), 3).unwrap();
    let found = warnings(&logits, &truth).unwrap();
    assert_eq!(found, [Warning::NeverPredicted(vec![2])]);
}

#[test]
fn features_are_diagnosed_and_drawn() {
    let (source, target) = (blobs(1, &[60; 3], 0.0), blobs(3, &[60; 3], 2.0));
    let mut model = model(3);
    quick(Method::SourceOnly).fit(&mut model, &source, &target).unwrap();
    let found = diagnose(&model, &source, &target, 1, 0).unwrap();
    assert!(found.shift.p < 0.05 && found.domain_accuracy > 0.6, "{found}");
    let same = diagnose(&model, &source, &blobs(9, &[60; 3], 0.0), 1, 0).unwrap();
    assert!(same.shift.mmd < found.shift.mmd);
    for projection in [Projection::Pca, Projection::TSne { perplexity: 10.0 }] {
        let drawn = Embedding::of(&model, &source, &target, (projection, 50, 1)).unwrap();
        assert_eq!((drawn.source.len(), drawn.target.len()), (45, 45));
        assert!(drawn.target.iter().all(|(p, c)| p.iter().all(|x| x.is_finite()) && *c < 3));
    }
}

#[test]
fn weighted_risk_is_nearer_to_the_targets_than_the_sources() {
    // Wrong above 1 always; the target is mostly there, the source is not.
    let x: Vec<f32> = (0..400).map(|i| i as f32 / 100.0 - 2.0).collect();
    let source = Tensor::from_vec(x.clone(), [400, 1]).unwrap();
    let target = source.narrow(0, 250, 150).unwrap();
    let labels: Vec<usize> = x.iter().map(|v| usize::from(*v > 1.0)).collect();
    let weights = logistic_ratio(&source, &target, 1.0).unwrap();
    let risk = |weights: &[f64]| {
        let learn = |_: &[usize], test: &[usize]| Ok(vec![0; test.len()]);
        importance_weighted_risk(weights, &labels, 4, &mut rng(0), learn).unwrap()
    };
    let (plain, weighted) = (risk(&[1.0; 400]), risk(&weights));
    let truth = labels[250..].iter().filter(|l| **l == 1).count() as f64 / 150.0;
    assert!((weighted - truth).abs() < (plain - truth).abs(), "{plain} {weighted} {truth}");
}

#[test]
fn settings_are_read_and_checked() {
    let adaptation = Adaptation::new(Method::Cdan { entropy: true, random: Some(64) });
    let text = serde_json::to_string(&adaptation).unwrap();
    assert_eq!(serde_json::from_str::<Adaptation>(&text).unwrap(), adaptation);
    let more = text.replacen('{', "{\"momentum\":1,", 1);
    assert!(serde_json::from_str::<Adaptation>(&more).is_err());
    let (source, target) = (blobs(1, &[20; 3], 0.0), blobs(3, &[20; 3], 1.0));
    for method in [
        Method::Mcd { steps: 0 },
        Method::Mdan { gamma: 0.0 },
        Method::PseudoLabels { confidence: 1.5 },
        Method::Cbst { first: 0.0, last: 1.0 },
        Method::Mdd { gamma: -1.0 },
        Method::Mcc { temperature: 0.0 },
        Method::CdanMcc { temperature: 0.0 },
    ] {
        let mut tried = model(3);
        let before = tried.state_dict().to_bytes().unwrap();
        assert!(quick(method).fit(&mut tried, &source, &target).is_err(), "{method:?}");
        assert_eq!(tried.state_dict().to_bytes().unwrap(), before);
    }
    // The randomised map works in a run.
    adaptation.epochs(1).fit(&mut model(3), &source, &target).unwrap();
}
