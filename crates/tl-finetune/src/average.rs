//! Weights between models.

use crate::{Error, Result};
use tl_nn::{Load, Module, ModuleExt, StateDict, Weight};

/// WiSE-FT (Wortsman et al. 2022, eq. 1): the model whose weights are
/// `(1 - part) · before + part · after`; 0.5 is a good guess where the target
/// may shift. Whole numbers, such as counts, are those of `after`. Statistics of
/// batch normalisation are interpolated too: estimate them anew.
///
/// # Errors
/// Models with other weights; a part not in 0 to 1.
pub fn interpolate<M: Module>(before: &M, after: &M, part: f32) -> Result<M> {
    if !(0.0..=1.0).contains(&part) {
        return Err(Error::argument("interpolate", "part", part, "0 to 1"));
    }
    soup(&[(before, 1.0 - part), (after, part)])
}

/// A soup (Wortsman et al. 2022): the weighted sum of the weights of models that
/// were fine-tuned from one start.
///
/// # Errors
/// No model; models with other weights.
pub fn soup<M: Module>(models: &[(&M, f32)]) -> Result<M> {
    let Some((last, _)) = models.last() else {
        return Err(Error::argument("soup", "models", "none", "at least one"));
    };
    let mut mean = (*last).clone();
    let mut dict = StateDict::new();
    let dicts: Vec<(StateDict, f32)> = models.iter().map(|(m, w)| (m.state_dict(), *w)).collect();
    for (name, weight) in last.state_dict().iter() {
        if matches!(weight.dtype(), tl_nn::Dtype::I64) {
            dict.insert(name, weight.clone());
            continue;
        }
        let mut sum = None;
        for (of, part) in &dicts {
            let term = of.tensor(name)?.mul_scalar(*part);
            sum = Some(match sum {
                None => term,
                Some(sum) => term.add(&sum)?,
            });
        }
        if let Some(sum) = sum {
            dict.insert(name, Weight::new(&sum));
        }
    }
    let _ = mean.load(&dict, &Load::strict())?;
    Ok(mean)
}
