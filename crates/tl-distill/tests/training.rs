//! Whole runs on real digits.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Dataset, samples};
use tl_distill::*;
use tl_nn::{
    Act, Conv2d, Flatten, Forward, Linear, ModuleExt, Sequential, StateDict, Tensor, Weight,
};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn mlp(width: usize, seed: u64) -> Sequential {
    let rng = &mut rng(seed);
    Sequential::new()
        .push(Flatten)
        .named("hidden", Linear::new(64, width, rng))
        .push(Act::Relu)
        .named("head", Linear::new(width, 10, rng))
}

fn conv(width: usize, seed: u64) -> Sequential {
    let rng = &mut rng(seed);
    Sequential::new()
        .named("conv", Conv2d::new(1, width, 3, rng))
        .named("act", Act::Relu)
        .named("flat", Flatten)
        .named("head", Linear::new(36 * width, 10, rng))
}

fn few() -> Dataset {
    samples::digits().select(&(0..192).collect::<Vec<_>>()).unwrap()
}

fn trained(mut net: Sequential, data: &Dataset) -> Sequential {
    let nobody = net.clone();
    Distill::kd(1.0)
        .budget(40, 32)
        .lr(1e-2)
        .without_teacher()
        .fit(&nobody, &mut net, data)
        .unwrap();
    net
}

fn weights(net: &impl Forward) -> Vec<f32> {
    net.params().iter().flat_map(|(_, p)| p.tensor().to_vec()).collect()
}

#[test]
fn a_student_follows_its_teacher_without_any_label() {
    let data = few();
    let teacher = trained(mlp(32, 1), &data);
    let mut student = mlp(16, 2);
    let said = outputs(&teacher, data.features()).unwrap();
    let before = agreement(&outputs(&student, data.features()).unwrap(), &said).unwrap();
    let recipe = Distill::kd(4.0).hard(0.0).budget(40, 32).lr(1e-2);
    let report = recipe.fit(&teacher, &mut student, &data.without_targets()).unwrap();
    let after = agreement(&outputs(&student, data.features()).unwrap(), &said).unwrap();
    assert!(before < 0.4 && after > 0.85, "{before} {after}");
    let last = report.history.records.last().unwrap();
    assert!(last.train.contains_key("loss.soft") && !last.train.contains_key("loss.hard"));
}

#[test]
fn equal_seeds_give_equal_bits_and_a_cached_run_is_a_live_one() {
    let data = few();
    let teacher = trained(mlp(32, 1), &data);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let recipe = Distill::kd(4.0).budget(2, 32);
    let run = |recipe: &Distill| {
        let mut student = mlp(8, 3);
        recipe.fit(&teacher, &mut student, &data).unwrap();
        weights(&student)
    };
    let live = run(&recipe);
    assert_eq!(run(&recipe), live);
    let cached = recipe.clone().cache(&path, Storage::F32);
    assert_eq!(run(&cached), live);
    assert!(path.exists());
    assert_eq!(run(&cached), live);
    assert_ne!(run(&recipe.clone().seed(1)), live);
}

#[test]
fn a_stale_cache_is_refused() {
    let data = few();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let teacher = mlp(8, 1);
    TeacherCache::open_or_compute(&path, Storage::F16, &[&teacher], &data).unwrap();
    let problem = |teacher: &Sequential, data: &Dataset| {
        TeacherCache::open(&path, &[teacher], data).unwrap_err().to_string()
    };
    assert!(problem(&mlp(8, 2), &data).contains("weights are others"));
    let other = data.with_features(&data.features().mul_scalar(0.5)).unwrap();
    assert!(problem(&teacher, &other).contains("192 of the 192 samples"));
    // The same weights with another function between them.
    let mut twisted = Sequential::new().push(Flatten);
    let rng = &mut rng(1);
    twisted = twisted
        .named("hidden", Linear::new(64, 8, rng))
        .push(Act::Tanh)
        .named("head", Linear::new(8, 10, rng));
    assert!(problem(&twisted, &data).contains("other outputs"));
    std::fs::write(&path, b"no file").unwrap();
    assert!(TeacherCache::open(&path, &[&teacher], &data).is_err());
}

