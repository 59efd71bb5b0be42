//! Meta-learning: models that learn a new task from a handful of samples.
//!
//! Use it where there are *many small tasks*: new classes all the time, a model
//! for every user, a curve for every sensor. It needs tasks to practise on. With
//! one task and a large labelled set of something similar, fine-tuning is the
//! better choice; and a plain pre-trained encoder with [`Fitted`] or
//! [`Prototypes`] on top is the baseline that any method has to beat.
//!
//! ```
//! # use rand::SeedableRng;
//! use tl_maml::{Episodes, Maml, Protocol, Tasks, cross_entropy, evaluate, split_classes};
//! use tl_nn::{Adam, Flatten, Linear, Optimizer, Sequential, Trainer};
//! # fn main() -> tl_maml::Result<()> {
//! # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! // Classes to practise on, and others that training never sees.
//! let parts = split_classes(&tl_data::samples::digits(), &[6, 4], 0)?;
//! let practice = Tasks::from_labels(&parts[0])?.way(3).shot(5).query(5);
//! let unseen = Tasks::from_labels(&parts[1])?.way(3).shot(5).query(5);
//!
//! let net = Sequential::new().push(Flatten).push(Linear::new(64, 3, &mut rng));
//! let maml = Maml::new(3, 0.1);
//! let mut learner = maml.learner(net)?;
//! let trainer = Trainer::new(Optimizer::new(Adam::new(3e-3)), 1);
//! maml.fit(trainer, &mut learner, Episodes::new(&practice, 4, 10), cross_entropy)?;
//!
//! let method = maml.predictor(&learner, cross_entropy);
//! let result = evaluate(&method, &unseen, 20, 1, Protocol::Inductive)?;
//! assert!(result.last().mean > 0.6); // chance is 0.33
//! # Ok(())
//! # }
//! ```
//!
//! | method | here | source |
//! |---|---|---|
//! | MAML, FOMAML | [`Maml::new`], [`Maml::first_order`] | Finn et al. 2017 |
//! | ANIL, BOIL | [`Adapt`] | Raghu et al. 2020, Oh et al. 2021 |
//! | Meta-SGD | [`LearnedRates::PerNumber`] | Li et al. 2017 |
//! | MAML++ | [`Maml::plus_plus`] | Antoniou et al. 2019 |
//! | Meta-curvature | [`Maml::meta_curvature`] | Park and Oliva 2019 |
//! | iMAML | [`IMaml`] | Rajeswaran et al. 2019 |
//! | Reptile | [`Reptile`] | Nichol et al. 2018 |
//! | ProtoNet | [`FewShot`] with [`Prototypes`] | Snell et al. 2017 |
//! | MatchingNet | [`FewShot`] with [`Matching`] | Vinyals et al. 2016 |
//! | RelationNet | [`FewShot`] with [`Relation`] | Sung et al. 2018 |
//! | R2D2 | [`FewShot`] with [`RidgeHead`] | Bertinetto et al. 2019 |
//! | MetaOptNet | [`FewShot`] with [`SvmHead`] or [`RidgeHead`] | Lee et al. 2019 |
//! | baseline++ | [`FewShot`] with [`Fitted`] | Chen et al. 2019 |
//! | averaged views at test time | [`AveragedViews`] around any encoder | Krizhevsky et al. 2012, section 4.1 |
//! | logistic on features | [`FewShot`] with [`Logistic`] | Tian et al. 2020 |
//!
//! Any [`Module`](tl_nn::Module) and any loss will do. Memory in meta-training
//! is that of the graphs of as many tasks as there are threads, whatever the
//! size of the meta-batch; with [`Order::Second`] it grows with the inner steps.
//! [`Maml::forecast_memory`] says how much it will be, [`peak_bytes`] how much it
//! was.

mod episode;
mod error;
mod evaluate;
mod gradient;
mod memory;
mod metric;
mod parallel;
mod report;

pub use episode::{Augmented, Curves, Episodes, Family, Task, TaskSource, Tasks, split_classes};
pub use error::{Error, Result};
pub use evaluate::{
    Across, Both, Evaluation, Predict, Protocol, cross_entropy, evaluate, evaluate_across,
    evaluate_both, mse,
};
pub use gradient::{
    Adapt, IMaml, IMamlPredictor, InnerLoop, LearnedRates, Learner, Maml, MamlPredictor, Order,
    Reptile, ReptilePredictor, conjugate_gradient, descend, inner_gradients, precondition,
    step_weights,
};
pub use memory::MemoryForecast;
pub use metric::{
    AveragedViews, CosineClassifier, FewShot, FewShotPredictor, Fitted, Head, Logistic, Matching,
    Nearest, Prototypes, Relation, RidgeHead, SvmHead, matching_probabilities, prototype_logits,
    prototypes, relation_logits, ridge_logits, squared_distances, svm_dual, svm_logits,
};
pub use report::Report;
pub use tl_tensor::peak_bytes;
