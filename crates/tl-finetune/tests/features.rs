//! Feature extraction, its cache, probes, the report and the suggestion.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Dataset, samples};
use tl_finetune::{
    Error, Extract, FineTune, FineTuneReport, LoraConfig, Method, Pooling, Probe, Suggest,
    probe_by_layer,
};
use tl_nn::{
    Act, Conv2d, Ctx, Dropout, Flatten, Forward, GlobalAvgPool, Linear, ModuleExt, Sequential,
    Tensor, module,
};
use tl_tensor::Conv;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn net() -> Sequential {
    let mut rng = rng(3);
    let conv = Conv2d::new(1, 8, 3, &mut rng).options(Conv::new().padding(1));
    Sequential::new()
        .named("conv", conv)
        .push(Act::Relu)
        .push(Dropout::new(0.5))
        .push(GlobalAvgPool)
        .named("pool", Flatten)
        .named("fc", Linear::new(8, 10, &mut rng))
}

fn few() -> Dataset {
    samples::digits().k_shot(6, &mut rng(1)).unwrap().0
}

fn numbers(data: &Dataset) -> Vec<f32> {
    data.features().to_vec()
}

#[test]
fn layers_by_path_are_those_of_the_model_whatever_the_batches() {
    let (data, model) = (few(), net());
    let mut cx = Ctx::eval().capture("conv").unwrap();
    let logits = model.forward(data.features(), &mut cx).unwrap().to_vec();
    let conv = cx.tapped("conv").unwrap().clone();
    let near = |a: Vec<f32>, b: Vec<f32>| {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            approx::assert_relative_eq!(*a, b, max_relative = 1e-4, epsilon = 1e-5);
        }
    };
    for batch in [1, 7, 1000] {
        let extract = Extract::new().batch(batch);
        near(numbers(&extract.run(&model, &data).unwrap()), logits.clone());
        let mean = conv.flatten(2, -1).unwrap().mean(2, false).unwrap();
        let layer = extract.clone().layer("conv");
        near(numbers(&layer.run(&model, &data).unwrap()), mean.to_vec());
        let flat = layer.pooling(Pooling::Flatten).run(&model, &data).unwrap();
        assert_eq!(flat.features().dims(), [data.len(), 8 * 64]);
        near(numbers(&flat), conv.to_vec());
    }
    let error = Extract::new().layer("convv").run(&model, &data).unwrap_err().to_string();
    assert!(error.contains("conv") && error.contains("pool"), "{error}");
    assert!(Extract::new().batch(0).run(&model, &data).is_err());
    let first = Extract::new().layer("conv").pooling(Pooling::First);
    assert!(first.run(&model, &data).unwrap_err().to_string().contains("tokens"));
}

#[test]
fn a_cache_knows_samples_and_refuses_what_is_stale() {
    let (data, model) = (few(), net());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pool.safetensors");
    let extract = Extract::new().layer("pool").preprocessing("none").cache(&file);
    let half = data.select(&(0..30).collect::<Vec<_>>()).unwrap();
    let plain = Extract { cache: None, ..extract.clone() };
    let want = numbers(&plain.run(&model, &data).unwrap());
    let near = |a: &[f32], b: &[f32]| {
        for (a, b) in a.iter().zip(b) {
            approx::assert_relative_eq!(*a, *b, max_relative = 1e-4, epsilon = 1e-6);
        }
    };
    near(&numbers(&extract.run(&model, &half).unwrap()), &want[..30 * 8]);
    // More samples are added; others, in any order, are read.
    near(&numbers(&extract.run(&model, &data).unwrap()), &want);
    let before = std::fs::read(&file).unwrap();
    let order: Vec<usize> = (0..data.len()).rev().collect();
    let back = numbers(&extract.run(&model, &data.select(&order).unwrap()).unwrap());
    near(&back[..8], &want[want.len() - 8..]);
    assert_eq!(std::fs::read(&file).unwrap(), before, "nothing is computed or written");
    // Other weights, another layer, other preprocessing.
    let mut other = net();
    other
        .for_each_param(|path, p| {
            if path == "conv.bias" {
                p.update(|x| x[0] += 1e-6);
            }
            Ok(())
        })
        .unwrap();
    let stale = |result: tl_finetune::Result<Dataset>, says: &str| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Stale { .. }), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
    };
    stale(extract.run(&other, &data), "weights");
    stale(extract.clone().layer("fc").run(&model, &data), "layer");
    stale(extract.clone().preprocessing("scaled").run(&model, &data), "scaled");
    // A damaged file is an error, not a surprise.
    std::fs::write(&file, &before[..before.len() / 2]).unwrap();
    assert!(extract.run(&model, &data).is_err());
}

