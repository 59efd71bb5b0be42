//! Smaller networks: pruned, in integers, without data, without layers.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Dataset, samples};
use tl_distill::*;
use tl_nn::{
    Act, BatchNorm, Conv2d, Ctx, Dropout, Flatten, Forward, GlobalAvgPool, Linear, MaxPool2d,
    ModuleExt, Sequential, StateDict, Tensor,
};
use tl_tensor::{Conv, Pool};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn halves() -> (Dataset, Dataset) {
    samples::digits().split(0.5, &mut rng(0)).unwrap()
}

/// Convolutions with normalisation, stride, pooling.
fn conv(width: usize, seed: u64) -> Sequential {
    let rng = &mut rng(seed);
    let strided = Conv::new().padding(1).stride(2);
    Sequential::new()
        .named("conv1", Conv2d::new(1, width, 3, rng).options(Conv::new().padding(1)))
        .named("bn1", BatchNorm::new(width))
        .named("act1", Act::Relu)
        .named("pool", MaxPool2d::new(Pool::new(2)))
        .named("conv2", Conv2d::new(width, 2 * width, 3, rng).options(strided))
        .named("bn2", BatchNorm::new(2 * width))
        .named("act2", Act::Relu)
        .named("flat", Flatten)
        .named("drop", Dropout::new(0.1))
        .named("fc1", Linear::new(8 * width, 24, rng))
        .named("act3", Act::Relu)
        .named("fc2", Linear::new(24, 10, rng))
}

fn mlp(width: usize, seed: u64) -> Sequential {
    let rng = &mut rng(seed);
    Sequential::new()
        .push(Flatten)
        .named("hidden", Linear::new(64, width, rng))
        .push(Act::Relu)
        .named("head", Linear::new(width, 10, rng))
}

fn taught(mut net: Sequential, data: &Dataset) -> Sequential {
    let nobody = net.clone();
    let recipe = Distill::kd(1.0).budget(12, 32).lr(5e-3).without_teacher();
    recipe.fit(&nobody, &mut net, data).unwrap();
    net
}

fn right(net: &impl Forward, data: &Dataset) -> f64 {
    let logits = outputs(net, data.features()).unwrap();
    tl_nn::metric::accuracy(&logits, &data.labels().unwrap().into()).unwrap()
}

fn off(a: &Tensor, b: &Tensor) -> f32 {
    a.sub(b).unwrap().abs().max(.., false).unwrap().item().unwrap()
}

#[test]
fn folded_normalisation_changes_nothing() {
    let (train, test) = halves();
    let net = taught(conv(4, 1), &train);
    let folded = fold_batch_norm(&net).unwrap();
    assert_eq!(folded.len(), net.len() - 2);
    assert!(folded.buffers().is_empty());
    let (a, b) = (outputs(&net, test.features()), outputs(&folded, test.features()));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(off(&a, &b) < 1e-4, "{}", off(&a, &b));
}

#[test]
fn a_network_of_integers_is_as_right() {
    let (train, test) = halves();
    let net = taught(conv(6, 1), &train);
    let small = Int8Network::new(&net, train.features()).unwrap();
    let (a, b) = (outputs(&net, test.features()), outputs(&small, test.features()));
    let same = agreement(&a.unwrap(), &b.unwrap()).unwrap();
    assert!(same > 0.98, "{same}");
    assert!(right(&net, &test) - right(&small, &test) < 0.01);
    let weights = 6 * 9 + 12 * 6 * 9 + 24 * 48 + 240;
    assert_eq!(small.bytes(), weights + 8 * (6 + 12 + 24 + 10));
    assert_eq!(small.parameters(), weights + 6 + 12 + 24 + 10);
    assert_eq!(small.macs(), 64 * 6 * 9 + 4 * 12 * 54 + 24 * 48 + 240);
    // One at a time or all at once: the same bits.
    let few = test.features().narrow(0, 0, 3).unwrap().contiguous();
    let all = small.forward(&few, &mut Ctx::eval()).unwrap().to_vec();
    for i in 0..3 {
        let one = few.narrow(0, i, 1).unwrap().contiguous();
        let one = small.forward(&one, &mut Ctx::eval()).unwrap().to_vec();
        assert_eq!(one, all[i * 10..(i + 1) * 10]);
    }
    // Outliers are cut off.
    let cut = Int8Network::with_outliers(&net, train.features(), 1e-3).unwrap();
    assert!(right(&cut, &test) > right(&net, &test) - 0.02);
}

