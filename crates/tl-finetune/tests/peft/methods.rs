//! What adapters do to a model.

use super::{close, configs, fails::Fails, images, move_trained, net, out, rng};
use tl_data::samples;
use tl_finetune::{
    BottleneckConfig, FineTune, Ia3Config, LoraConfig, LoraInit, Method, PeftConfig, WholeConfig,
    peft,
};
use tl_nn::{
    Act, BatchNorm2d, Conv2d, Ctx, Flatten, Forward, Linear, ModuleExt, Sequential, Tensor,
    TransformerEncoderLayer,
};

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

/// Several adapters at once are one weight, merged or not, of every method.
#[test]
fn active_adapters_are_one_weight() {
    let x = images();
    let whole = WholeConfig::modules(["classifier"]);
    let gains = Ia3Config::new(["query", "value"], []);
    let pairs: [(&str, PeftConfig); 2] = [("whole", whole.into()), ("ia3", gains.into())];
    for (method, config) in pairs {
        let mut model = net();
        for (name, by) in [("a", 0.2), ("b", -0.3)] {
            peft::attach(&mut model, name, config.clone(), 0).unwrap();
            move_trained(&mut model, by);
        }
        peft::activate(&mut model, &[("a", 0.6), ("b", 0.9)]).unwrap();
        let both = out(&model, &x);
        close(&out(&peft::into_merged(&model).unwrap(), &x), &both, method);
        if method == "whole" {
            peft::combine(&mut model, &[("a", 0.6), ("b", 0.9)], "mix").unwrap();
            close(&out(&model, &x), &both, "combined");
        }
    }
}

#[test]
fn a_layer_of_zeros_stays_a_number_with_magnitudes() {
    let mut model = Sequential::new().named("fc", Linear::new(4, 3, &mut rng(0)));
    model
        .for_each_param(|_, param| {
            param.update(|x| x.fill(0.0));
            Ok(())
        })
        .unwrap();
    peft::attach(&mut model, "x", LoraConfig::new(["fc"]).dora(), 0).unwrap();
    assert_eq!(out(&model, &Tensor::ones([2, 4])), [0.0; 6]);
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
fn dropout_reaches_adapters_inside_of_a_transformer_layer() {
    let layer = || TransformerEncoderLayer::new(8, 2, 16, &mut rng(4)).unwrap().dropout(0.0);
    let x = Tensor::randn([2, 3, 8], &mut rng(5));
    for target in ["linear1", "linear2", "self_attn.out_proj"] {
        let mut config = LoraConfig::new([target]).rank(2).dropout(0.5);
        config.init = LoraInit::Random;
        let mut model = layer();
        peft::attach(&mut model, "x", config, 0).unwrap();
        let train = |seed| model.forward(&x, &mut Ctx::train(seed)).unwrap().to_vec();
        assert_ne!(train(1), train(2), "{target}");
        assert_eq!(train(1), train(1), "{target}");
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
    let mut stopped = Fails::after(make(), 7);
    let error = tune.fit(&mut stopped, &data).unwrap_err();
    assert!(error.to_string().contains("power cut"), "{error}");
    let mut resumed = make();
    tune.fit(&mut resumed, &data).unwrap();
    assert_eq!(resumed.state_dict(), whole.state_dict());
}