#[test]
fn top_k_keeps_the_probabilities() {
    let data = few();
    let folder = tempfile::tempdir().unwrap();
    let teacher = trained(mlp(16, 1), &data);
    let live = outputs(&teacher, data.features()).unwrap().softmax(-1).unwrap();
    for k in [3, 10] {
        let path = folder.path().join(format!("{k}"));
        let stored =
            TeacherCache::open_or_compute(&path, Storage::TopK(k), &[&teacher], &data).unwrap();
        let p = stored.outputs()[0].softmax(-1).unwrap();
        let (top, at) = live.topk(k, 1, true).unwrap();
        let off = p.gather(1, &at).unwrap().sub(&top).unwrap().abs().max([0, 1], false).unwrap();
        assert!(off.item().unwrap() < 3e-3, "k = {k}: {off:?}");
    }
    let computed = TeacherCache::compute(&[&teacher], &data).unwrap();
    let error = computed.save(folder.path().join("x"), Storage::TopK(11)).unwrap_err().to_string();
    assert!(error.contains("1 to 10"), "{error}");

    // A damaged number of classes is an error, not a size.
    let path = folder.path().join("3");
    for wrong in [1e30, f32::NAN, 0.0] {
        let mut file = StateDict::open(&path).unwrap();
        file.insert("0/classes", Weight::new(&Tensor::scalar(wrong)));
        file.save(&path).unwrap();
        let error = TeacherCache::open(&path, &[&teacher], &data).unwrap_err().to_string();
        assert!(error.contains("classes"), "{error}");
    }
}

#[test]
fn every_relation_trains_by_layer_path_and_leaves_the_student_alone() {
    let data = few().select(&(0..48).collect::<Vec<_>>()).unwrap();
    let teacher = trained(conv(6, 1), &data);
    for (relation, weight) in [
        (Relation::Features, 100.0),
        (Relation::Attention, 1000.0),
        (Relation::Similarity, 3000.0),
        (Relation::Pkt, 30_000.0),
        (Relation::Rkd, 1.0),
        (Relation::Nst, 50.0),
        (Relation::Vid, 1.0),
        (Relation::Review, 1.0),
        (Relation::Crd { dimension: 8, negatives: 16 }, 0.8),
    ] {
        let mut student = conv(3, 2);
        let names: Vec<String> = student.params().into_iter().map(|(n, _)| n).collect();
        let recipe = Distill::kd(4.0).budget(6, 16).hint("act", "act", relation, weight);
        let report = recipe.fit(&teacher, &mut student, &data).unwrap();
        let hint = |i: usize| report.history.records[i].train["loss.hints"];
        assert!(hint(5) < hint(0), "{relation:?}: {} {}", hint(0), hint(5));
        let after: Vec<String> = student.params().into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, after);
    }
    let wrong = Distill::kd(4.0).hint("act", "convv", Relation::Attention, 1.0);
    let error = wrong.fit(&teacher, &mut conv(3, 2), &data).unwrap_err().to_string();
    assert!(error.contains("convv") && error.contains("conv, act, flat, head"), "{error}");
}

#[test]
fn layers_are_paired_by_depth() {
    let x = Tensor::zeros([1, 1, 8, 8]);
    let pairs = map_layers(&conv(3, 1), &conv(6, 2), &x, 1).unwrap();
    assert_eq!(pairs, [("act".into(), "act".into())]);
    let deep = |width: usize, extra: usize| {
        let rng = &mut rng(0);
        let mut net = Sequential::new().named("in", Conv2d::new(1, width, 1, rng));
        for i in 0..extra {
            let layer = Conv2d::new(width, width, 2, rng);
            net = net.named(&format!("c{i}"), layer).named(&format!("a{i}"), Act::Relu);
        }
        net.named("flat", Flatten).named("out", Linear::new(width * (8 - extra).pow(2), 2, rng))
    };
    let pairs = map_layers(&deep(2, 1), &deep(3, 3), &x, 2).unwrap();
    assert_eq!(pairs, [("in".into(), "a0".into()), ("a0".into(), "a2".into())]);
    let error = map_layers(&conv(3, 1), &conv(6, 2), &x, 9).unwrap_err().to_string();
    assert!(error.contains("1 to 1"), "{error}");
}

