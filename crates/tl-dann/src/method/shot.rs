//! Source hypothesis transfer.

use crate::{Classifier, Result, information_maximisation, objective::Watch};
use tl_data::{Batch, Dataset};
use tl_nn::{CrossEntropy, Ctx, Forward, Losses, Metrics, Objective, Tensor};

/// The second stage of SHOT (Liang et al. 2020), on the target alone.
pub(crate) struct Shot {
    /// The pseudo-label of every target sample, renewed every epoch.
    labels: Vec<usize>,
    target: Dataset,
    domain: usize,
    watch: Option<Watch>,
}

impl Shot {
    pub(crate) fn new(target: &Dataset, domain: usize, watch: Option<Watch>) -> Self {
        Self { labels: Vec::new(), target: target.clone(), domain, watch }
    }

    /// The nearest of the class means that predictions weigh, by cosine; twice,
    /// as in the paper (eq. 5 to 7). A class without any sample has no mean.
    fn relabel<M: Forward>(&mut self, model: &Classifier<M>) -> Result<()> {
        let unit = |x: &Tensor| -> Result<Tensor> {
            Ok(x.mul(&x.square().sum(-1, true)?.add_scalar(1e-12).rsqrt())?)
        };
        let seen = model.see(&self.target, self.domain)?;
        let mut p = seen.logits.softmax(-1)?;
        let features = unit(&seen.features)?;
        for _ in 0..2 {
            let means = unit(&p.t()?.matmul(&features)?)?;
            let empty = p.sum(0, true)?.map_constant(|n| if n > 0.0 { 0.0 } else { -4.0 });
            let similar = features.matmul(&means.t()?)?.add(&empty)?;
            self.labels = tl_nn::metric::predictions(&similar)?;
            p = Tensor::one_hot(&self.labels[..].into(), p.size(1)?)?;
        }
        Ok(())
    }
}

impl<M: Forward> Objective<Classifier<M>, Batch> for Shot {
    fn loss(
        &mut self,
        model: &Classifier<M>,
        batch: &Batch,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        if self.labels.is_empty() {
            self.relabel(model)?;
        }
        cx.set_domain(self.domain);
        let logits = model.forward(&batch.features, cx)?;
        let information = information_maximisation(&logits)?;
        let labels: Vec<usize> =
            batch.indices.iter().filter_map(|&i| self.labels.get(i).copied()).collect();
        let pseudo = CrossEntropy::new().loss(&logits, &labels.into())?;
        let total = information.add(&pseudo.mul_scalar(0.3))?;
        Ok(Losses::new(total).part("information", &information).part("pseudo", &pseudo))
    }

    fn validate(&mut self, model: &Classifier<M>) -> tl_nn::Result<Option<Metrics>> {
        self.relabel(model)?;
        Ok(self.watch.as_ref().map(|w| w.metrics(model)).transpose()?.flatten())
    }
}
