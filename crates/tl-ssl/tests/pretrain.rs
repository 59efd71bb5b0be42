//! Every method trains, keeps names, resumes to the same bits; collapse is noticed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Dataset, samples, transform::RandomAffine};
use tl_models::{Backbone, VisionTransformer, VitConfig};
use tl_nn::{
    Act, AdaptiveAvgPool2d, BatchNorm2d, Conv, Conv2d, Ctx, Dropout, Flatten, Forward, Linear,
    ModuleExt, Sequential, Tensor,
};
use tl_ssl::{
    Error, HidePatches, Mae, Method, Pretrain, Rule, Same, Scarf, SwapColumns, VicReg, Views,
    Watch, alignment, gradient_cache, nt_xent,
};

fn encoder() -> Sequential {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    Sequential::new().push(Flatten).push(Linear::new(64, 48, &mut rng)).push(Act::Relu)
}

fn views() -> RandomAffine {
    RandomAffine::new().degrees(12.0).translate(0.12)
}

#[test]
fn every_method_trains_and_keeps_the_names() {
    let data = samples::digits();
    for method in [
        Method::simclr(),
        Method::MoCo { temperature: 0.2, momentum: 0.99, queue: 512 },
        Method::sup_con(),
        Method::vicreg(),
        Method::barlow_twins(),
        Method::byol(),
        Method::SimSiam,
        Method::SwAv { prototypes: 30 },
        Method::Dino { prototypes: 64, decay: 0.9, temperature: 0.04 },
        Method::Rotation,
        Method::jigsaw(),
        Method::Denoise,
        Method::masked(2),
        Method::in_painting(2),
    ] {
        let mut net = encoder();
        let run = Pretrain::new(method).epochs(4).fit(&mut net, &data, &views()).unwrap();
        let records = &run.train.history.records;
        assert!(records[3].train["loss"] < records[0].train["loss"], "{method:?}");
        assert!(run.health.spread > 0.1, "{method:?} {:?}", run.health);
        let names: Vec<String> = net.params().into_iter().map(|(p, _)| p).collect();
        assert_eq!(names, ["1.weight", "1.bias"]);
        let out = net.forward(data.features(), &mut Ctx::eval()).unwrap();
        assert_eq!(out.dims(), [1797, 48]);
    }
}