#[test]
fn integers_compute_what_the_rounded_network_computes() {
    let (train, test) = halves();
    for net in [taught(conv(4, 2), &train), taught(mlp(16, 2), &train), {
        let rng = &mut rng(5);
        Sequential::new()
            .push(Conv2d::new(1, 8, 3, rng).options(Conv::new().padding(2).dilation(2)))
            .push(MaxPool2d::new(Pool::new(3).stride(2).padding(1)))
            .push(Act::Relu6)
            .push(Conv2d::new(8, 5, 1, rng).without_bias())
            .push(GlobalAvgPool)
            .push(Linear::new(5, 3, rng))
    }] {
        let rounding = QatNetwork::new(&net, train.features()).unwrap();
        let small = rounding.finish().unwrap();
        let a = outputs(&rounding, test.features()).unwrap();
        let b = outputs(&small, test.features()).unwrap();
        assert_eq!(a.dims(), b.dims());
        // Sums in another order may fall on the other side of a half: a level
        // here and there, never more.
        let scale = a.abs().max(.., false).unwrap().item().unwrap();
        let far = a.sub(&b).unwrap().abs().mean_all().item().unwrap();
        assert!(far < 0.004 * scale, "{far} of {scale}");
        let after = Int8Network::new(&net, train.features()).unwrap();
        assert_eq!(outputs(&after, test.features()).unwrap().to_vec(), b.to_vec());
    }
}

/// A ReLU belongs to an affine layer only where it stands right behind it.
#[test]
fn functions_are_kept_wherever_they_stand() {
    let rng = &mut rng(6);
    let x = Tensor::randn([64, 1, 6, 6], rng);
    let conv = |rng: &mut ChaCha8Rng| Sequential::new().push(Conv2d::new(1, 4, 3, rng));
    let head = Linear::new(64, 3, rng);
    let sure = |mut layer: Linear| {
        layer.weight.update(|w| w.iter_mut().for_each(|w| *w *= 40.0));
        layer
    };
    let wide = Sequential::new().push(Flatten).push(sure(Linear::new(36, 64, rng)));
    for net in [
        conv(rng).push(Flatten).push(Act::Relu).push(head.clone()),
        wide.push(Act::Relu).push(Act::Relu6).push(head),
    ] {
        let small = Int8Network::new(&net, &x).unwrap();
        let (exact, near) = (outputs(&net, &x).unwrap(), outputs(&small, &x).unwrap());
        let scale = exact.abs().max(.., false).unwrap().item().unwrap();
        assert!(off(&exact, &near) < 0.1 * scale, "{} of {scale}", off(&exact, &near));
    }
}

#[test]
fn calibrated_inputs_saturate_and_bad_ones_are_named() {
    let layer = Linear::without_bias(3, 2, &mut rng(0));
    let typical = Tensor::from_slice(&[1.0, -0.5, 0.25], [1, 3]).unwrap();
    let small = Int8Linear::new(&layer).unwrap().calibrated(&typical).unwrap();
    let cx = &mut Ctx::eval();
    let within = small.forward(&typical, cx).unwrap();
    let exact = layer.forward(&typical, cx).unwrap().detach();
    let off = within.sub(&exact).unwrap().abs().max([0, 1], false).unwrap().item().unwrap();
    assert!(off < 0.02, "{off}");
    let beyond = small.forward(&Tensor::full([1, 3], 50.0), cx).unwrap();
    let most = small.forward(&Tensor::ones([1, 3]), cx).unwrap();
    assert_eq!(beyond.to_vec(), most.to_vec());
    let says = |e: tl_nn::Error, text: &str| assert!(e.to_string().contains(text), "{e}");
    says(small.forward(&Tensor::ones([1, 4]), cx).unwrap_err(), "[.., 3]");
    says(small.forward(&typical.requires_grad(), cx).unwrap_err(), "no gradient");
    let odd = Tensor::full([2, 2], f32::NAN);
    assert!(Int8Linear::from_weights(&odd, None).unwrap_err().to_string().contains("finite"));
}