#[test]
fn generations_peers_and_assistants_learn() {
    let data = few();
    let right = |net: &Sequential| {
        let logits = outputs(net, data.features()).unwrap();
        tl_nn::metric::accuracy(&logits, &data.labels().unwrap().into()).unwrap()
    };
    let recipe = Distill::kd(2.0).hard(0.5).budget(40, 32).lr(1e-2);
    let all = recipe.born_again(2, |g| mlp(16, g as u64), &data).unwrap();
    assert_eq!(all.len(), 2);
    assert!(right(&all[1]) > 0.8, "{}", right(&all[1]));

    let mut peers = [mlp(12, 1), mlp(16, 2)];
    Distill::kd(1.0).weights(1.0, 1.0).budget(40, 32).lr(1e-2).mutual(&mut peers, &data).unwrap();
    assert!(peers.iter().all(|p| right(p) > 0.8));
    assert!(recipe.mutual(&mut peers[..1], &data).is_err());
    // Ramps count: peers that never listen are those of labels alone.
    let alone = |recipe: Distill| {
        let mut peers = [mlp(8, 1), mlp(8, 2)];
        recipe.budget(2, 32).mutual(&mut peers, &data).unwrap();
        weights(&peers[0])
    };
    let deaf = Distill::kd(1.0).weights(1.0, 1.0).ramps(Ramp::new(1.0, 1.0), Ramp::new(0.0, 0.0));
    assert_eq!(alone(deaf), alone(Distill::kd(1.0).weights(1.0, 0.0)));

    let mut students = [mlp(16, 5), mlp(8, 6)];
    let reports = recipe.chain(&all[1], &mut students, &data).unwrap();
    assert_eq!(reports.len(), 2);
    assert!(right(&students[1]) > 0.7, "{}", right(&students[1]));

    let mut student = mlp(8, 7);
    recipe.fit_many(&[&all[0], &all[1]], Some(&[1.0, 2.0]), &mut student, &data).unwrap();
    assert!(right(&student) > 0.7);
}

#[test]
fn other_losses_warm_up_and_anneal() {
    let data = few();
    let teacher = trained(mlp(16, 1), &data);
    for soft in [
        Soft::Standardised { temperature: 2.0 },
        Soft::Dkd { alpha: 1.0, beta: 2.0, temperature: 4.0 },
        Soft::Dist { beta: 1.0, gamma: 1.0, temperature: 1.0 },
        Soft::LogitMse,
        Soft::PseudoLabel { confidence: 0.5 },
    ] {
        let mut student = mlp(8, 2);
        let recipe = Distill::new(soft).budget(4, 32).warmup(0.5);
        let report = recipe.fit(&teacher, &mut student, &data).unwrap();
        let hard = |i: usize| report.history.records[i].train["loss.hard"];
        assert!(hard(3) < hard(0), "{soft:?}");
    }
    let annealed = Distill::kd(8.0).anneal(1.0).budget(2, 32);
    annealed.fit(&teacher, &mut mlp(8, 2), &data).unwrap();
}

#[test]
fn the_report_has_the_baseline_and_counts_what_there_is() {
    let data = few();
    let teacher = trained(mlp(16, 1), &data);
    let recipe = Distill::kd(4.0).budget(2, 32);
    let report = recipe.compare("digits", &teacher, |s| mlp(8, s), [&data, &data], 2).unwrap();
    assert_eq!(report.trials.baseline().unwrap().name, NO_TEACHER);
    assert_eq!(report.trials.way("distilled").unwrap().results.len(), 2);
    let networks = &report.compression.networks;
    assert_eq!(networks.len(), 3);
    assert_eq!(networks[0].agreement, 1.0);
    assert_eq!(networks[2].parameters, 64 * 8 + 8 + 80 + 10);
    assert_eq!(networks[2].bytes, 4 * networks[2].parameters);
    assert_eq!(networks[2].macs, Some(64 * 8 + 80));
    let text = report.to_string();
    assert!(text.contains("(baseline)") && text.contains("agreement"), "{text}");
    let json = serde_json::to_string(&report).unwrap();
    let back: DistillReport = serde_json::from_str(&json).unwrap();
    assert_eq!(back.trials.ways.len(), 2);
}

