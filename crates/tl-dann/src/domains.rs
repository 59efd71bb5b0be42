//! The data of an adaptation.

use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use std::{fmt, sync::Arc};
use tl_data::{
    Batching, Dataset, Loader,
    transform::{Compose, GaussianNoise, RandomAffine, RandomErase, Transform},
};
use tl_nn::Tensor;

/// The change of a batch before it is looked at.
pub(crate) type View = Arc<dyn Transform>;

/// A view that a loader may own.
struct Shared(View);

impl Transform for Shared {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> tl_data::Result<Tensor> {
        self.0.apply(features, rng)
    }
}

/// One source or several with labels, a target without, and what else is known.
///
/// Whatever labels the target has are dropped at once: no method and no
/// validator can see them. Sizes may differ: the shorter set begins again.
/// ```
/// use tl_dann::Domains;
/// use tl_data::samples;
/// # fn main() -> tl_dann::Result<()> {
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let (mnist, _) = samples::mnist_8x8();
/// let (few, rest) = samples::digits().k_shot(3, &mut rng)?;
/// let domains = Domains::new(&mnist, &rest).few(&few); // three labels of each class
/// assert!(domains.target().labels().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Domains {
    sources: Vec<Dataset>,
    target: Dataset,
    few: Option<Dataset>,
    views: Option<(View, View)>,
    augment: Option<View>,
}

impl Domains {
    /// One source and a target.
    pub fn new(source: &Dataset, target: &Dataset) -> Self {
        let sources = vec![source.clone()];
        Self { sources, target: target.without_targets(), few: None, views: None, augment: None }
    }

    /// No source: for methods that begin with a trained model.
    pub(crate) fn target_alone(target: &Dataset) -> Self {
        let target = target.without_targets();
        Self { sources: Vec::new(), target, few: None, views: None, augment: None }
    }

    /// Another source. Each has a discriminator of its own where there is one,
    /// and counts the same.
    #[must_use]
    pub fn source(mut self, more: &Dataset) -> Self {
        self.sources.push(more.clone());
        self
    }

    /// Some labelled target samples (semi-supervised adaptation): their cross
    /// entropy is added to that of the source.
    #[must_use]
    pub fn few(mut self, labelled: &Dataset) -> Self {
        self.few = Some(labelled.clone());
        self
    }

    /// A change of every training batch of every domain, such as small turns and
    /// moves. All methods get it, [`SourceOnly`](crate::Method::SourceOnly) too, so
    /// that a comparison stays fair; what is predicted and judged is not changed.
    #[must_use]
    pub fn augment(mut self, transform: impl Transform + 'static) -> Self {
        self.augment = Some(Arc::new(transform));
        self
    }

    /// A weak and a strong change of target samples, for
    /// [`Method::FixMatch`](crate::Method::FixMatch). Without them images are
    /// moved by up to 6%, and strongly turned by 20 degrees, scaled, moved by 12%
    /// and partly erased; other features get noise of a tenth and a half of
    /// their deviation.
    #[must_use]
    pub fn views(
        mut self,
        weak: impl Transform + 'static,
        strong: impl Transform + 'static,
    ) -> Self {
        self.views = Some((Arc::new(weak), Arc::new(strong)));
        self
    }

    /// The target, without labels.
    pub fn target(&self) -> &Dataset {
        &self.target
    }

    /// The sources.
    pub fn sources(&self) -> &[Dataset] {
        &self.sources
    }

    /// The domain of target samples for layers that keep one state for each: the
    /// number of sources.
    pub fn target_domain(&self) -> usize {
        self.sources.len()
    }

    /// The same with other sources.
    pub(crate) fn with_sources(&self, sources: Vec<Dataset>) -> Self {
        Self { sources, ..self.clone() }
    }

    pub(crate) fn labelled(&self) -> Option<&Dataset> {
        self.few.as_ref()
    }

    /// Batches of a set, changed as [`augment`](Self::augment) says.
    pub(crate) fn batches(&self, set: &Dataset, batching: Batching) -> Result<Loader> {
        let loader = set.batches(batching)?;
        Ok(match &self.augment {
            Some(view) => loader.transform(Shared(view.clone())),
            None => loader,
        })
    }

    /// The views that were given, or those for the kind of samples.
    pub(crate) fn the_views(&self) -> Result<(View, View)> {
        if let Some((weak, strong)) = &self.views {
            return Ok((weak.clone(), strong.clone()));
        }
        if self.target.sample_shape().len() == 3 {
            let strong = RandomAffine::new().degrees(20.0).translate(0.12).scale(0.85, 1.15);
            let strong = Compose::new().then(strong).then(RandomErase::new());
            return Ok((Arc::new(RandomAffine::new().translate(0.06)), Arc::new(strong)));
        }
        let x = self.target.features().flatten(1, -1)?;
        let deviation =
            if x.size(0)? > 1 { f64::from(x.std(0, true, false)?.mean_all().item()?) } else { 1.0 };
        let noise = |part: f64| Arc::new(GaussianNoise::new(part * deviation));
        Ok((noise(0.1), noise(0.5)))
    }

    /// That the sets fit together.
    pub(crate) fn check(&self) -> Result<()> {
        let shape = self.target.sample_shape();
        let wrong = |name, got: String, expected: String| {
            Err(Error::argument("domains", name, got, expected))
        };
        for set in self.sources.iter().chain(&self.few) {
            set.labels()?;
            if set.sample_shape() != shape {
                let expected = format!("{shape:?}, as in the target");
                return wrong("samples", format!("{:?}", set.sample_shape()), expected);
            }
            if set.classes() != self.sources[0].classes() {
                let expected = format!("{}, as in the first source", self.sources[0].classes());
                return wrong("classes", set.classes().to_string(), expected);
            }
        }
        if self.target.len() < 2 {
            return wrong(
                "target",
                self.target.len().to_string(),
                "two samples or more".to_owned(),
            );
        }
        Ok(())
    }

    /// At most `most` target samples, evenly spread.
    pub(crate) fn some_target(&self, most: usize) -> Result<Dataset> {
        let step = self.target.len().div_ceil(most.max(1)).max(1);
        let places: Vec<usize> = (0..self.target.len()).step_by(step).collect();
        Ok(if step == 1 { self.target.clone() } else { self.target.select(&places)? })
    }
}

impl fmt::Debug for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<usize> = self.sources.iter().map(Dataset::len).collect();
        f.debug_struct("Domains")
            .field("sources", &sizes)
            .field("target", &self.target.len())
            .field("few", &self.few.as_ref().map(Dataset::len))
            .finish_non_exhaustive()
    }
}

/// The change of a batch by a view.
pub(crate) fn change(view: &View, x: &Tensor, rng: &mut ChaCha8Rng) -> tl_nn::Result<Tensor> {
    view.apply(x, rng).map_err(tl_nn::Error::other)
}