#[test]
fn every_probe_learns() {
    let (train, test) = samples::digits().k_shot(15, &mut rng(2)).unwrap();
    let pixels = |d: &Dataset| d.with_features(&d.features().flatten(1, -1).unwrap()).unwrap();
    let (train, test) = (pixels(&train), pixels(&test));
    for probe in [
        Probe::Linear,
        Probe::logistic(),
        Probe::Ridge { alpha: 1.0 },
        Probe::Knn { k: 3 },
        Probe::Centroid,
        Probe::Mlp { hidden: 32, epochs: 150 },
    ] {
        let fitted = probe.fit(&train, 0).unwrap();
        let accuracy = fitted.accuracy(&test).unwrap();
        assert!(accuracy > 0.7, "{probe:?} {accuracy}");
        let affine = matches!(probe, Probe::Linear | Probe::Logistic { .. } | Probe::Ridge { .. });
        assert_eq!(fitted.head().is_some(), affine);
        assert_eq!(fitted.predict(test.features()).unwrap().len(), test.len());
        let text = serde_json::to_string(&probe).unwrap();
        assert_eq!(serde_json::from_str::<Probe>(&text).unwrap(), probe);
    }
    assert!(Probe::Logistic { c: Vec::new() }.fit(&train, 0).is_err());
    assert!(Probe::Mlp { hidden: 0, epochs: 1 }.fit(&train, 0).is_err());
    assert!(Probe::Centroid.fit(&train.without_targets(), 0).is_err());
}

#[test]
fn the_better_layer_is_named() {
    let (train, held) = samples::digits().k_shot(15, &mut rng(2)).unwrap();
    let held = held.k_shot(20, &mut rng(3)).unwrap().0;
    let extract = Extract::new().pooling(Pooling::Flatten);
    let layers = ["pool", "conv"];
    let both = [&train, &held];
    let report = probe_by_layer(&net(), both, &layers, &Probe::Centroid, &extract, 0).unwrap();
    assert_eq!(report.best().unwrap().layer, "conv", "{report}");
    assert!(report.to_string().contains("best"));
    assert_eq!(report.layers[1].size, 512);
    assert!(probe_by_layer(&net(), both, &[], &Probe::Centroid, &extract, 0).is_err());
}

#[test]
fn a_report_has_everything_and_reads_back() {
    let (few, test) = samples::digits().k_shot(3, &mut rng(2)).unwrap();
    let test = test.k_shot(10, &mut rng(3)).unwrap().0;
    let mut report = FineTuneReport::new("digits <few>");
    for seed in 0..3 {
        for (way, epochs) in [("from scratch", 1), ("longer", 20)] {
            report
                .run(way, &test, || {
                    let mut model = Sequential::new()
                        .push(Flatten)
                        .named("fc", Linear::new(64, 10, &mut rng(seed)));
                    let tune = FineTune::new(Method::HeadOnly, "fc.**").epochs(epochs);
                    tune.seed(seed).lr(0.02).fit(&mut model, &few)?;
                    Ok(model)
                })
                .unwrap();
        }
    }
    assert_eq!(report.ways.len(), 2);
    assert_eq!(report.ways[0].trainable, 650);
    let mean: f64 = report.ways[1].classes.iter().map(|c| c.recall).sum::<f64>() / 10.0;
    approx::assert_relative_eq!(
        mean,
        report.trials.summary("longer").unwrap().mean,
        epsilon = 1e-9
    );
    let back: FineTuneReport = serde_json::from_str(&report.to_json().unwrap()).unwrap();
    assert_eq!(back.trials, report.trials);
    let page = report.to_html();
    assert!(page.contains("digits &lt;few&gt;") && !page.contains("http"), "self-contained");
    assert!(page.contains("longer") && page.contains("<svg"));
    let folder = tempfile::tempdir().unwrap();
    report.save(folder.path().join("a/report.html")).unwrap();
    report.save(folder.path().join("a/report.json")).unwrap();
}

/// A body and a head.
#[derive(Clone)]
struct Net {
    body: Linear,
    fc: Linear,
}
module!(Net { body, fc });

impl Net {
    fn features(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        Ok(self.body.forward(&x.flatten(1, -1)?, cx)?.relu())
    }
}

impl Forward for Net {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        self.fc.forward(&self.features(x, cx)?, cx)
    }
}

#[test]
fn a_suggestion_names_a_winner_and_keeps_to_its_budget() {
    let data = samples::digits().k_shot(12, &mut rng(2)).unwrap().0;
    let net = Net { body: Linear::new(64, 32, &mut rng(0)), fc: Linear::new(32, 10, &mut rng(0)) };
    let tune = FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**").epochs(5).lr(0.01);
    let mut suggest = Suggest::new(tune).budget(20.0).lora(LoraConfig::new(["body"]).train(["fc"]));
    let run = |suggest: &Suggest| suggest.run(&net, &data, Net::features, |net| &mut net.fc);
    let found = run(&suggest).unwrap();
    assert_eq!(found.trials.ways.len() + found.left_out.len(), 4, "{found}");
    assert!(found.trials.ways.iter().any(|w| w.name == found.winner));
    assert!(found.to_string().contains("Best on the validation splits"));
    let means: Vec<f64> =
        found.trials.ways.iter().map(|w| found.trials.summary(&w.name).unwrap().mean).collect();
    let winner = found.trials.summary(&found.winner).unwrap().mean;
    assert!(means.iter().all(|m| *m <= winner));
    // No time at all: only the probe is left.
    suggest.budget = 1e-9;
    let found = run(&suggest).unwrap();
    assert_eq!(found.winner, "probe");
    assert_eq!(found.left_out.len(), 3);
    suggest.held_out = 1.0;
    assert!(run(&suggest).unwrap_err().to_string().contains("held_out"));
}