#[test]
fn multiply_adds_of_a_convolution_are_counted_by_hand() {
    let x = Tensor::zeros([1, 1, 8, 8]);
    assert_eq!(macs(&conv(3, 1), &x).unwrap(), Some(36 * 3 * 9 + 36 * 3 * 10));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let data = few();
    let teacher = mlp(4, 1);
    let refused = |recipe: Distill, data: &Dataset| {
        recipe.fit(&teacher, &mut mlp(4, 2), data).unwrap_err().to_string()
    };
    let unlabelled = data.without_targets();
    assert!(refused(Distill::kd(4.0), &unlabelled).contains("0 for unlabelled data"));
    assert!(refused(Distill::kd(4.0).weights(0.0, 0.0), &data).contains("above 0"));
    assert!(refused(Distill::kd(4.0).weights(-1.0, 0.0), &data).contains("from 0 on"));
    assert!(refused(Distill::kd(4.0).warmup(2.0), &data).contains("0 to 1"));
    assert!(refused(Distill::kd(4.0).temperature(Ramp::new(4.0, 0.0)), &data).contains("above 0"));
    assert!(refused(Distill::kd(0.0), &data).contains("temperature is 0"));
    assert!(refused(Distill::new(Soft::LogitMse).anneal(1.0), &data).contains("temperature"));
    let dkd = Soft::Dkd { alpha: 1.0, beta: 8.0, temperature: 4.0 };
    assert!(refused(Distill::new(dkd).hard(0.0), &unlabelled).contains("labels"));
    let json = serde_json::to_string(&Distill::kd(4.0)).unwrap();
    assert_eq!(serde_json::from_str::<Distill>(&json).unwrap(), Distill::kd(4.0));
    let odd = json.replacen("epochs", "epoch", 1);
    assert!(serde_json::from_str::<Distill>(&odd).is_err());
}

#[test]
fn pruned_weights_stay_away_and_rounded_ones_are_near() {
    let mut net = mlp(8, 1);
    let pruned = prune_magnitude(&mut net, "**", 0.75).unwrap();
    assert!((pruned.sparsity() - 0.75).abs() < 1e-9);
    let zeros = |net: &Sequential| {
        let all = net.params();
        all.iter().flat_map(|(_, p)| p.tensor().to_vec()).filter(|w| *w == 0.0).count()
    };
    assert_eq!(zeros(&net), (64 * 8 + 80) * 3 / 4);
    net.for_each_param(|_, p| {
        p.update(|w| w.iter_mut().for_each(|w| *w += 0.5));
        Ok(())
    })
    .unwrap();
    assert_eq!(zeros(&net), 0);
    pruned.apply(&mut net).unwrap();
    assert_eq!(zeros(&net), (64 * 8 + 80) * 3 / 4);
    assert!(pruned.apply(&mut conv(3, 1)).is_err());
    assert!(prune_magnitude(&mut net, "nothing", 0.5).is_err());
    assert!(prune_magnitude(&mut net, "**", 1.0).is_err());

    for (precision, near, bytes) in
        [(Precision::F16, 5e-4, 2 * 592 + 4 * 18), (Precision::Int8, 1.0 / 254.0, 592 + 4 * 36)]
    {
        let before = mlp(8, 1);
        let mut after = before.clone();
        assert_eq!(round_weights(&mut after, precision).unwrap(), bytes);
        for ((_, a), (_, b)) in before.params().iter().zip(after.params()) {
            let (a, b) = (a.tensor().to_vec(), b.tensor().to_vec());
            let largest = a.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            assert!(a.iter().zip(&b).all(|(x, y)| (x - y).abs() <= near * largest * 1.001));
        }
        assert_ne!(weights(&before), weights(&after));
    }
}

#[test]
fn integers_name_nearly_the_same_classes() {
    let data = few();
    let exact = trained(mlp(32, 1), &data);
    let mut small = exact.clone();
    assert_eq!(quantise_linear(&mut small, "hidden").unwrap(), 64 * 32 + 8 * 32);
    quantise_linear(&mut small, "head").unwrap();
    let (a, b) = (outputs(&exact, data.features()), outputs(&small, data.features()));
    let same = agreement(&a.unwrap(), &b.unwrap()).unwrap();
    assert!(same > 0.97, "{same}");
    let error = quantise_linear(&mut small, "body").unwrap_err().to_string();
    assert!(error.contains("body") && error.contains("Linear"), "{error}");
}

