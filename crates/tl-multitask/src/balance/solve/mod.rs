//! Small convex problems, solved to double precision.

mod cholesky;
mod min_norm;
mod power;
mod qp;

pub use min_norm::min_norm;
pub use power::power_balance;
pub(super) use qp::Qp;
pub use qp::lower_bounded_qp;

use super::Gram;
use crate::{Error, Result};

pub(super) fn finite(gram: &Gram) -> Result<()> {
    let t = gram.tasks();
    let fine = (0..t).all(|i| (0..t).all(|j| gram.get(i, j).is_finite()));
    if t == 0 || !fine {
        let got = if t == 0 { "no task" } else { "NaN or infinite" };
        return Err(Error::argument("balance", "gram", got, "finite numbers for a task or more"));
    }
    Ok(())
}