#[test]
fn what_is_no_number_is_refused_by_integers() {
    let rng = &mut rng(7);
    let x = Tensor::randn([8, 4], rng);
    let layer = Linear::new(4, 3, rng);
    let net = Int8Network::new(&Sequential::new().push(layer.clone()), &x).unwrap();
    let small = Int8Linear::new(&layer).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let x = Tensor::full([2, 4], bad);
        for said in [net.forward(&x, &mut Ctx::eval()), small.forward(&x, &mut Ctx::eval())] {
            assert!(said.unwrap_err().to_string().contains("finite numbers"));
        }
    }
}

#[test]
fn training_with_rounding_learns_and_keeps_its_paths() {
    let (train, test) = halves();
    let teacher = taught(mlp(48, 1), &train);
    let mut rounding = QatNetwork::new(&mlp(12, 3), train.features()).unwrap();
    let before: Vec<String> = rounding.params().into_iter().map(|(p, _)| p).collect();
    let recipe = Distill::kd(4.0).budget(15, 32).lr(5e-3);
    let report = recipe.fit(&teacher, &mut rounding, &train).unwrap();
    let loss = |i: usize| report.history.records[i].train["loss"];
    assert!(loss(14) < 0.5 * loss(0), "{} {}", loss(0), loss(14));
    let after: Vec<String> = rounding.params().into_iter().map(|(p, _)| p).collect();
    assert_eq!(before, after);
    assert_eq!(before, ["hidden.weight", "hidden.bias", "head.weight", "head.bias"]);
    let small = rounding.finish().unwrap();
    assert!((right(&small, &test) - right(&rounding, &test)).abs() < 0.02);
    assert!(right(&small, &test) > 0.6, "{}", right(&small, &test));
}