#[test]
fn layers_are_found_projected_and_cached() {
    let data = few().select(&(0..48).collect::<Vec<_>>()).unwrap();
    let teacher = trained(conv(6, 1), &data);
    // Without names: maps are paired with maps.
    let auto = Distill::kd(4.0).budget(2, 16).hints(&[], Relation::Attention, 100.0);
    let report = auto.fit(&teacher, &mut conv(3, 2), &data).unwrap();
    assert!(report.history.records[1].train["loss.hints"] > 0.0);
    // A map of the teacher and a vector of the student: pooled and projected.
    for relation in [Relation::Features, Relation::Vid] {
        let mixed = Distill::kd(4.0).budget(2, 16).hint("hidden", "act", relation, 1.0);
        mixed.fit(&teacher, &mut mlp(8, 2), &data).unwrap();
    }
    let maps = Distill::kd(4.0).hint("hidden", "act", Relation::Attention, 1.0);
    let error = maps.fit(&teacher, &mut mlp(8, 2), &data).unwrap_err().to_string();
    assert!(error.contains("maps [n, c, h, w]"), "{error}");
    // Two layers of other widths: a flow, through convolutions.
    let two = |width: usize, seed: u64| {
        let rng = &mut rng(seed);
        Sequential::new()
            .named("a", Conv2d::new(1, width, 3, rng))
            .named("b", Conv2d::new(width, width + 1, 3, rng))
            .push(Flatten)
            .push(Linear::new(16 * (width + 1), 10, rng))
    };
    let flow = Distill::kd(4.0).budget(4, 16);
    let flow = flow.hints(&[("a", "a"), ("b", "b")], Relation::Flow, 10.0);
    let report = flow.fit(&two(4, 1), &mut two(2, 2), &data).unwrap();
    let hint = |i: usize| report.history.records[i].train["loss.hints"];
    assert!(hint(3) < hint(0));
    // Cached features are live ones, up to the order of sums in larger batches.
    let near = |a: &[f32], b: &[f32]| {
        let off = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(a.len() == b.len() && off < 1e-3, "{off}");
    };
    let live = Distill::kd(4.0).budget(2, 16).hint("act", "act", Relation::Features, 1.0);
    let run = |recipe: &Distill| {
        let mut student = conv(3, 2);
        recipe.fit(&teacher, &mut student, &data).unwrap();
        weights(&student)
    };
    near(&run(&live), &run(&live.clone().cache_hints()));
    // And so do those that were stored before.
    let layers = ["act".to_owned()];
    let ask = Ask { views: None, layers: &layers };
    let stored = TeacherCache::compute_with(&[&teacher], &data, ask).unwrap();
    let mut student = conv(3, 2);
    live.fit_stored(&stored, &mut student, &data).unwrap();
    near(&weights(&student), &run(&live));
    let bare = TeacherCache::compute(&[&teacher], &data).unwrap();
    assert!(live.fit_stored(&bare, &mut student, &data).is_err());
    // Outputs belong to samples, not to places.
    let turned = data.select(&(0..data.len()).rev().collect::<Vec<_>>()).unwrap();
    let error = live.fit_stored(&stored, &mut student, &turned).unwrap_err().to_string();
    assert!(error.contains("other samples"), "{error}");
}

/// 33 samples in batches of 32: one is left, for which neither normalisation nor
/// a loss between samples is defined.
#[test]
fn a_last_batch_of_one_sample_is_left_out() {
    let data = samples::digits().select(&(0..33).collect::<Vec<_>>()).unwrap();
    let net = |seed| {
        let rng = &mut rng(seed);
        let net = Sequential::new().push(Flatten).push(Linear::new(64, 8, rng));
        net.push(tl_nn::BatchNorm1d::new(8)).push(Act::Relu).push(Linear::new(8, 10, rng))
    };
    let dist = Soft::Dist { beta: 1.0, gamma: 1.0, temperature: 1.0 };
    let recipe = Distill::new(dist).budget(2, 32);
    let report = recipe.fit(&net(1), &mut net(2), &data).unwrap();
    assert_eq!(report.steps, 2);
}

