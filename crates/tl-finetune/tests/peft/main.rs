//! Adapters: against PEFT's own numbers, and on their own.

#![allow(clippy::print_stderr)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tl_data::samples;
use tl_finetune::{
    BottleneckConfig, FineTune, Ia3Config, LoraConfig, LoraInit, Method, PeftConfig, VeraConfig,
    WholeConfig, peft,
};
use tl_models::{BertConfig, BertForSequenceClassification};
use tl_nn::{
    Act, BatchNorm2d, Conv2d, Ctx, Flatten, Forward, GlobalAvgPool, LayerNorm, Linear, Load,
    Module, ModuleExt, Sequential, StateDict, Tensor, Visit, VisitMut, Weight,
};
use tl_tensor::Conv;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn fixtures() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/peft").into()
}

/// The network of `tools/fixtures/adapters.py`.
fn net() -> Sequential {
    let mut rng = rng(3);
    let conv = Conv2d::new(1, 4, 3, &mut rng).options(Conv::new().padding(1));
    Sequential::new()
        .named("conv", conv)
        .push(Act::Relu)
        .push(GlobalAvgPool)
        .push(Flatten)
        .named("query", Linear::new(4, 6, &mut rng))
        .push(Act::Relu)
        .named("value", Linear::new(6, 5, &mut rng))
        .named("norm", LayerNorm::new(5))
        .named("classifier", Linear::new(5, 3, &mut rng))
}

fn images() -> Tensor {
    Tensor::randn([4, 1, 5, 5], &mut rng(8))
}

fn out<M: Forward>(model: &M, x: &Tensor) -> Vec<f32> {
    model.forward(x, &mut Ctx::eval()).unwrap().to_vec()
}

fn close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 2e-5 * scale, "{what} at {i}: {a} and {b}");
    }
}

/// Loads what PEFT trained; outputs and the gradient of every trained parameter are
/// PEFT's.
fn parity<M: Forward>(case: &str, mut model: M) {
    let folder = fixtures().join(case);
    peft::load(&mut model, "default", &folder).unwrap();
    let expected = StateDict::open(folder.join("expected.safetensors")).unwrap();
    let x = expected.tensor("x").unwrap();
    let y = model.forward(&x, &mut Ctx::train(0)).unwrap();
    close(&y.to_vec(), &expected.tensor("y").unwrap().to_vec(), case);
    let loss = y.mul(&expected.tensor("target").unwrap()).unwrap().sum_all();
    let gradients = loss.backward().unwrap();
    let params: BTreeMap<String, &tl_nn::Param> = model.params().into_iter().collect();
    let mut seen = 0;
    for (name, weight) in expected.iter() {
        let Some(key) = name.strip_prefix("grad.base_model.model.") else { continue };
        let path = own_path(key);
        let param = params.get(&path).unwrap_or_else(|| panic!("{case}: no {path} for {key}"));
        let gradient = gradients.get(param.tensor()).unwrap_or_else(|| panic!("{path}")).to_vec();
        close(&gradient, &weight.to_tensor().unwrap().to_vec(), &format!("{case} {key}"));
        seen += 1;
    }
    assert_eq!(seen, model.trainable().len(), "{case}");
    assert!(seen > 0);
    // Written again it is the same file, up to the shapes of vectors.
    let again = peft::adapter_state(&model, "default").unwrap();
    let theirs = StateDict::open(folder.join("adapter_model.safetensors")).unwrap();
    for (name, weight) in theirs.iter() {
        let name = name.replace(".ln_tuning_layers.", ".").replace(".base_layer.", ".");
        let ours = again.get(&name).unwrap_or_else(|| panic!("{case}: {name} is not saved"));
        assert_eq!(ours.bytes(), weight.bytes(), "{case} {name}");
        assert_eq!(ours.dims(), weight.dims(), "{case} {name}");
    }
    assert_eq!(again.len(), theirs.len());
    // Merged it gives the same, and back to the same bits.
    let (adapted, base) = (out(&model, &x), model.clone());
    peft::merge(&mut model).unwrap();
    close(&out(&model, &x), &adapted, &format!("{case} merged"));
    peft::unmerge(&mut model).unwrap();
    assert_eq!(model.state_dict(), base.state_dict());
    assert_eq!(out(&model, &x), adapted);
}