#[test]
fn layers_that_integers_do_not_know_are_named() {
    let own = &mut rng(0);
    let x = Tensor::zeros([2, 1, 8, 8]);
    let says = |net: Sequential, text: &str| {
        let error = Int8Network::new(&net, &x).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    let start = || Sequential::new().push(Flatten).named("fc", Linear::new(64, 4, &mut rng(1)));
    says(start().named("tanh", Act::Tanh).push(Linear::new(4, 2, own)), "`tanh`, Tanh");
    says(start().named("bn", BatchNorm::new(4)).push(BatchNorm::new(4)), "of another kind");
    says(Sequential::new().push(Flatten), "without weights");
    says(start().push(Act::Relu), "after the last affine layer");
    let groups = Conv2d::grouped(1, 2, [3, 3], 1, own).options(Conv::new());
    let small = Int8Network::new(&Sequential::new().push(groups), &x).unwrap();
    assert_eq!(small.forward(&x, &mut Ctx::eval()).unwrap().dims(), [2, 2, 6, 6]);
    let odd = small.forward(&Tensor::zeros([2, 1, 7, 8]), &mut Ctx::eval()).unwrap_err();
    assert!(odd.to_string().contains("[1, 8, 8]"), "{odd}");
}

#[test]
fn pruned_channels_are_gone_and_the_rest_computes_the_same() {
    let (train, test) = halves();
    let net = taught(conv(6, 1), &train);
    let few = train.features().narrow(0, 0, 8).unwrap().contiguous();
    for importance in [Importance::L1, Importance::L2] {
        let mut small = net.clone();
        let cuts = prune_structured(&mut small, "**", 0.5, importance, &few).unwrap();
        let sizes: Vec<_> =
            cuts.iter().map(|c| (c.layer.as_str(), c.before, c.kept.len())).collect();
        assert_eq!(sizes, [("conv1", 6, 3), ("conv2", 12, 6), ("fc1", 24, 12)]);
        let dims: Vec<Vec<usize>> =
            small.params().iter().map(|(_, p)| p.dims().to_vec()).filter(|d| d.len() > 1).collect();
        assert_eq!(dims, [vec![3, 1, 3, 3], vec![6, 3, 3, 3], vec![12, 24], vec![10, 12]]);
        assert!(small.params().iter().all(|(_, p)| p.tensor().is_tracked()));
        let x = test.features().narrow(0, 0, 1).unwrap().contiguous();
        let count = |net: &Sequential| macs(net, &x).unwrap().unwrap();
        assert!(count(&small) * 2 < count(&net));
        // It trains on, and gets back what it lost.
        let before = right(&small, &test);
        let recipe = Distill::kd(4.0).budget(8, 32);
        recipe.fit(&net, &mut small, &train).unwrap();
        assert!(right(&small, &test) > before.max(0.8), "{before} {}", right(&small, &test));
    }
    // Channels that do nothing can go without any change.
    let mut dead = net.clone();
    dead.for_each_param(|path, p| {
        let size = if path.starts_with("conv1") { p.numel() / 6 } else { 1 };
        if path.starts_with("conv1") || path.starts_with("bn1") {
            p.update(|w| w[..2 * size].fill(0.0));
        }
        Ok(())
    })
    .unwrap();
    let before = outputs(&dead, test.features()).unwrap();
    let cuts = prune_structured(&mut dead, "conv1", 0.34, Importance::NormScale, &few).unwrap();
    assert_eq!(cuts[0].kept, [2, 3, 4, 5]);
    assert!(off(&before, &outputs(&dead, test.features()).unwrap()) < 1e-4);
}

#[test]
fn what_is_no_chain_is_refused_and_left_alone() {
    let few = Tensor::ones([2, 1, 8, 8]);
    let sigmoid = |seed| {
        let rng = &mut rng(seed);
        let net = Sequential::new().push(Flatten).push(Linear::new(64, 6, rng));
        net.push(Act::Sigmoid).push(Linear::new(6, 2, rng))
    };
    let mut net = sigmoid(1);
    let error = prune_structured(&mut net, "**", 0.5, Importance::L1, &few).unwrap_err();
    assert!(error.to_string().contains("does not keep 0"), "{error}");
    assert_eq!(net.params()[0].1.dims(), [6, 64]);
    let residual = |seed| {
        let rng = &mut rng(seed);
        let inner = Sequential::new().push(Linear::new(8, 8, rng)).push(Act::Relu);
        let net = Sequential::new().push(Flatten).push(Linear::new(64, 8, rng));
        net.push(tl_nn::Residual { inner }).push(Linear::new(8, 2, rng))
    };
    assert!(prune_structured(&mut residual(1), "**", 0.5, Importance::L1, &few).is_err());
    let mut net = mlp(8, 1);
    assert!(prune_structured(&mut net, "head", 0.5, Importance::L1, &few).is_err());
    assert!(prune_structured(&mut net, "**", 1.0, Importance::L1, &few).is_err());
    let error = prune_structured(&mut net, "**", 0.5, Importance::NormScale, &few).unwrap_err();
    assert!(error.to_string().contains("none after `hidden`"), "{error}");
}

#[test]
fn made_up_inputs_teach_more_than_noise() {
    let (train, test) = halves();
    let teacher = taught(conv(6, 1), &train);
    let said = outputs(&teacher, test.features()).unwrap();
    let [low, high] = [0.0, 1.0];
    let made = Synthesis::new(300).steps(120).range(low, high).run(&teacher, &[1, 8, 8], 10);
    let made = made.unwrap();
    let own = outputs(&teacher, made.features()).unwrap();
    let hit = tl_nn::metric::accuracy(&own, &made.labels().unwrap().into()).unwrap();
    assert!(hit > 0.95, "{hit}");
    let noise = Tensor::uniform([300, 1, 8, 8], low, high, &mut rng(3));
    let noise = Dataset::unlabelled(noise).unwrap();
    let recipe = Distill::kd(4.0).hard(0.0).budget(40, 32).lr(5e-3);
    let after = |data: &Dataset| {
        let mut student = mlp(32, 2);
        recipe.fit(&teacher, &mut student, data).unwrap();
        agreement(&outputs(&student, test.features()).unwrap(), &said).unwrap()
    };
    let (made, noise) = (after(&made.without_targets()), after(&noise));
    assert!(made > noise + 0.1 && made > 0.4, "{made} {noise}");
    assert!(Synthesis::new(0).run(&teacher, &[1, 8, 8], 10).is_err());
    assert!(Synthesis::new(9).range(1.0, 0.0).run(&teacher, &[1, 8, 8], 10).is_err());
    let away = Synthesis { smoothness: -1.0, ..Synthesis::new(9) };
    assert!(away.run(&teacher, &[1, 8, 8], 10).is_err());
}

#[test]
fn static_embeddings_are_those_of_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/losses.safetensors");
    let file = StateDict::open(path).unwrap();
    let vectors = file.tensor("static/vectors").unwrap();
    let encode = |tokens: &[usize]| Ok(vectors.index_select(0, &tokens.into())?);
    let config = StaticConfig { dimensions: Some(4), batch: 7, ..StaticConfig::default() };
    let small = StaticEmbedding::distil(30, &[0, 3], encode, &config).unwrap();
    // Directions may be turned over: inner products do not change.
    let table = small.weight.tensor().detach();
    let gram = table.matmul(&table.t().unwrap()).unwrap();
    assert!(off(&gram, &file.tensor("static/gram").unwrap()) < 1e-5);
    let texts = [vec![4, 5, 5, 0], vec![29, 3], vec![0]];
    let embedded = small.embed(&texts).unwrap();
    let cosines = embedded.matmul(&embedded.t().unwrap()).unwrap();
    assert!(off(&cosines, &file.tensor("static/cosines").unwrap()) < 1e-5);
    let back = StaticEmbedding::from_state_dict(&small.to_state_dict().unwrap()).unwrap();
    assert_eq!(back.embed(&texts).unwrap().to_vec(), embedded.to_vec());
    assert!(small.embed(&[vec![30]]).unwrap_err().to_string().contains("below 30"));
    let many = StaticConfig { dimensions: Some(40), ..config };
    assert!(StaticEmbedding::distil(30, &[], encode, &many).is_err());
}

