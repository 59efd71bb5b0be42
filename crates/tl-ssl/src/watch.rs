//! Watching a run with a few labels.

use crate::{Error, Result};
use tl_data::Dataset;
use tl_nn::{
    Ctx, Metrics, Tensor,
    shallow::{Distance, KNearest, LogisticRegression},
};

/// Labelled samples that judge the features after every epoch, without being
/// trained on: the accuracy of nearest neighbours (`knn`: at most 200, votes
/// `exp(cos/0.1)`, Wu et al. 2018) and of logistic regression (`probe`), fitted on
/// one part and tested on another.
#[derive(Clone, Debug)]
pub struct Watch {
    bank: Dataset,
    test: Dataset,
}

impl Watch {
    /// Fits on `bank` and tests on `test`. Take both from the training side:
    /// what is chosen by looking at them is tuned on them.
    ///
    /// # Errors
    /// Sets without labels or with other classes; an empty one.
    pub fn new(bank: &Dataset, test: &Dataset) -> Result<Self> {
        bank.labels()?;
        test.labels()?;
        if bank.is_empty() || test.is_empty() || bank.classes() != test.classes() {
            let got = format!("{} and {} samples", bank.len(), test.len());
            let expected = "labelled samples of the same classes in both";
            return Err(Error::argument("watch", "sets", got, expected));
        }
        Ok(Self { bank: bank.clone(), test: test.clone() })
    }

    pub(crate) fn judge(
        &self,
        features: impl Fn(&Tensor, &mut Ctx) -> tl_nn::Result<Tensor>,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let of = |data: &Dataset| features(data.features(), &mut Ctx::eval());
        // A sample without features would have no direction.
        let known = |x: Tensor| x.detach().add_scalar(1e-12);
        let (x, unseen) = (known(of(&self.bank)?), known(of(&self.test)?));
        let (y, truth) = (self.bank.labels()?, self.test.labels()?);
        let classes = self.bank.classes();
        let right = |predicted: &[usize]| {
            predicted.iter().zip(truth).filter(|(a, b)| a == b).count() as f64 / truth.len() as f64
        };
        let knn = KNearest::fit(&x, y, classes, 200.min(y.len()))?
            .distance(Distance::Cosine { temperature: 0.1 })?;
        metrics.insert("knn".to_owned(), right(&knn.predict(&unseen)?));
        let probe = LogisticRegression::new().fit(&x, y, classes)?;
        metrics.insert("probe".to_owned(), right(&probe.predict(&unseen)?));
        Ok(())
    }
}
