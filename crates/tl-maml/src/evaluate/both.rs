//! Both protocols of batch normalisation side by side, in one domain or several.

use super::{Evaluation, Predict, Protocol, evaluate};
use crate::{Error, Result, TaskSource};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::metric::Summary;

/// The same tasks under both protocols. Without batch normalisation the two are
/// equal; with it the literature's numbers are sometimes the one and sometimes
/// the other, and not comparable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Both {
    /// Each query for itself.
    pub inductive: Evaluation,
    /// All queries of a task together.
    pub transductive: Evaluation,
}

/// As [`evaluate`], under both protocols on the same tasks.
///
/// ```
/// use tl_maml::{FewShot, Nearest, Tasks, evaluate_both};
/// use tl_nn::Flatten;
/// # fn main() -> tl_maml::Result<()> {
/// let tasks = Tasks::from_labels(&tl_data::samples::digits())?.way(5).shot(1).query(5);
/// let pixels = FewShot { encoder: Flatten, head: Nearest::default() };
/// let both = evaluate_both(&pixels.predictor(), &tasks, 50, 1)?;
/// assert_eq!(both.inductive.tasks, both.transductive.tasks); // nothing to normalise
/// println!("{both}");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_both(
    method: &dyn Predict,
    source: &dyn TaskSource,
    episodes: usize,
    seed: u64,
) -> Result<Both> {
    let under = |protocol| evaluate(method, source, episodes, seed, protocol);
    Ok(Both {
        inductive: under(Protocol::Inductive)?,
        transductive: under(Protocol::Transductive)?,
    })
}

/// One line for each number of steps.
impl fmt::Display for Both {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<6} {:<22} transductive", "steps", "inductive")?;
        for ((step, one), (_, all)) in self.inductive.steps.iter().zip(&self.transductive.steps) {
            writeln!(f, "{step:<6} {:<22} {all}", one.to_string())?;
        }
        Ok(())
    }
}

/// One method in several domains: where it was trained, and elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Across {
    /// Name and results of each domain, in the order in which they were given.
    pub domains: Vec<(String, Both)>,
}

/// Tests one method in several domains (Chen et al. 2019, section 4.2; Guo et al.
/// 2020): tasks of the domain of training first, then others. What a method
/// loses from the first to the others is what it learned of the domain rather
/// than of learning.
///
/// # Errors
/// No domain; as [`evaluate`].
pub fn evaluate_across(
    method: &dyn Predict,
    domains: &[(&str, &dyn TaskSource)],
    episodes: usize,
    seed: u64,
) -> Result<Across> {
    if domains.is_empty() {
        return Err(Error::argument("evaluate_across", "domains", 0, "at least 1, better 2"));
    }
    let of = |&(name, source): &(&str, &dyn TaskSource)| {
        Ok((name.to_owned(), evaluate_both(method, source, episodes, seed)?))
    };
    Ok(Across { domains: domains.iter().map(of).collect::<Result<_>>()? })
}

impl Across {
    /// The last results of a domain under a protocol; none if it was not tested.
    pub fn of(&self, domain: &str, protocol: Protocol) -> Option<Summary> {
        let (_, both) = self.domains.iter().find(|(name, _)| name == domain)?;
        Some(match protocol {
            Protocol::Inductive => both.inductive.last(),
            Protocol::Transductive => both.transductive.last(),
        })
    }
}

/// One line a domain.
impl fmt::Display for Across {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.domains.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let width = width.max("domain".len());
        writeln!(f, "{:<width$}  {:<22} transductive", "domain", "inductive")?;
        for (name, both) in &self.domains {
            let (one, all) = (both.inductive.last(), both.transductive.last());
            writeln!(f, "{name:<width$}  {:<22} {all}", one.to_string())?;
        }
        Ok(())
    }
}
