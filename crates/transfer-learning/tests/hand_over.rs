//! An encoder that was pre-trained without labels goes to the other techniques as
//! it is, under its own names.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{samples, transform::RandomAffine},
    finetune::{FineTune, Method as Tuning},
    maml::{FewShot, Protocol, Prototypes, Tasks, evaluate},
    nn::{Act, Ctx, Flatten, Forward, Linear, Load, ModuleExt, Sequential},
    ssl::{Method, Pretrain},
    zeroshot::{Method as _, PrototypeRegression, Split, seven_segments, zsl_accuracy},
};

fn encoder(seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    Sequential::new().push(Flatten).named("body", Linear::new(64, 48, rng)).push(Act::Relu)
}

#[test]
fn a_pretrained_encoder_goes_everywhere() {
    let digits = samples::digits();
    let mut pretrained = encoder(0);
    let views = RandomAffine::new().degrees(10.0).translate(0.12);
    Pretrain::new(Method::vicreg()).epochs(8).fit(&mut pretrained, &digits, &views).unwrap();

    // Saved and loaded: every name is there, and no other.
    let folder = std::env::temp_dir().join(format!("hand-over-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("encoder.safetensors");
    pretrained.state_dict().save(&path).unwrap();
    let saved = transfer_learning::nn::StateDict::open(&path).unwrap();
    let names: Vec<&str> = saved.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["body.bias", "body.weight"]);
    let mut loaded = encoder(1);
    let report = loaded.load(&saved, &Load::strict()).unwrap();
    assert!(report.missing.is_empty() && report.unexpected.is_empty());
    let features = |net: &Sequential| net.forward(digits.features(), &mut Ctx::eval()).unwrap();
    assert_eq!(features(&loaded).to_vec(), features(&pretrained).to_vec());
    // Under another name it is refused.
    let mut other =
        Sequential::new().named("trunk", Linear::new(64, 48, &mut ChaCha8Rng::seed_from_u64(2)));
    assert!(other.load(&saved, &Load::strict()).is_err());
    std::fs::remove_dir_all(&folder).unwrap();

    // Fine-tuning: a head on top.
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (few, rest) = digits.k_shot(5, &mut rng).unwrap();
    let mut net = loaded.clone().named("fc", Linear::new(48, 10, &mut rng));
    let tuning = Tuning::LinearThenFull { body_rate: 0.1 };
    FineTune::new(tuning, "fc.**").epochs(120).fit(&mut net, &few).unwrap();
    let logits = net.forward(rest.features(), &mut Ctx::eval()).unwrap();
    let reached =
        transfer_learning::nn::metric::accuracy(&logits, &rest.labels().unwrap().into()).unwrap();
    assert!(reached > 0.75, "{reached}");

    // Few-shot: prototypes of its features.
    let tasks = Tasks::from_labels(&digits).unwrap().way(5).shot(1).query(5);
    let accuracy = |encoder: Sequential| {
        let net = FewShot { encoder, head: Prototypes };
        evaluate(&net.predictor(), &tasks, 60, 1, Protocol::Inductive).unwrap().last().mean
    };
    let (with, without) = (accuracy(loaded.clone()), accuracy(encoder(1)));
    assert!(with > without, "{with} {without}");

    // Zero-shot: classes described by the segments of a display.
    let rows = digits.with_features(&features(&loaded).detach()).unwrap();
    let signatures = seven_segments().unwrap().unit().unwrap();
    let split = Split::new(&rows, &signatures, &["0", "7"], 0.2, 0).unwrap();
    let model = PrototypeRegression { alpha: 1.0 }.fit(&split.train).unwrap();
    assert!(zsl_accuracy(model.as_ref(), &split.unseen).unwrap() > 0.5);
}
