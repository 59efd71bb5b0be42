//! Small versions of every model of images: what trains, what is refused.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_models::{
    Backbone, Conv4, Conv4Config, EfficientNetLite, EfficientNetLiteConfig, InvertedStage, LeNet,
    LiteStage, Mlp, MobileNetV2, MobileNetV2Config, ResNet, ResNetConfig, VisionTransformer,
    VitConfig,
};
use tl_nn::{Ctx, Forward, ModuleExt, Tensor};

/// Every parameter gets a gradient; after freezing all but a new head, only
/// the head does.
fn trains<B: Backbone>(config: &B::Config, channels: usize, size: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut net = B::new(config, &mut rng).unwrap();
    let x = Tensor::randn([4, channels, size, size], &mut rng);
    let y = net.forward(&x, &mut Ctx::train(2)).unwrap();
    let gradients = y.square().sum_all().backward().unwrap();
    for (path, param) in net.params() {
        assert!(gradients.get(param.tensor()).is_some(), "{path} gets no gradient");
    }
    net.freeze("**").unwrap();
    net.reset_head(3, &mut rng);
    assert_eq!(net.forward(&x, &mut Ctx::eval()).unwrap().dims(), [4, 3]);
    let trainable: Vec<String> =
        net.params().into_iter().filter(|(_, p)| !p.is_frozen()).map(|(path, _)| path).collect();
    assert_eq!(trainable, ["weight", "bias"].map(|part| format!("{}.{part}", net.head())));
}

fn resnet(bottleneck: bool) -> ResNetConfig {
    ResNetConfig { bottleneck, blocks: [1, 2, 1, 1], width: 4, channels: 3, classes: 5 }
}

fn vit() -> VitConfig {
    VitConfig { image: 16, patch: 8, width: 12, depth: 2, heads: 3, hidden: 24, classes: 5 }
}

#[test]
fn every_part_of_every_model_trains() {
    trains::<ResNet>(&resnet(false), 3, 32);
    trains::<ResNet>(&resnet(true), 3, 32);
    trains::<VisionTransformer>(&vit(), 3, 16);
    trains::<LeNet>(&5, 1, 28);
    trains::<Conv4>(&Conv4Config { width: 6, ..Conv4Config::default() }, 1, 28);
    let stage = |expand| InvertedStage { expand, channels: 8, repeats: 2, stride: 2 };
    let stages = vec![stage(1), stage(3)];
    trains::<MobileNetV2>(&MobileNetV2Config { stem: 4, stages, last: 16, classes: 5 }, 3, 32);
    let stage = |expand| LiteStage { repeats: 2, kernel: 5, stride: 2, expand, channels: 8 };
    let stages = vec![stage(1), stage(3)];
    let config = EfficientNetLiteConfig {
        stem: 4,
        stages,
        last: 16,
        classes: 5,
        drop_connect: 0.0,
        ..EfficientNetLiteConfig::lite0()
    };
    trains::<EfficientNetLite>(&config, 3, 33);
}

#[test]
fn small_networks_have_the_known_sizes() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert_eq!(LeNet::new(&10, &mut rng).unwrap().count_params().1, 61_706);
    let conv4 = Conv4::new(&Conv4Config::default(), &mut rng).unwrap();
    assert_eq!(conv4.feature_size(), 64);
    // 111,936 in the encoder, as in prototypical networks.
    assert_eq!(conv4.count_params().1, 111_936 + 5 * 65);
    let mlp = Mlp::new(&[4, 3, 2], &mut rng).unwrap();
    assert_eq!(mlp.count_params().1, 15 + 8);
    assert_eq!(mlp.feature_size(), 3);
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    assert!(ResNet::new(&ResNetConfig { width: 0, ..resnet(false) }, &mut rng).is_err());
    assert!(VisionTransformer::new(&VitConfig { heads: 5, ..vit() }, &mut rng).is_err());
    assert!(VisionTransformer::new(&VitConfig { patch: 0, ..vit() }, &mut rng).is_err());
    assert!(Conv4::new(&Conv4Config { image: 15, ..Conv4Config::default() }, &mut rng).is_err());
    assert!(Mlp::new(&[4], &mut rng).is_err());
    assert!(Mlp::new(&[4, 0, 2], &mut rng).is_err());
    let net = VisionTransformer::new(&vit(), &mut rng).unwrap();
    assert!(net.forward(&Tensor::zeros([1, 3, 24, 24]), &mut Ctx::eval()).is_err());
    assert!(net.forward(&Tensor::zeros([3, 16, 16]), &mut Ctx::eval()).is_err());
    let net = ResNet::new(&resnet(true), &mut rng).unwrap();
    assert!(net.forward(&Tensor::zeros([1, 1, 32, 32]), &mut Ctx::eval()).is_err());
}