/// The path here of a parameter in PEFT's file.
fn own_path(key: &str) -> String {
    for (part, name) in [
        (".lora_A.weight", "lora_A"),
        (".lora_B.weight", "lora_B"),
        (".lora_magnitude_vector", "lora_magnitude_vector"),
        (".ia3_l", "ia3_l"),
        (".vera_lambda_b", "vera_lambda_b"),
        (".vera_lambda_d", "vera_lambda_d"),
    ] {
        if let Some(module) = key.strip_suffix(part) {
            return format!("{module}.weight.default.{name}");
        }
    }
    let path = key.replace(".ln_tuning_layers.", ".").replace(".base_layer.", ".");
    format!("{path}.default.whole")
}

#[test]
fn what_peft_trained_loads_with_its_outputs_and_gradients() {
    for case in ["lora", "rslora", "dora", "bias", "ia3", "vera", "ln"] {
        let mut model = net();
        let base = StateDict::open(fixtures().join("net.safetensors")).unwrap();
        let _ = model.load(&base, &Load::strict()).unwrap();
        parity(case, model);
    }
}

#[test]
fn a_peft_adapter_of_bert_loads_by_its_names() {
    let config = BertConfig {
        vocab_size: 40,
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 12,
        max_position_embeddings: 16,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..BertConfig::default()
    };
    let mut model = BertForSequenceClassification::from_safetensors(
        &config,
        3,
        fixtures().join("bert.safetensors"),
    )
    .unwrap();
    model.dropout.p = 0.0;
    parity("bert", model);
}

fn configs() -> Vec<(&'static str, PeftConfig)> {
    let mut random = LoraConfig::new(["query", "conv"]).rank(2).train(["classifier"]);
    random.init = LoraInit::Random;
    let mut dora = random.clone().dora();
    dora.targets.push("value".into());
    vec![
        ("lora", random.into()),
        ("dora", dora.into()),
        ("ia3", Ia3Config::new(["query"], ["value"]).train(["classifier"]).into()),
        ("vera", VeraConfig::new(["query", "value"]).rank(5).into()),
        ("bottleneck", BottleneckConfig::new(["query", "value"]).into()),
        ("bitfit", WholeConfig::bit_fit().into()),
        ("norms", WholeConfig::layer_norms().train(["classifier"]).into()),
    ]
}

