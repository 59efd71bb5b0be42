//! State dicts and files of weights.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{
    BatchNorm2d, Conv2d, Ctx, Dtype, Forward, Linear, Load, Module, ModuleExt, StateDict, Tensor,
    Weight, module,
};

#[derive(Clone)]
struct Net {
    conv: Conv2d,
    bn: BatchNorm2d,
    fc: Linear,
}
module!(Net { conv, bn, fc });

fn net(seed: u64, classes: usize) -> Net {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = Net {
        conv: Conv2d::new(1, 3, 3, rng),
        bn: BatchNorm2d::new(3),
        fc: Linear::new(3, classes, rng),
    };
    let mut cx = Ctx::train(seed);
    let x = Tensor::randn([4, 3, 2, 2], rng);
    net.bn.forward(&x, &mut cx).unwrap();
    net.apply(cx.take_updates()).unwrap();
    net
}

fn numbers<M: Module>(model: &M) -> Vec<Vec<f32>> {
    let params = model.params().into_iter().map(|(_, p)| p.tensor().to_vec());
    params.chain(model.buffers().into_iter().map(|(_, b)| b.tensor().to_vec())).collect()
}

#[test]
fn a_round_trip_is_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let (from, mut to) = (net(1, 5), net(2, 5));
    from.state_dict().save(&path).unwrap();
    let dict = StateDict::open(&path).unwrap();
    assert_eq!(dict.get("bn.num_batches_tracked").unwrap().dtype(), Dtype::I64);
    assert_eq!(dict, from.state_dict());
    let report = to.load(&dict, &Load::strict()).unwrap();
    assert!(report.is_complete() && report.loaded.len() == 9, "{report}");
    assert_eq!(numbers(&to), numbers(&from));
    // An open file can be replaced: the mapping keeps the old one.
    to.state_dict().cast(Dtype::BF16).unwrap().save(&path).unwrap();
    assert_eq!(dict, from.state_dict());
}

#[test]
fn strict_loading_names_everything_and_changes_nothing() {
    let mut to = net(2, 7);
    let before = numbers(&to);
    let mut dict = net(1, 5).state_dict();
    dict.remove("conv.weight");
    dict.insert("extra.gain", Weight::new(&Tensor::ones(2)));
    let text = to.load(&dict, &Load::strict()).unwrap_err().to_string();
    for part in ["conv.weight", "extra.gain", "fc.weight (model [7, 3], file [5, 3])", "keep"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(numbers(&to), before);

    let report = to.load(&dict, &Load::partial()).unwrap();
    assert_eq!((report.missing.len(), report.unexpected.len()), (1, 1));
    assert_eq!(report.mismatched.len(), 2);
    assert_eq!(report.loaded.len(), 6);
}

#[test]
fn a_new_head_and_other_names() {
    let from = net(1, 5);
    let mut inside = StateDict::new();
    inside.add_part("module.encoder", from.state_dict());
    assert_eq!(inside.part("module.encoder"), from.state_dict());
    let mut to = net(2, 7);
    let load = Load::strict()
        .rename(|name| name.trim_start_matches("module.encoder.").to_owned())
        .ignore("fc.**")
        .unwrap()
        .keep("fc.**")
        .unwrap();
    let report = to.load(&inside, &load).unwrap();
    assert_eq!(report.ignored.len(), 4);
    assert_eq!(to.conv.weight.tensor().to_vec(), from.conv.weight.tensor().to_vec());

    let error = to.load(&inside, &Load::partial()).unwrap_err().to_string();
    assert!(error.contains("no name fits") && error.contains("rename"), "{error}");
    for load in [Load::strict().ignore("fd.**"), Load::strict().keep("fd.**")] {
        let error = to.load(&from.state_dict(), &load.unwrap()).unwrap_err().to_string();
        assert!(error.contains("fd.**"), "{error}");
    }
    let both = Load::strict().rename(|_| "fc.bias".to_owned());
    let error = to.load(&inside, &both).unwrap_err().to_string();
    assert!(error.contains("both renamed"), "{error}");
}

#[test]
fn old_checkpoints_lack_the_counter_of_batches() {
    let mut dict = net(1, 5).state_dict();
    dict.remove("bn.num_batches_tracked");
    assert!(net(2, 5).load(&dict, &Load::strict()).unwrap().is_complete());
}

#[test]
fn frozen_parameters_are_loaded_and_stay_frozen() {
    let mut to = net(2, 5);
    to.freeze("**").unwrap();
    let from = net(1, 5);
    let _ = to.load(&from.state_dict(), &Load::strict()).unwrap();
    assert_eq!(numbers(&to), numbers(&from));
    assert_eq!(to.trainable().len(), 0);
}

#[test]
fn types_are_converted() {
    let exact = Tensor::from_slice(&[1.5, -0.25, 65280.0, 0.0], [2, 2]).unwrap();
    let weight = Weight::new(&exact);
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::F64, Dtype::F32] {
        let cast = weight.cast(dtype).unwrap();
        assert_eq!(cast.dtype(), dtype);
        assert_eq!(cast.to_tensor().unwrap().to_vec(), exact.to_vec(), "{dtype:?}");
    }
    assert!(weight.cast(Dtype::U16).is_err());
    let integers = Weight::integer(&Tensor::scalar(7.0));
    assert_eq!(integers.to_tensor().unwrap().item().unwrap(), 7.0);
}