#[test]
fn a_chain_is_measured_step_by_step() {
    let (train, test) = halves();
    let teacher = taught(conv(8, 1), &train);
    let recipe = Distill::kd(4.0).budget(4, 32);
    let chain = Compress::new(recipe).prune(0.5).tune(2).qat(2);
    let report = chain.run("digits", &teacher, |s| conv(3, s), [&train, &test], 2).unwrap();
    let names: Vec<&str> = report.trials.ways.iter().map(|w| w.name.as_str()).collect();
    let steps = ["", ", pruned", ", pruned, int8", ", pruned, int8 with training"];
    let expected: Vec<String> = [NO_TEACHER, "distilled"]
        .iter()
        .flat_map(|who| steps.map(|step| format!("{who}{step}")))
        .collect();
    assert_eq!(names, expected);
    assert_eq!(report.compression.networks.len(), 9);
    assert_eq!(report.compression.paired.len(), 7);
    let bytes: Vec<usize> = report.compression.networks.iter().map(|m| m.bytes).collect();
    assert!(bytes[0] > bytes[5] && bytes[5] > bytes[6] && bytes[6] > 2 * bytes[7], "{bytes:?}");
    assert!(report.compression.networks[5..].iter().all(|m| m.p.is_some()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/report.html");
    report.save(&path).unwrap();
    let html = std::fs::read_to_string(&path).unwrap();
    assert!(
        html.contains("<svg")
            && html.contains("distilled, pruned, int8")
            && html.contains("p</th>")
    );
    let json = std::fs::read_to_string(path.with_extension("json")).unwrap();
    let back: DistillReport = serde_json::from_str(&json).unwrap();
    assert_eq!(back.compression.networks.len(), 9);
    let json = serde_json::to_string(&chain).unwrap();
    assert_eq!(serde_json::from_str::<Compress>(&json).unwrap(), chain);
}
