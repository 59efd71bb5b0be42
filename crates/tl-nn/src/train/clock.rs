//! How long a run takes.

/// A clock that stands still where the platform has none: `Instant::now` panics
/// on `wasm32-unknown-unknown`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))] std::time::Instant,
);

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl Clock {
    pub(super) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Seconds since the start.
    pub(super) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl Clock {
    pub(super) fn start() -> Self {
        Self()
    }

    /// Always 0.
    pub(super) fn seconds(&self) -> f64 {
        0.0
    }
}
