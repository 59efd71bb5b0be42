//! Files that PEFT wrote, and those that it reads.

#![allow(clippy::print_stderr)]

use super::{close, configs, images, move_trained, net, out};
use std::{collections::BTreeMap, path::PathBuf, process::Command};
use tl_finetune::{LoraConfig, LoraInit, peft};
use tl_models::{BertConfig, BertForSequenceClassification};
use tl_nn::{Ctx, Forward, Load, ModuleExt, Sequential, StateDict, Tensor, Weight};

fn fixtures() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/peft").into()
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
        ("rank_pattern", serde_json::json!({"query": 0}), "ranks of 1"),
        ("rank_pattern", serde_json::json!({"query": 2, "^query$": 3}), "one number for `query`"),
        ("alpha_pattern", serde_json::json!({"query": 1e300}), "alpha_pattern"),
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

/// Two adapters of other modules and ranks as one: every module keeps its own.
fn mixture() -> Sequential {
    let mut model = net();
    for (name, targets, rank) in [("a", &["query"][..], 2), ("b", &["query", "value"], 3)] {
        let mut config = LoraConfig::new(targets.iter().copied()).rank(rank).alpha(4.0);
        config.init = LoraInit::Random;
        peft::attach(&mut model, name, config, rank as u64).unwrap();
    }
    peft::combine(&mut model, &[("a", 0.5), ("b", 2.0)], "x").unwrap();
    model
}

#[test]
fn ranks_of_modules_are_saved_with_them() {
    let (model, folder) = (mixture(), tempfile::tempdir().unwrap());
    peft::save(&model, "x", folder.path()).unwrap();
    let mut again = net();
    peft::load(&mut again, "x", folder.path()).unwrap();
    close(&out(&again, &images()), &out(&model, &images()), "mixture");
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
    for (name, config) in configs() {
        if ["bottleneck", "bitfit", "norms"].contains(&name) {
            continue; // PEFT has no such type.
        }
        let mut model = net();
        peft::attach(&mut model, "x", config, 5).unwrap();
        move_trained(&mut model, 0.1);
        read_by_peft(&python, name, &model);
    }
    read_by_peft(&python, "mixture", &mixture());
}

/// PEFT gets the same outputs from what is saved.
fn read_by_peft(python: &str, name: &str, model: &Sequential) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/fixtures/adapters.py");
    let folder = tempfile::tempdir().unwrap();
    net().state_dict().save(folder.path().join("base.safetensors")).unwrap();
    peft::save(model, "x", folder.path().join("adapter")).unwrap();
    let mut expected = StateDict::new();
    expected.insert("x", Weight::new(&images()));
    let y = model.forward(&images(), &mut Ctx::eval()).unwrap();
    expected.insert("y", Weight::new(&y));
    expected.save(folder.path().join("expected.safetensors")).unwrap();
    let run = Command::new(python).arg(script).arg("--check").arg(folder.path()).output().unwrap();
    assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
}
