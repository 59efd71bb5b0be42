//! Direct and indirect attribute prediction.

use super::{Compatibility, Method, Project, Similarity};
use crate::{Error, Result, Seen};
use serde::{Deserialize, Serialize};
use tl_nn::{
    Tensor,
    shallow::{LogisticFit, LogisticRegression},
};

/// Probabilities closer to 0 or 1 than this say no more.
const SURE: f32 = 1e-4;

/// DAP (Lampert et al. 2014, eq. 2): a logistic regression for every binary
/// attribute `m` gives `p(a_m | x)`; the score of a class is the logarithm of
/// `Π_m p(a_m = s_m | x) / p(a_m = s_m)`. The prior `p(a_m)` is the mean over
/// the seen classes, not over samples. Leaving it out is a common mistake.
///
/// Signatures are 0 or 1; a number in between counts as a degree, and the score
/// is then interpolated. Scores are up to a number that is the same for all
/// classes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dap {
    /// The inverse strength of the penalty of the regressions. Default 1.
    pub c: f64,
}

impl Default for Dap {
    fn default() -> Self {
        Self { c: 1.0 }
    }
}

/// IAP (Lampert et al. 2014, eq. 4): a logistic regression over the seen classes
/// gives `p(y_k | x)`, and these the attributes: `p(a_m | x) = Σ_k p(y_k | x)
/// s_km`. The rest is as with [`Dap`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Iap {
    /// The inverse strength of the penalty of the regression. Default 1.
    pub c: f64,
}

impl Default for Iap {
    fn default() -> Self {
        Self { c: 1.0 }
    }
}

fn binary(seen: &Seen) -> Result<()> {
    let table = seen.signatures().table().to_vec();
    match table.iter().find(|x| !(0.0..=1.0).contains(*x)) {
        None => Ok(()),
        Some(x) => {
            let expected = "attributes from 0 (no) to 1 (yes); use another method for embeddings";
            Err(Error::argument("attribute prediction", "signatures", x, expected))
        }
    }
}

/// The log odds of the prior of each attribute, `[1, a]`. One that all seen
/// classes share, or none has, says nothing: its odds are those with half a
/// class on the other side.
fn prior(seen: &Seen) -> Result<Tensor> {
    let (sum, n) = (seen.signatures().table().sum(0, true)?, seen.classes() as f32);
    let p = sum.clamp(0.5, n - 0.5).mul_scalar(1.0 / n);
    log_odds(&p)
}

fn log_odds(p: &Tensor) -> Result<Tensor> {
    let p = p.clamp(SURE, 1.0 - SURE);
    Ok(p.log().sub(&p.neg().add_scalar(1.0).log())?)
}

/// A regression for each attribute, or none where the seen classes do not
/// differ: then the attribute says nothing.
#[derive(Clone, Debug)]
struct Attributes {
    regressions: Vec<Option<LogisticFit>>,
    prior: Tensor,
}

impl Project for Attributes {
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        let mut columns = Vec::with_capacity(self.regressions.len());
        for (m, fit) in self.regressions.iter().enumerate() {
            columns.push(match fit {
                Some(fit) => {
                    let p = fit.logits(x)?.softmax(-1)?.narrow(1, 1, 1)?;
                    log_odds(&p)?.sub(&self.prior.narrow(1, m, 1)?)?
                }
                None => Tensor::zeros([x.size(0)?, 1]),
            });
        }
        Ok(Tensor::cat(&columns.iter().collect::<Vec<_>>(), 1)?)
    }

    fn similarity(&self) -> Similarity {
        Similarity::Dot
    }
}

impl Method for Dap {
    fn name(&self) -> &'static str {
        "DAP"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        binary(seen)?;
        let (table, a) = (seen.signatures().table().to_vec(), seen.signatures().attributes().len());
        let mut regressions = Vec::with_capacity(a);
        for m in 0..a {
            let has: Vec<usize> = seen
                .labels()
                .iter()
                .map(|&label| usize::from(table[label * a + m] > 0.5))
                .collect();
            let differ = has.contains(&0) && has.contains(&1);
            let regression = LogisticRegression::new().c(self.c);
            regressions.push(match differ {
                true => Some(regression.fit(seen.features(), &has, 2)?),
                false => None,
            });
        }
        Ok(Box::new(Attributes { regressions, prior: prior(seen)? }))
    }
}

#[derive(Clone, Debug)]
struct ThroughClasses {
    fit: LogisticFit,
    /// `[seen classes, a]`.
    table: Tensor,
    prior: Tensor,
}

impl Project for ThroughClasses {
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        let p = self.fit.logits(x)?.softmax(-1)?.matmul(&self.table)?;
        Ok(log_odds(&p)?.sub(&self.prior)?)
    }

    fn similarity(&self) -> Similarity {
        Similarity::Dot
    }
}

impl Method for Iap {
    fn name(&self) -> &'static str {
        "IAP"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        binary(seen)?;
        let regression = LogisticRegression::new().c(self.c);
        let fit = regression.fit(seen.features(), seen.labels(), seen.classes())?;
        let table = seen.signatures().table().clone();
        Ok(Box::new(ThroughClasses { fit, table, prior: prior(seen)? }))
    }
}
