//! Garments that training never saw, by sentence vectors of what they are called and
//! what they look like.
//!
//! EfficientNet-Lite0, which knows ImageNet, sees the pictures; all-MiniLM-L6-v2 reads
//! the names. Every split reduces features to the principal components of its own
//! training pictures, so that methods with a cubic cost take a fraction of a second.

use crate::{
    Flags,
    results::Results,
    shared::{Outcome, bar},
};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    data::{Dataset, samples},
    finetune::Extract,
    models::{Backbone, EfficientNetLite, EfficientNetLiteConfig, SentenceEmbedder},
    nn::{
        Tensor,
        shallow::{Pca, eigh},
    },
    zeroshot::{
        Conse, Direction, Eszsl, FClsWgan, Method, PrototypeRegression, Ranking, RankingLoss,
        Report, Sae, Signatures, Split, TextClassifier,
    },
};

const UNSEEN: usize = 3;
/// Pictures of 28 are enlarged to this.
const SIDE: usize = 112;
/// Principal components.
const KEPT: usize = 128;
/// Generated features take seconds a split: beyond so many splits they are left out.
const GENERATED: usize = 24;
const TEMPLATES: [&str; 3] = ["a photo of a {}", "a {}", "a picture of a {}, a piece of clothing"];

/// What each is called, and what it looks like, in the order of the classes. Written
/// once, before any result.
const TOLD: [(&str, &str); 10] = [
    ("t-shirt", "a top with short sleeves and a round neck, worn on the upper body"),
    ("trousers", "long pants with two legs, worn on the lower body"),
    ("pullover", "a knitted sweater with long sleeves, pulled over the head"),
    ("dress", "a long one-piece garment for women that reaches to the knees, without legs"),
    ("coat", "a long warm outer garment with long sleeves, open at the front"),
    ("sandal", "an open light shoe with straps that shows the foot"),
    ("shirt", "a top with a collar, long sleeves and buttons down the front"),
    ("sneaker", "a flat sports shoe with laces and a rubber sole"),
    ("handbag", "a bag with a handle, carried in the hand, for small things"),
    ("ankle boot", "a high closed shoe that covers the ankle, with a heel"),
];

