//! Architectures that share.

mod adapters;
mod attention;
mod experts;
mod sharing;
mod stitch;

pub use adapters::{LowRank, TaskAdapters};
pub use attention::{Attend, Mtan};
pub use experts::{Cgc, Level, Mmoe};
pub use sharing::HardSharing;
pub use stitch::CrossStitch;

use tl_nn::{Error, Result};

fn check_task(what: &'static str, task: usize, tasks: usize) -> Result<()> {
    if task < tasks {
        return Ok(());
    }
    Err(Error::argument(what, "task", task, format!("below {tasks}, the tasks")))
}