/// Moves what is trained to where training could have left it.
fn move_trained<M: Module>(model: &mut M, by: f32) {
    model
        .for_each_param(|_, param| {
            if !param.is_frozen() {
                let mut at = 0.0_f32;
                param.update(|x| {
                    for x in x {
                        at += 0.7;
                        *x += by * at.sin();
                    }
                });
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_method_begins_as_nothing_trains_saves_loads_and_switches() {
    let x = images();
    for (name, config) in configs() {
        let base = net();
        let mut model = base.clone();
        let attached = peft::attach(&mut model, "one", config, 5).unwrap();
        assert_eq!(attached.trainable, model.count_params().0, "{name}");
        assert_eq!(attached.of, base.count_params().1);
        if !["lora", "dora", "bottleneck"].contains(&name) {
            close(&out(&model, &x), &out(&base, &x), name);
        }
        // Every trained parameter gets a gradient; nothing of the base does.
        let loss = model.forward(&x, &mut Ctx::train(1)).unwrap().square().sum_all();
        let gradients = loss.backward().unwrap();
        for (path, param) in model.params() {
            let has = gradients.get(param.tensor()).is_some();
            assert_eq!(has, !param.is_frozen(), "{name} {path}");
        }
        move_trained(&mut model, 0.1);
        let adapted = out(&model, &x);
        assert_ne!(adapted, out(&base, &x), "{name}");

        // Alone on disk, and back onto another copy of the base.
        let folder = tempfile::tempdir().unwrap();
        peft::save(&model, "one", folder.path()).unwrap();
        let mut again = base.clone();
        peft::load(&mut again, "two", folder.path()).unwrap();
        close(&out(&again, &x), &adapted, name);
        assert_eq!(again.count_params().0, model.count_params().0);

        // Off, and on again.
        peft::disable(&mut model).unwrap();
        assert_eq!(out(&model, &x), out(&base, &x), "{name}");
        assert!(model.trainable().is_empty());
        peft::activate(&mut model, &[("one", 1.0)]).unwrap();
        assert_eq!(out(&model, &x), adapted);

        // Merged, unless it cannot be.
        let merged = peft::into_merged(&model);
        if name == "bottleneck" {
            assert!(merged.unwrap_err().to_string().contains("cannot be merged"));
        } else {
            let merged = merged.unwrap();
            assert_eq!(merged.params().len(), base.params().len());
            close(&out(&merged, &x), &adapted, name);
        }
        peft::detach(&mut model, "one").unwrap();
        assert_eq!(model.params().len(), base.params().len());
        assert_eq!(out(&model, &x), out(&base, &x));
    }
}

#[test]
fn adapters_blend_and_combine() {
    let x = images();
    let mut model = net();
    for (seed, name) in [(1, "a"), (2, "b")] {
        let mut config = LoraConfig::new(["query"]).rank(2);
        config.init = LoraInit::Random;
        peft::attach(&mut model, name, config, seed).unwrap();
    }
    assert_eq!(peft::names(&model), ["a", "b"]);
    assert_eq!(peft::active(&model), [("b".to_owned(), 1.0)]);
    peft::activate(&mut model, &[("a", 0.7), ("b", -0.4)]).unwrap();
    let blended = out(&model, &x);
    // By hand: W + 0.7 ΔW_a - 0.4 ΔW_b.
    let dict = |name: &str| peft::adapter_state(&model, name).unwrap();
    let change = |name: &str| {
        let part = |p: &str| dict(name).tensor(&format!("base_model.model.query.{p}.weight"));
        part("lora_B").unwrap().matmul(&part("lora_A").unwrap()).unwrap()
    };
    let mut by_hand = net();
    let sum = change("a").mul_scalar(0.7).add(&change("b").mul_scalar(-0.4)).unwrap();
    by_hand
        .for_each_param(|path, param| {
            if path == "query.weight" {
                let sum = param.tensor().add(&sum)?.detach();
                param.set_data(&sum)?;
            }
            Ok(())
        })
        .unwrap();
    close(&blended, &out(&by_hand, &x), "blended");
    peft::combine(&mut model, &[("a", 0.7), ("b", -0.4)], "mix").unwrap();
    assert_eq!(peft::active(&model), [("mix".to_owned(), 1.0)]);
    close(&out(&model, &x), &blended, "combined");
    // A rank of 2 + 2, saved like any other.
    let mix = peft::adapter_state(&model, "mix").unwrap();
    assert_eq!(mix.get("base_model.model.query.lora_A.weight").unwrap().dims(), [4, 4]);
    let folder = tempfile::tempdir().unwrap();
    peft::save(&model, "mix", folder.path()).unwrap();
    let mut again = net();
    peft::load(&mut again, "mix", folder.path()).unwrap();
    close(&out(&again, &x), &blended, "saved");
    // Merged models refuse what they cannot do.
    peft::merge(&mut model).unwrap();
    let say = |e: tl_finetune::Error| e.to_string();
    assert!(say(peft::activate(&mut model, &[("a", 1.0)]).unwrap_err()).contains("unmerge"));
    assert!(say(peft::merge(&mut model).unwrap_err()).contains("unmerge"));
    peft::unmerge(&mut model).unwrap();
    assert!(say(peft::activate(&mut model, &[("c", 1.0)]).unwrap_err()).contains("a, b, mix"));
    assert!(say(peft::unmerge(&mut model).unwrap_err()).contains("merge"));
    let lora = || LoraConfig::new(["query"]);
    assert!(say(peft::attach(&mut model, "a", lora(), 0).unwrap_err()).contains("free"));
    assert!(say(peft::attach(&mut model, "a.b", lora(), 0).unwrap_err()).contains("dots"));
}

#[test]
fn what_cannot_be_adapted_is_refused() {
    let mut rng = rng(0);
    let base = Sequential::new()
        .named("conv", Conv2d::new(1, 4, 3, &mut rng))
        .named("bn", BatchNorm2d::new(4));
    let say = |config: PeftConfig| {
        let mut model = base.clone();
        let error = peft::attach(&mut model, "x", config, 0).unwrap_err().to_string();
        assert_eq!(model.state_dict(), base.state_dict());
        assert!(!model.trainable().is_empty(), "still trainable");
        error
    };
    assert!(say(LoraConfig::new(["q_proj"]).into()).contains("conv"));
    assert!(say(LoraConfig::new(["bn"]).into()).contains("two axes"));
    assert!(say(LoraConfig::new(["conv"]).rank(0).into()).contains("rank of 1"));
    assert!(say(LoraConfig::new(["conv"]).dropout(1.0).into()).contains("below 1"));
    assert!(say(LoraConfig::new(["conv"]).train(["head"]).into()).contains("`head`"));
    assert!(say(LoraConfig::new(["conv"]).train(["conv"]).into()).contains("target too"));
    assert!(say(BottleneckConfig::new(["conv"]).into()).contains("affine"));
    assert!(say(WholeConfig::layer_norms().into()).contains("LayerNorms"));
    assert!(say(LoraConfig::new([""; 0]).into()).contains("none"));
    // Frozen statistics do not move in training.
    let mut model = base.clone();
    peft::attach(&mut model, "x", LoraConfig::new(["conv"]), 0).unwrap();
    let mut cx = Ctx::train(0);
    model.forward(&Tensor::ones([2, 1, 5, 5]), &mut cx).unwrap();
    assert!(cx.take_updates().is_empty());
    let unknown = r#"{"lora":{"rank":1,"alpha":1,"targets":["a"],"ranks":2}}"#;
    assert!(serde_json::from_str::<PeftConfig>(unknown).is_err());
}

#[test]
fn dropout_is_on_the_adapter_alone() {
    let x = images();
    let mut config = LoraConfig::new(["query"]).rank(2).dropout(0.5);
    let mut model = net();
    peft::attach(&mut model, "x", config.clone(), 0).unwrap();
    // B is zero: whatever is dropped, the base's output stays.
    let train =
        |model: &Sequential, seed| model.forward(&x, &mut Ctx::train(seed)).unwrap().to_vec();
    assert_eq!(train(&model, 1), out(&net(), &x));
    config.init = LoraInit::Random;
    let mut model = net();
    peft::attach(&mut model, "x", config, 0).unwrap();
    assert_ne!(train(&model, 1), train(&model, 2));
    assert_eq!(train(&model, 1), train(&model, 1));
    assert_eq!(out(&model, &x), out(&model, &x));
}

#[test]
fn hostile_files_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut saved = net();
    let config = LoraConfig::new(["query"]).rank(2);
    peft::attach(&mut saved, "x", config, 0).unwrap();
    peft::save(&saved, "x", folder.path()).unwrap();
    let path = folder.path().join("adapter_config.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let say = || {
        let mut model = net();
        let error = peft::load(&mut model, "x", folder.path()).unwrap_err();
        assert_eq!(model.state_dict(), net().state_dict());
        assert!(peft::names(&model).is_empty() && model.count_params().0 > 0);
        error.to_string()
    };
    let value: serde_json::Value = serde_json::from_str(&good).unwrap();
    for (field, bad, says) in [
        ("r", serde_json::json!(0), "rank"),
        ("r", serde_json::json!(-3), "rank"),
        ("r", serde_json::json!(1_000_000_000_000_u64), "rank"),
        ("r", serde_json::json!("eight"), "rank"),
        ("r", serde_json::json!(5), "the model needs"),
        ("lora_alpha", serde_json::json!("x"), "lora_alpha"),
        ("lora_alpha", serde_json::json!(1e300), "lora_alpha"),
        ("lora_dropout", serde_json::json!(2), "below 1"),
        ("use_dora", serde_json::json!("yes"), "use_dora"),
        ("use_dora", serde_json::json!(true), "missing"),
        ("peft_type", serde_json::json!("OFT"), "LORA"),
        ("peft_type", serde_json::json!(3), "peft_type"),
        ("peft_type", serde_json::json!(null), "peft_type"),
        ("fan_in_fan_out", serde_json::json!(true), "fan_in_fan_out"),
        ("rank_pattern", serde_json::json!({"^q.*": 2}), "rank_pattern"),
        ("rank_pattern", serde_json::json!([1]), "rank_pattern"),
        ("layer_replication", serde_json::json!([[0, 2]]), "layer_replication"),
    ] {
        let mut changed = value.clone();
        changed[field] = bad.clone();
        std::fs::write(&path, changed.to_string()).unwrap();
        let said = say();
        assert!(said.contains(says), "{field} = {bad}: {said}");
    }
    for text in ["", "[]", "{", "null", "{\"peft_type\":\"LORA\"}", "\u{feff}{}"] {
        std::fs::write(&path, text).unwrap();
        assert!(say().contains("adapter_config.json"), "{text}");
    }
    std::fs::write(&path, &good).unwrap();
    let weights = folder.path().join("adapter_model.safetensors");
    let dict = StateDict::from_bytes(std::fs::read(&weights).unwrap()).unwrap();
    let write = |dict: &StateDict| dict.save(&weights).unwrap();
    let mut foreign = dict.clone();
    foreign.insert("base_model.model.other.lora_A.weight", Weight::new(&Tensor::ones([2, 4])));
    write(&foreign);
    assert!(say().contains("`other`"));
    let mut foreign = dict.clone();
    foreign.insert("base_model.model.stray", Weight::new(&Tensor::ones(1)));
    write(&foreign);
    assert!(say().contains("stray"));
    let mut poisoned = dict.clone();
    let nan = Weight::new(&Tensor::full([2, 4], f32::NAN));
    poisoned.insert("base_model.model.query.lora_A.weight", nan);
    write(&poisoned);
    assert!(say().contains("not finite"));
    write(&StateDict::new());
    assert!(say().contains("holds nothing"));
    std::fs::write(&weights, b"not safetensors").unwrap();
    assert!(say().contains("truncated"));
    std::fs::remove_file(&weights).unwrap();
    assert!(say().contains("adapter_model.safetensors"));
}

/// A network that fails after so many passes: a power cut.
#[derive(Clone)]
struct Fails {
    net: Sequential,
    left: Arc<AtomicUsize>,
}

impl Module for Fails {
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>) {
        self.net.visit(v);
    }

    fn visit_mut(&mut self, v: &mut dyn VisitMut) {
        self.net.visit_mut(v);
    }
}

impl Forward for Fails {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(tl_nn::Error::other("power cut"));
        }
        self.left.store(left - 1, Ordering::SeqCst);
        self.net.forward(x, cx)
    }
}