pub fn run(flags: &Flags, pictures: &Path, sentences: &Path, results: &mut Results) -> Outcome {
    let data = features(pictures, flags.shared.quick)?;
    let (names, both) = semantics(&data, &SentenceEmbedder::from_folder(sentences)?)?;
    let mut report = Report::new(&format!(
        "garments (Fashion-MNIST), {UNSEEN} of 10 unseen, by sentence vectors"
    ));
    let choices = choices(data.classes(), flags.splits());
    let mut methods = methods(flags.shared.quick);
    if choices.len() > GENERATED {
        methods.retain(|(name, ..)| *name != "f-CLSWGAN");
    }
    let bar = bar::over(choices.len());
    for (seed, unseen) in choices.iter().enumerate() {
        let unseen: Vec<&str> = unseen.iter().map(|&c| data.class_names()[c].as_str()).collect();
        let split =
            |data: &Dataset, signatures| Split::new(data, signatures, &unseen, 0.25, seed as u64);
        let data = reduced(&data, &split(&data, &names)?)?;
        let (by_name, by_both) = (split(&data, &names)?, split(&data, &both)?);
        for (name, named_only, settings) in &methods {
            let split = if *named_only { &by_name } else { &by_both };
            let settings: Vec<&dyn Method> = settings.iter().map(AsRef::as_ref).collect();
            let _ = report.run(name, &settings, split, seed as u64)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    results.add_report(&report)
}

/// 200 pictures of each kind as EfficientNet sees them, `[2000, 1280]`.
fn features(weights: &Path, quick: bool) -> Outcome<Dataset> {
    let (train, test) = samples::fashion_mnist();
    let pixels = Tensor::cat(&[train.features(), test.features()], 0)?;
    let labels = [train.labels()?, test.labels()?].concat();
    let mut data = Dataset::classification(pixels, labels, train.class_names().to_vec())?;
    if quick {
        data = data.k_shot(20, &mut ChaCha8Rng::seed_from_u64(0))?.0;
    }
    let net = EfficientNetLite::from_safetensors(&EfficientNetLiteConfig::lite0(), weights)?;
    let extract = Extract::new()
        .preprocessing("bilinear 112, (x-127)/128")
        .cache("target/zero_shot/efficientnet-lite0-garments.safetensors");
    Ok(extract.run_with(&net, &data, |net: &EfficientNetLite, x, cx| {
        let large = net.preprocess().standardise(&x.resize_bilinear([SIDE, SIDE], false)?)?;
        net.features(&large, cx)
    })?)
}

/// Vectors of names, and of names and descriptions side by side.
fn semantics(data: &Dataset, embedder: &SentenceEmbedder) -> Outcome<(Signatures, Signatures)> {
    let embed = |texts: &[&str]| embedder.embed(texts);
    let short = TOLD.map(|(name, _)| name);
    let table = TextClassifier::new(embed, &short, &TEMPLATES)?.classes().table().clone();
    let names = Signatures::new(data.class_names().to_vec(), table)?;
    let told = embedder.embed(&TOLD.map(|(_, told)| told))?;
    let told = Signatures::new(data.class_names().to_vec(), told)?.unit()?;
    let both = names.mixed(&told, 0.5)?.unit()?;
    Ok((in_their_span(&names)?, in_their_span(&both)?))
}

/// The same ten vectors in coordinates of the space that they span: 10 numbers in
/// place of 384 or 768, with the same inner products, so that closed forms give the
/// same scores in a fraction of the time. `S Sᵀ = U Λ Uᵀ` becomes `U √Λ`.
fn in_their_span(signatures: &Signatures) -> Outcome<Signatures> {
    let s = signatures.table().cast::<f64>();
    let (values, vectors) = eigh(&s.matmul(&s.t()?)?)?;
    let lengths = values.map_constant(|v| v.max(0.0).sqrt());
    let table = vectors.mul(&lengths)?.cast::<f32>();
    Ok(Signatures::new(signatures.names().to_vec(), table)?)
}

/// Every choice of unseen classes, in an order without meaning; the first so many.
fn choices(classes: usize, count: u64) -> Vec<[usize; UNSEEN]> {
    let mut all = Vec::new();
    for a in 0..classes {
        for b in a + 1..classes {
            all.extend((b + 1..classes).map(|c| [a, b, c]));
        }
    }
    all.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    all.truncate(count as usize);
    all
}

/// The data on the principal components of a split's training pictures.
fn reduced(data: &Dataset, split: &Split) -> Outcome<Dataset> {
    let x = split.train.features();
    let pca = Pca::fit(x, KEPT.min(x.size(0)? - 1))?;
    Ok(data.with_features(&pca.transform(data.features())?)?)
}

/// A method, whether it gets names alone, and the settings to choose among.
type Way = (&'static str, bool, Vec<Box<dyn Method>>);

fn methods(quick: bool) -> Vec<Way> {
    fn boxed<M: Method + 'static>(all: impl IntoIterator<Item = M>) -> Vec<Box<dyn Method>> {
        all.into_iter().map(|m| Box::new(m) as Box<dyn Method>).collect()
    }
    let powers = [0.01, 0.1, 1.0, 10.0, 100.0];
    let prototypes = || boxed(powers.map(|alpha| PrototypeRegression { alpha }));
    let ridges = [1.0, 100.0, 10_000.0];
    let eszsl = ridges.map(|gamma| [0.01, 1.0, 100.0].map(|lambda| Eszsl { gamma, lambda }));
    let sae = |direction| boxed([0.1, 1.0, 10.0].map(|lambda| Sae { lambda, direction }));
    let (epochs, steps) = if quick { (3, 20) } else { (20, 400) };
    let bilinear = Ranking::new(RankingLoss::CrossEntropy { scale: 10.0 });
    vec![
        ("ConSE", false, boxed([Conse { c: 1e-3, ..Conse::default() }])),
        ("prototype regression, names", true, prototypes()),
        ("prototype regression", false, prototypes()),
        ("ESZSL", false, boxed(eszsl.concat())),
        ("SAE, to features", false, sae(Direction::SemanticToFeature)),
        ("bilinear, cross entropy", false, boxed([Ranking { epochs, ..bilinear }])),
        ("f-CLSWGAN", false, boxed([FClsWgan { steps, lr: 1e-3, ..FClsWgan::default() }])),
    ]
}
