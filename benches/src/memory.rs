//! How much memory this process holds, as Linux tells it.

fn status(field: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}

/// Resident now, MiB; 0 where the system does not say.
pub fn resident() -> f64 {
    status("VmRSS").unwrap_or(0.0)
}

/// The most that was resident since the start or the last [`reset_peak`], MiB; 0
/// where the system does not say.
pub fn peak() -> f64 {
    status("VmHWM").unwrap_or(0.0)
}

/// Forgets the peak so far, where the system allows it.
pub fn reset_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
