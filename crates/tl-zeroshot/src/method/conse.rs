//! A convex combination of seen classes.

use super::{Compatibility, Method, Project, Similarity};
use crate::{Error, Result, Seen};
use serde::{Deserialize, Serialize};
use tl_nn::{
    Tensor,
    shallow::{LogisticFit, LogisticRegression},
};

/// ConSE (Norouzi et al. 2014, eq. 3): a sample's place among the signatures is
/// the mean of those of its `top` most probable seen classes, weighted by their
/// probabilities; classes are compared by cosine. Default `top`: 10, the
/// paper's; all classes if there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conse {
    /// How many seen classes are mixed.
    pub top: usize,
    /// The inverse strength of the penalty of the classifier. Default 1.
    pub c: f64,
}

impl Default for Conse {
    fn default() -> Self {
        Self { top: 10, c: 1.0 }
    }
}

#[derive(Clone, Debug)]
struct Mixture {
    fit: LogisticFit,
    table: Tensor,
    top: usize,
}

impl Project for Mixture {
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        let p = self.fit.logits(x)?.softmax(-1)?;
        let (best, at) = p.topk(self.top, -1, true)?;
        let weights = Tensor::zeros(*p.shape()).scatter_add(1, &at, &best)?;
        Ok(weights.div(&best.sum(-1, true)?)?.matmul(&self.table)?)
    }

    fn similarity(&self) -> Similarity {
        Similarity::Cosine
    }
}

impl Method for Conse {
    fn name(&self) -> &'static str {
        "ConSE"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        if self.top == 0 {
            return Err(Error::argument("ConSE", "top", 0, "at least 1 class"));
        }
        let regression = LogisticRegression::new().c(self.c);
        let fit = regression.fit(seen.features(), seen.labels(), seen.classes())?;
        let table = crate::semantics::unit_rows(seen.signatures().table())?;
        Ok(Box::new(Mixture { fit, table, top: self.top.min(seen.classes()) }))
    }
}
