//! Every architecture against its home.

use super::{Home, image};
use rand::SeedableRng;
use tl_models::{
    Backbone, Bert, BertConfig, BertForSequenceClassification, DistilBert, DistilBertConfig,
    EfficientNetLite, EfficientNetLiteConfig, MobileNetV2, MobileNetV2Config, ResNet, ResNetConfig,
    TextBatch, TextModel, VisionTransformer, VitConfig,
};
use tl_nn::{Ctx, ModuleExt, Tensor, Weight};

/// Loads by the home's names, compares the output, and counts the parameters
/// of the original with 1000 classes.
fn same<B: Backbone>(name: &str, config: &B::Config, parameters: usize) {
    let home = Home::read(name);
    let net = B::from_state_dict(config, &home.weights()).unwrap();
    let mut cx = Ctx::eval().capture("features").unwrap();
    home.check(&net.forward(&image(home.size), &mut cx).unwrap(), 1e-4);
    let features = cx.tapped("features").unwrap();
    assert_eq!(features.dims(), [2, net.feature_size()]);
    assert!(net.params().iter().any(|(path, _)| *path == format!("{}.weight", net.head())));
    let more = 990 * (net.feature_size() + 1);
    assert_eq!(net.count_params().1 + more, parameters);
}

#[test]
fn resnet18_is_torchvisions() {
    same::<ResNet>("resnet18", &ResNetConfig::resnet18(), 11_689_512);
}

#[test]
fn resnet34_is_torchvisions() {
    same::<ResNet>("resnet34", &ResNetConfig::resnet34(), 21_797_672);
}

#[test]
fn resnet50_is_torchvisions() {
    same::<ResNet>("resnet50", &ResNetConfig::resnet50(), 25_557_032);
}

#[test]
fn mobilenet_v2_is_torchvisions() {
    same::<MobileNetV2>("mobilenet_v2", &MobileNetV2Config::default(), 3_504_872);
}

#[test]
fn efficientnet_lite0_is_the_packages() {
    same::<EfficientNetLite>("efficientnet_lite0", &EfficientNetLiteConfig::lite0(), 4_652_008);
}

#[test]
fn vit_tiny_is_timms() {
    same::<VisionTransformer>("vit_tiny", &VitConfig::tiny(), 5_717_416);
}

#[test]
fn vit_small_is_timms() {
    same::<VisionTransformer>("vit_small", &VitConfig::small(), 22_050_664);
}

fn batch() -> TextBatch {
    TextBatch::padded(&[vec![5, 17, 3, 99, 42, 7], vec![8, 1, 30]], 0).unwrap()
}

/// Vectors of padding are not defined by the home's interface.
fn without_padding(hidden: &Tensor, batch: &TextBatch) -> Tensor {
    hidden.mul(&batch.mask.unsqueeze(-1).unwrap()).unwrap()
}

fn tiny_bert() -> BertConfig {
    BertConfig {
        vocab_size: 100,
        hidden_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 64,
        max_position_embeddings: 16,
        ..BertConfig::default()
    }
}

#[test]
fn bert_is_hugging_faces() {
    let (home, batch) = (Home::read("bert"), batch());
    let model = Bert::from_state_dict(&tiny_bert(), &home.weights()).unwrap();
    let hidden = model.hidden(&batch, &mut Ctx::eval()).unwrap();
    home.check(&without_padding(&hidden, &batch), 1e-4);
}

#[test]
fn a_pre_training_checkpoint_loads_as_an_encoder() {
    let (home, batch) = (Home::read("bert"), batch());
    let mut dict = tl_nn::StateDict::new();
    dict.add_part("bert", home.weights());
    dict.insert("bert.embeddings.position_ids", Weight::integer(&Tensor::zeros([1, 16])));
    dict.insert("cls.predictions.bias", Weight::new(&Tensor::zeros(100)));
    dict.remove("bert.pooler.dense.weight");
    dict.remove("bert.pooler.dense.bias");
    let model = Bert::from_state_dict(&tiny_bert(), &dict).unwrap();
    let hidden = model.hidden(&batch, &mut Ctx::eval()).unwrap();
    home.check(&without_padding(&hidden, &batch), 1e-4);
}

#[test]
fn sequences_that_do_not_fit_are_refused() {
    let model = Bert::from_state_dict(&tiny_bert(), &Home::read("bert").weights()).unwrap();
    let long = TextBatch::padded(&[vec![1; 17]], 0).unwrap();
    let error = model.hidden(&long, &mut Ctx::eval()).unwrap_err().to_string();
    assert!(error.contains("at most 16 tokens"), "{error}");
    let foreign = TextBatch::padded(&[vec![100]], 0).unwrap();
    assert!(model.hidden(&foreign, &mut Ctx::eval()).is_err());
    assert!(TextBatch::padded::<Vec<usize>>(&[], 0).is_err());
    assert!(TextBatch::padded(&[vec![1], vec![]], 0).is_err());
}

#[test]
fn a_classifier_trains_every_part() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let model = BertForSequenceClassification::new(&tiny_bert(), 3, &mut rng).unwrap();
    let logits = model.logits(&batch(), &mut Ctx::train(5)).unwrap();
    let gradients = logits.square().sum_all().backward().unwrap();
    for (path, param) in model.params() {
        assert!(gradients.get(param.tensor()).is_some(), "{path} gets no gradient");
    }
}

#[test]
fn a_bert_classifier_is_hugging_faces() {
    let home = Home::read("bert_classifier");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    home.weights().save(&path).unwrap();
    let model = BertForSequenceClassification::from_safetensors(&tiny_bert(), 3, &path).unwrap();
    home.check(&model.logits(&batch(), &mut Ctx::eval()).unwrap(), 1e-4);
    // The same file as an encoder: its head is a name too many, and said to be.
    let error = Bert::from_safetensors(&tiny_bert(), &path).unwrap_err().to_string();
    assert!(error.contains("classifier.weight"), "{error}");
}

#[test]
fn distilbert_is_hugging_faces() {
    let (home, batch) = (Home::read("distilbert"), batch());
    let config = DistilBertConfig {
        vocab_size: 100,
        dim: 32,
        n_layers: 2,
        n_heads: 4,
        hidden_dim: 64,
        max_position_embeddings: 16,
        ..DistilBertConfig::default()
    };
    let model = DistilBert::from_state_dict(&config, &home.weights()).unwrap();
    let hidden = model.hidden(&batch, &mut Ctx::eval()).unwrap();
    home.check(&without_padding(&hidden, &batch), 1e-4);
}
