//! How long a run takes.

use std::time::Instant;

/// A clock that stands still at 0 where the platform has none: `Instant::now`
/// panics on `wasm32-unknown-unknown`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Option<Instant>);

impl Clock {
    pub(super) fn start() -> Self {
        let missing = cfg!(all(target_family = "wasm", target_os = "unknown"));
        Self((!missing).then(Instant::now))
    }

    /// Since the start.
    pub(super) fn seconds(self) -> f64 {
        self.0.map_or(0.0, |start| start.elapsed().as_secs_f64())
    }
}