#[test]
fn views_bring_the_same_closer() {
    let data = samples::digits();
    let mut net = encoder();
    let apart = |net: &Sequential| {
        use tl_data::transform::Transform;
        let x = data.features().narrow(0, 0, 200).unwrap();
        let view = |seed| views().apply(&x, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let z = |seed| {
            let f = net.forward(&view(seed), &mut Ctx::eval()).unwrap();
            f.sub(&f.mean(0, true).unwrap()).unwrap()
        };
        alignment(&z(1), &z(2)).unwrap()
    };
    let before = apart(&net);
    Pretrain::new(Method::vicreg()).epochs(6).fit(&mut net, &data, &views()).unwrap();
    assert!(apart(&net) < before, "{before} {}", apart(&net));
}

#[test]
fn collapse_stops_with_advice() {
    let data = samples::digits();
    // Nothing pulls features apart.
    let only = VicReg { variance: 0.0, covariance: 0.0, ..VicReg::default() };
    let mut net = encoder();
    let mut run = Pretrain::new(Method::VicReg(only)).epochs(60);
    run.training.lr = 0.02;
    run.least_spread = 0.3;
    let error = run.fit(&mut net, &data, &views()).unwrap_err();
    assert!(matches!(error, Error::Collapsed { .. }), "{error}");
    assert!(error.to_string().contains("raise the weight of the variance"));
    // What was there is still there.
    assert_eq!(net.state_dict().to_bytes().unwrap(), encoder().state_dict().to_bytes().unwrap());
    assert!(Pretrain::new(Method::simclr()).epochs(0).fit(&mut net, &data, &views()).is_err());
    assert!(serde_json::from_str::<Pretrain>(r#"{"method":"sim_siam","epoch":3}"#).is_err());
    let read: Pretrain =
        serde_json::from_str(r#"{"method":"sim_siam","training":{"epochs":3}}"#).unwrap();
    assert_eq!(read, Pretrain::new(Method::SimSiam).epochs(3));
}

fn digits_as_rows() -> Dataset {
    let data = samples::digits();
    data.with_features(&data.features().flatten(1, -1).unwrap()).unwrap()
}

#[test]
fn tables_with_categories() {
    let (zoo, names) = samples::zoo();
    let _ = names;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let data = zoo.without_targets();
    let width = data.sample_shape()[0];
    for method in [Method::vime(), Method::Vime { swap: SwapColumns { part: 0.5 }, alpha: 1.0 }] {
        let mut net = Sequential::new().push(Linear::new(width, 16, &mut rng)).push(Act::Relu);
        let run = Pretrain::new(method).epochs(20).batch(32).fit(&mut net, &data, &Same).unwrap();
        let records = &run.train.history.records;
        assert!(records[13].train["loss"] < records[0].train["loss"]);
        assert!(
            records[0].train.contains_key("loss.mask")
                && records[0].train.contains_key("loss.values")
        );
    }
    // SCARF: one view is the row, the other has swapped columns.
    let mut net = Sequential::new().push(Linear::new(64, 32, &mut rng)).push(Act::Relu);
    let scarf = Pretrain::new(Method::scarf()).epochs(3);
    let rows = digits_as_rows();
    let views = Scarf::new(&rows).unwrap();
    let run = scarf.fit(&mut net, &rows, Views::pair(&Same, &views)).unwrap();
    let records = &run.train.history.records;
    assert!(run.health.spread > 0.1 && records[2].train["loss"] < records[0].train["loss"]);
    assert!(Scarf::new(&samples::digits()).is_err());
}

#[test]
fn scarf_draws_categories_from_the_whole_table() {
    use tl_data::transform::Transform;
    // A number, and a category of three that one row alone has as its third.
    let mut rows = Vec::new();
    for i in 0..40 {
        let category = if i == 39 { 2 } else { i % 2 };
        rows.push(i as f32);
        rows.extend((0..3).map(|c| f32::from(u8::from(c == category))));
    }
    let table = Dataset::unlabelled(Tensor::from_vec(rows, [40, 4]).unwrap()).unwrap();
    let table = table.with_feature_names(["size", "kind=a", "kind=b", "kind=c"]).unwrap();
    let scarf = Scarf::new(&table).unwrap().part(1.0);
    let few = table.features().narrow(0, 0, 8).unwrap();
    let (mut rare, mut sizes) = (0, std::collections::BTreeSet::new());
    for seed in 0..40 {
        let view = scarf.apply(&few, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        for row in view.to_vec().chunks(4) {
            assert_eq!(row[1..].iter().sum::<f32>(), 1.0);
            rare += usize::from(row[3] == 1.0);
            sizes.insert(row[0] as usize);
        }
    }
    // Rows that are not in the batch give values too, as often as others.
    assert!(sizes.len() > 35 && (2..20).contains(&rare), "{} {rare}", sizes.len());
    assert!(scarf.part(2.0).apply(&few, &mut ChaCha8Rng::seed_from_u64(0)).is_err());
}

#[test]
fn grey_pictures_get_their_colours_back() {
    let digits = samples::digits();
    let x = digits.features();
    // Ink is red above and blue below.
    let fade =
        Tensor::arange(0.0, 8.0, 1.0).unwrap().mul_scalar(1.0 / 7.0).reshape([8, 1]).unwrap();
    let (red, blue) = (x.mul(&fade.neg().add_scalar(1.0)).unwrap(), x.mul(&fade).unwrap());
    let colour = Tensor::cat(&[&red, &x.mul_scalar(0.2), &blue], 1).unwrap();
    let data = digits.with_features(&colour).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut net =
        Sequential::new().push(Flatten).push(Linear::new(192, 48, &mut rng)).push(Act::Relu);
    let run = Pretrain::new(Method::Colour).epochs(6).fit(&mut net, &data, &Same).unwrap();
    let records = &run.train.history.records;
    assert!(records[5].train["loss"] < 0.3 * records[0].train["loss"]);
    let grey = Pretrain::new(Method::Colour).fit(&mut encoder(), &digits, &Same).unwrap_err();
    assert!(grey.to_string().contains("colour pictures"), "{grey}");
}

/// A picture of any size to a row.
fn pooled() -> Sequential {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    Sequential::new()
        .push(Conv2d::new(1, 12, 3, &mut rng).options(Conv::new().padding(1)))
        .push(BatchNorm2d::new(12))
        .push(Act::Relu)
        .push(AdaptiveAvgPool2d::new([2, 2]))
        .push(Flatten)
}

#[test]
fn local_views_may_be_smaller() {
    let data = samples::digits();
    let data = data.select(&(0..512).collect::<Vec<_>>()).unwrap();
    let (whole, part) = (views(), tl_data::transform::RandomCrop::new(4, 4));
    for method in [
        Method::Dino { prototypes: 32, decay: 0.9, temperature: 0.04 },
        Method::SwAv { prototypes: 20 },
        Method::SimSiam,
    ] {
        let views = Views::of(&whole).local(&part, 3);
        let mut net = pooled();
        let run = Pretrain::new(method).epochs(3).fit(&mut net, &data, views).unwrap();
        let records = &run.train.history.records;
        assert!(records[2].train["loss"] < records[0].train["loss"], "{method:?}");
    }
    let three = Views::of(&whole).count(3);
    for method in [Method::simclr(), Method::vicreg()] {
        Pretrain::new(method).epochs(1).fit(&mut pooled(), &data, three).unwrap();
    }
    let one = Views::of(&whole).count(1);
    assert!(Pretrain::new(Method::simclr()).fit(&mut pooled(), &data, one).is_err());
}

#[test]
fn a_cached_gradient_is_that_of_the_whole_batch() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let net = Sequential::new()
        .push(Linear::new(6, 8, &mut rng))
        .push(Act::Tanh)
        .push(Linear::new(8, 4, &mut rng));
    let (a, b) = (Tensor::randn([24, 6], &mut rng), Tensor::randn([24, 6], &mut rng));
    let forward = |x: &Tensor| net.forward(x, &mut Ctx::train(0)).unwrap();
    let whole = nt_xent(&forward(&a), &forward(&b), 0.2).unwrap();
    let want = whole.backward().unwrap();
    let chunks: Vec<Tensor> =
        [&a, &b].iter().flat_map(|x| x.split(&[10, 9, 5], 0).unwrap()).collect();
    let embed = |net: &Sequential, x: &Tensor, cx: &mut Ctx| net.forward(x, cx);
    let (loss, got) = gradient_cache(&net, &chunks, &mut Ctx::train(0), embed, |z| {
        let z: Vec<&Tensor> = z.iter().collect();
        nt_xent(&Tensor::cat(&z[..3], 0)?, &Tensor::cat(&z[3..], 0)?, 0.2)
    })
    .unwrap();
    approx::assert_relative_eq!(loss.item().unwrap(), whole.item().unwrap(), epsilon = 1e-6);
    for weight in net.trainable() {
        let (got, want) = (got.get(weight).unwrap().to_vec(), want.get(weight).unwrap().to_vec());
        for (got, want) in got.iter().zip(want) {
            approx::assert_relative_eq!(*got, want, max_relative = 1e-4, epsilon = 1e-6);
        }
    }
}

#[test]
fn parts_of_a_batch() {
    let data = samples::digits();
    let fit = |run: Pretrain| {
        let mut net = encoder();
        let run = run.epochs(3).batch(512).fit(&mut net, &data, &views()).unwrap();
        run.train.history.records[2].train["loss"]
    };
    let whole = fit(Pretrain::new(Method::simclr()));
    let parts = fit(Pretrain::new(Method::simclr()).chunk(128));
    // The projector's normalisation sees a part: nearly the same.
    assert!((whole - parts).abs() < 0.05 * whole, "{whole} {parts}");
    let lars = fit(Pretrain::new(Method::simclr()).rule(Rule::Lars).lr(0.5));
    assert!(lars < 6.9, "{lars}");
    let byol = Pretrain::new(Method::byol()).chunk(64);
    let error = byol.fit(&mut encoder(), &data, &views()).unwrap_err();
    assert!(error.to_string().contains("projections alone"), "{error}");
}

#[test]
fn interrupted_runs_end_the_same() {
    let data = samples::digits();
    let data = data.select(&(0..512).collect::<Vec<_>>()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let queue = Method::MoCo { temperature: 0.2, momentum: 0.99, queue: 300 };
    let teacher = Method::Dino { prototypes: 32, decay: 0.9, temperature: 0.04 };
    for (i, method) in [queue, teacher, Method::byol()].into_iter().enumerate() {
        let run = || Pretrain::new(method).epochs(4).batch(64).seed(3);
        let (mut whole, mut broken) = (encoder(), encoder());
        run().fit(&mut whole, &data, &views()).unwrap();
        // The transform that fails in the third epoch stands for a crash.
        let path = folder.path().join(format!("{i}.safetensors"));
        let failing = Failing::after(2 * 2 * 8 + 2 * 2 + 3);
        let error = run().checkpoint(&path).fit(&mut broken, &data, &failing).unwrap_err();
        assert!(error.to_string().contains("power"), "{error}");
        run().checkpoint(&path).fit(&mut broken, &data, &views()).unwrap();
        assert_eq!(
            whole.state_dict().to_bytes().unwrap(),
            broken.state_dict().to_bytes().unwrap(),
            "{method:?}"
        );
    }
}

/// The views of this file, until they were made so many times.
struct Failing(std::sync::atomic::AtomicUsize);

impl Failing {
    fn after(times: usize) -> Self {
        Self(times.into())
    }
}

impl tl_data::transform::Transform for Failing {
    fn apply(&self, x: &Tensor, rng: &mut ChaCha8Rng) -> tl_data::Result<Tensor> {
        use std::sync::atomic::Ordering;
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_err() {
            let (got, expected) = (vec![], "power".to_owned());
            return Err(tl_data::Error::Shape { op: "view", got, expected });
        }
        views().apply(x, rng)
    }
}

#[test]
fn a_watched_run_is_judged_by_labels() {
    let data = samples::digits();
    let (bank, rest) = data.k_shot(10, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    let watch = Watch::new(&bank, &rest).unwrap();
    let run = Pretrain::new(Method::vicreg()).epochs(5);
    let report = run.fit_watched(&mut encoder(), &data, &views(), &watch).unwrap();
    let record = report.train.history.records.last().unwrap();
    assert!(
        record.validation["knn"] > 0.6 && record.validation["probe"] > 0.7,
        "{:?}",
        record.validation
    );
    assert!(record.validation["alignment"] > 0.0 && record.validation["rank"] > 3.0);
    assert!(Watch::new(&bank, &rest.without_targets()).is_err());
}

#[test]
fn dropout_makes_views() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut net = Sequential::new()
        .push(Dropout::new(0.1))
        .push(Linear::new(64, 32, &mut rng))
        .push(Act::Tanh);
    let run = Pretrain::new(Method::simcse()).epochs(4).fit(&mut net, &digits_as_rows(), &Same);
    let records = run.unwrap().train.history.records;
    assert!(records[3].train["loss"] < records[0].train["loss"]);
}

#[test]
fn a_masked_autoencoder_finds_pixels() {
    let grey = samples::digits();
    let colour = grey.features().broadcast_to([grey.len(), 3, 8, 8]).unwrap();
    let data = grey.with_features(&colour.contiguous()).unwrap();
    let config =
        VitConfig { image: 8, patch: 2, width: 32, depth: 2, heads: 4, hidden: 64, classes: 10 };
    let mut vit = VisionTransformer::new(&config, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let head = vit.head.weight.tensor().to_vec();
    // What knowing only the mean of every pixel would give.
    let x = data.features();
    let spread = x.sub(&x.mean(0, true).unwrap()).unwrap().square().mean_all().item().unwrap();
    let mut half = Mae::new(2).epochs(14).batch(32);
    (half.hide.part, half.training.lr) = (0.5, 5e-3);
    let run = half.fit(&mut vit, &data, &Same).unwrap();
    let loss = run.train.history.records[13].train["loss"];
    assert!(loss < 0.8 * f64::from(spread), "{loss} of {spread}");
    // The classifier had no part in it and is as free as before.
    assert_eq!(vit.head.weight.tensor().to_vec(), head);
    assert!(vit.params().iter().all(|(_, p)| !p.is_frozen()));
    // Patches of another side than the encoder's.
    let error = Mae::new(4).fit(&mut vit, &data, &Same).unwrap_err().to_string();
    assert!(error.contains("a token for each patch"), "{error}");
    let all = Mae { hide: HidePatches { patch: 2, part: 0.99 }, ..Mae::new(2) };
    assert!(all.fit(&mut vit, &data, &Same).is_err());
    Mae::new(2).standardise(true).epochs(1).fit(&mut vit, &data, &Same).unwrap();
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let rows = digits_as_rows();
    let mut net = Linear::new(64, 8, &mut ChaCha8Rng::seed_from_u64(0));
    let mut why =
        |method| Pretrain::new(method).fit(&mut net, &rows, &Same).unwrap_err().to_string();
    assert!(why(Method::Rotation).contains("square pictures"));
    assert!(why(Method::jigsaw()).contains("multiples of 2"));
    assert!(why(Method::masked(2)).contains("pictures"));
    assert!(why(Method::Jigsaw { grid: 2, orders: 30 }).contains("24 orders"));
    assert!(why(Method::MoCo { temperature: 0.2, momentum: 2.0, queue: 8 }).contains("momentum"));
    let upside_down = VicReg { variance: -1.0, ..VicReg::default() };
    for method in [
        Method::VicReg(upside_down),
        Method::BarlowTwins { lambda: f64::NAN },
        Method::Byol { decay: 1.5 },
        Method::Dino { prototypes: 8, decay: -0.1, temperature: 0.04 },
        Method::SwAv { prototypes: 1 },
        Method::Vime { swap: SwapColumns { part: 0.3 }, alpha: -2.0 },
        Method::SimClr { temperature: 0.0 },
    ] {
        assert!(why(method).contains("expected"), "{method:?}");
    }
    let backwards = Pretrain::new(Method::simclr()).lr(-1e-3);
    let error =
        backwards.fit(&mut Linear::new(64, 8, &mut ChaCha8Rng::seed_from_u64(0)), &rows, &Same);
    assert!(error.unwrap_err().to_string().contains("finite rate"));
    let unlabelled = rows.without_targets();
    assert!(Pretrain::new(Method::sup_con()).fit(&mut net, &unlabelled, &Same).is_err());
}
