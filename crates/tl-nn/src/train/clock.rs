//! How long something takes.

use std::time::Instant;

/// A clock that stands still at 0 where the platform has none: `Instant::now`
/// panics on `wasm32-unknown-unknown`.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Option<Instant>);

impl Clock {
    /// A clock that runs from now on.
    #[must_use]
    pub fn start() -> Self {
        let missing = cfg!(all(target_family = "wasm", target_os = "unknown"));
        Self((!missing).then(Instant::now))
    }

    /// Seconds since the start; 0 without a clock.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0.map_or(0.0, |start| start.elapsed().as_secs_f64())
    }
}