#[test]
fn shards_are_one_state_dict() {
    let folder = tempfile::tempdir().unwrap();
    let all = net(1, 5).state_dict();
    let (mut one, mut two) = (StateDict::new(), StateDict::new());
    let mut map = serde_json::Map::new();
    for (i, (name, weight)) in all.iter().enumerate() {
        let part = if i % 2 == 0 { &mut one } else { &mut two };
        part.insert(name, weight.clone());
        map.insert(name.to_owned(), format!("part-{}.safetensors", i % 2).into());
    }
    one.save(folder.path().join("part-0.safetensors")).unwrap();
    two.save(folder.path().join("part-1.safetensors")).unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    let write = |map: &serde_json::Map<String, serde_json::Value>| {
        std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    };
    write(&map);
    assert_eq!(StateDict::open(&index).unwrap(), all);

    let mut more = map.clone();
    more.insert("ghost".into(), "part-0.safetensors".into());
    write(&more);
    assert!(StateDict::open(&index).unwrap_err().to_string().contains("`ghost`"));
    for outside in ["../part-0.safetensors", "/etc/passwd", "", "other.json"] {
        let mut evil = map.clone();
        evil.insert("x".into(), outside.into());
        write(&evil);
        assert!(StateDict::open(&index).unwrap_err().to_string().contains("beside"), "{outside}");
    }
}

#[test]
fn damaged_files_are_errors_that_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    let bytes = net(1, 5).state_dict().to_bytes().unwrap();
    for length in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = StateDict::open(&path).unwrap_err().to_string();
        assert!(error.contains("net.safetensors"), "{length}: {error}");
    }
    let error = StateDict::open(folder.path().join("none.safetensors")).unwrap_err().to_string();
    assert!(error.contains("none.safetensors"), "{error}");
    assert!(StateDict::open(folder.path()).is_err());
    // A header that promises 2⁶⁰ bytes of itself, and tensors larger than memory.
    let mut huge = (1_u64 << 60).to_le_bytes().to_vec();
    huge.extend(b"{}");
    assert!(StateDict::from_bytes(huge).is_err());
    let header = br#"{"w":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}}"#;
    let mut wide = (header.len() as u64).to_le_bytes().to_vec();
    wide.extend(header);
    wide.extend([0; 8]);
    assert!(StateDict::from_bytes(wide).is_err());
}

#[test]
fn deep_shapes_are_an_error_when_loaded() {
    let header = br#"{"w":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend([0; 4]);
    let dict = StateDict::from_bytes(bytes).unwrap();
    assert!(dict.tensor("w").unwrap_err().to_string().contains("dimensions"));
    assert!(dict.tensor("v").unwrap_err().to_string().contains("there are: w"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(dict) = StateDict::from_bytes(bytes) {
            for (_, weight) in dict.iter() {
                let _ = weight.to_tensor();
            }
        }
    }

    #[test]
    fn any_change_of_a_file_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = net(1, 2).state_dict().to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(dict) = StateDict::from_bytes(bytes) {
            for (_, weight) in dict.iter() {
                let _ = weight.to_tensor();
            }
            let _ = net(2, 2).load(&dict, &Load::partial());
        }
    }
}
