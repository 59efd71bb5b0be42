//! Weights that leave for Python, and come back in pieces.

#![allow(clippy::print_stderr)]

use super::image;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::process::Command;
use tl_models::{Backbone, LeNet, ResNet, ResNetConfig};
use tl_nn::{Ctx, Dtype, Forward, ModuleExt, StateDict, Tensor, Weight};

/// Runs where `python3` (or `TL_PYTHON`) has torchvision.
#[test]
fn torchvision_loads_what_is_saved_here() {
    let python = std::env::var("TL_PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import torchvision, safetensors"]).output();
    if !probe.is_ok_and(|p| p.status.success()) {
        eprintln!("skipped: {python} has no torchvision");
        return;
    }
    let config = ResNetConfig { classes: 10, ..ResNetConfig::resnet18() };
    let net = ResNet::new(&config, &mut ChaCha8Rng::seed_from_u64(3)).unwrap();
    let mut dict = net.state_dict();
    let out = net.forward(&image(64), &mut Ctx::eval()).unwrap();
    dict.insert("expected", Weight::new(&out));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    dict.save(&path).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/fixtures/models.py");
    let run = Command::new(&python).arg(script).arg("--check").arg(&path).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn shards_half_precision_and_prefixes_come_back() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let net = LeNet::new(&7, &mut rng).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dict = net.state_dict().cast(Dtype::BF16).unwrap();
    let mut shards = [StateDict::new(), StateDict::new()];
    let mut map = Vec::new();
    for (i, (name, weight)) in dict.iter().enumerate() {
        let name = format!("module.backbone.{name}");
        map.push(format!("\"{name}\":\"part-{}.safetensors\"", i % 2));
        shards[i % 2].insert(name, weight.clone());
    }
    for (i, shard) in shards.iter().enumerate() {
        shard.save(folder.path().join(format!("part-{i}.safetensors"))).unwrap();
    }
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(&index, format!("{{\"weight_map\":{{{}}}}}", map.join(","))).unwrap();
    // The number of classes is that of the file.
    let back = LeNet::from_safetensors(&10, &index).unwrap();
    let x = Tensor::linspace(0.0, 1.0, 784).reshape([1, 1, 28, 28]).unwrap();
    let (a, b) = (net.forward(&x, &mut Ctx::eval()), back.forward(&x, &mut Ctx::eval()));
    super::close(&a.unwrap().to_vec(), &b.unwrap().to_vec(), 0.05);
}

#[test]
fn weights_without_a_head_leave_a_new_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let net = LeNet::new(&10, &mut rng).unwrap();
    let mut dict = net.state_dict();
    dict.remove("fc3.weight");
    dict.remove("fc3.bias");
    let back = LeNet::from_state_dict(&4, &dict).unwrap();
    assert_eq!(back.fc3.weight.dims(), [4, 84]);
    assert_eq!(back.conv1.weight.tensor().to_vec(), net.conv1.weight.tensor().to_vec());
    // Anything else that lacks is an error with its name.
    dict.remove("fc1.bias");
    let error = LeNet::from_state_dict(&4, &dict).unwrap_err().to_string();
    assert!(error.contains("fc1.bias"), "{error}");
}