#[test]
fn views_are_keys_and_belong_to_samples() {
    let data = few().select(&(0..40).collect::<Vec<_>>()).unwrap();
    let teacher = trained(conv(4, 1), &data);
    let shift = |part| tl_data::transform::RandomAffine::new().translate(part);
    let views = Views::new("shift", 3, 7, shift(0.2)).unwrap();
    fn ask(views: &Views) -> Ask<'_> {
        Ask { views: Some(views), layers: &[] }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views");
    let stored =
        TeacherCache::open_or_compute_with(&path, Storage::F32, &[&teacher], &data, ask(&views))
            .unwrap();
    assert_eq!((stored.views(), stored.len()), (3, 40));
    // What is stored of view 2 is what the teacher says of it.
    let seen = views.of(&data, 2).unwrap();
    let live = outputs(&teacher, seen.features()).unwrap();
    let all: Vec<usize> = (0..40).collect();
    assert_eq!(stored.rows_of(2, &all).unwrap()[0].to_vec(), live.to_vec());
    // A part of the data in another order finds its own rows.
    let part = data.select(&[30, 2, 17]).unwrap();
    let again = TeacherCache::open_with(&path, &[&teacher], &part, ask(&views)).unwrap();
    let own = stored.rows_of(1, &[30, 2, 17]).unwrap()[0].to_vec();
    assert_eq!(again.rows_of(1, &[0, 1, 2]).unwrap()[0].to_vec(), own);
    assert_eq!(views.of(&part, 1).unwrap().features().to_vec()[..64], {
        let whole = views.of(&data, 1).unwrap();
        whole.features().to_vec()[30 * 64..31 * 64].to_vec()
    });
    // Another augmentation is refused, under the same name too.
    for other in [
        Views::new("shift", 2, 7, shift(0.2)).unwrap(),
        Views::new("shift", 3, 8, shift(0.2)).unwrap(),
        Views::new("shift", 3, 7, shift(0.4)).unwrap(),
    ] {
        let error = TeacherCache::open_with(&path, &[&teacher], &data, ask(&other)).unwrap_err();
        assert!(error.to_string().contains("augmentation is another"), "{error}");
    }
    assert!(TeacherCache::open(&path, &[&teacher], &data).is_err());
    // Training with the file is training with the live teacher.
    let recipe = Distill::kd(4.0).budget(4, 16);
    let run = |recipe: &Distill| {
        let mut student = mlp(8, 2);
        recipe.fit_augmented(&teacher, &mut student, &data, &views).unwrap();
        weights(&student)
    };
    let cached = recipe.clone().cache(&path, Storage::F32);
    assert_eq!(run(&recipe), run(&cached));
    let mut plain = mlp(8, 2);
    recipe.fit(&teacher, &mut plain, &data).unwrap();
    assert_ne!(run(&recipe), weights(&plain));
}

#[test]
fn embeddings_are_distilled_by_the_builder_too() {
    let data = few().select(&(0..64).collect::<Vec<_>>()).unwrap().without_targets();
    let embed = |width: usize, out: usize, seed: u64| {
        let rng = &mut rng(seed);
        let net = Sequential::new().push(Flatten).push(Linear::new(64, width, rng));
        net.push(Act::Relu).push(Linear::new(width, out, rng))
    };
    let teacher = embed(32, 12, 1);
    for (soft, width) in [
        (Soft::EmbeddingCosine, 12),
        (Soft::SimilarityKl { temperature: 0.1 }, 5),
        (Soft::LogitMse, 12),
    ] {
        let mut student = embed(8, width, 2);
        let recipe = Distill::new(soft).hard(0.0).budget(12, 16).lr(1e-2);
        let report = recipe.fit(&teacher, &mut student, &data).unwrap();
        let loss = |i: usize| report.history.records[i].train["loss.soft"];
        assert!(loss(11) < 0.6 * loss(0), "{soft:?}: {} {}", loss(0), loss(11));
    }
}