#[test]
fn adapters_train_like_any_model_and_resume_bitwise() {
    let data = samples::digits().k_shot(6, &mut rng(1)).unwrap().0;
    let make = || {
        let mut rng = rng(3);
        let mut model = Sequential::new()
            .push(Flatten)
            .named("body", Linear::new(64, 24, &mut rng))
            .push(Act::Relu)
            .named("fc", Linear::new(24, 10, &mut rng));
        let config = LoraConfig::new(["body"]).rank(4).dropout(0.1).train(["fc"]);
        peft::attach(&mut model, "x", config, 0).unwrap();
        model
    };
    let tune = FineTune::new(Method::AsIs, "fc.**").epochs(40).lr(0.03);
    let (start, mut whole) = (make(), make());
    tune.fit(&mut whole, &data).unwrap();
    for (path, param) in whole.params().iter().filter(|(path, _)| !path.contains(".x.")) {
        let before = start.state_dict().tensor(path).unwrap().to_vec();
        assert_eq!(param.tensor().to_vec(), before, "{path} is frozen");
    }
    let logits = whole.forward(data.features(), &mut Ctx::eval()).unwrap();
    let right = tl_nn::metric::accuracy(&logits, &data.labels().unwrap().into()).unwrap();
    assert!(right > 0.9, "{right}");
    // Stopped in the middle of an epoch, then gone on with.
    let folder = tempfile::tempdir().unwrap();
    let mut tune = tune.checkpoints(folder.path().to_owned());
    tune.checkpoint_every = Some(1);
    let mut stopped = Fails { net: make(), left: Arc::new(AtomicUsize::new(7)) };
    let error = tune.fit(&mut stopped, &data).unwrap_err();
    assert!(error.to_string().contains("power cut"), "{error}");
    let mut resumed = make();
    tune.fit(&mut resumed, &data).unwrap();
    assert_eq!(resumed.state_dict(), whole.state_dict());
}

/// Runs where `python3` (or `TL_PYTHON`) has peft.
#[test]
fn peft_loads_what_is_saved_here() {
    let python = std::env::var("TL_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import peft, safetensors"]).output();
    if !probe.is_ok_and(|p| p.status.success()) {
        eprintln!("skipped: {python} has no peft");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/fixtures/adapters.py");
    for (name, config) in configs() {
        if ["bottleneck", "bitfit", "norms"].contains(&name) {
            continue; // PEFT has no such type.
        }
        let mut model = net();
        let folder = tempfile::tempdir().unwrap();
        model.state_dict().save(folder.path().join("base.safetensors")).unwrap();
        peft::attach(&mut model, "x", config, 5).unwrap();
        move_trained(&mut model, 0.1);
        peft::save(&model, "x", folder.path().join("adapter")).unwrap();
        let mut expected = StateDict::new();
        expected.insert("x", Weight::new(&images()));
        let y = model.forward(&images(), &mut Ctx::eval()).unwrap();
        expected.insert("y", Weight::new(&y));
        expected.save(folder.path().join("expected.safetensors")).unwrap();
        let run =
            Command::new(&python).arg(script).arg("--check").arg(folder.path()).output().unwrap();
        assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
    }
}
