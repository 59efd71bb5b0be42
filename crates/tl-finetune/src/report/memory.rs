//! The most memory that something needed.

/// Watches the resident memory of this process.
pub(super) struct Watch {
    before: Option<u64>,
}

impl Watch {
    /// Begins: the system's high-water mark is set to what is in use now. Linux can
    /// do that; elsewhere nothing is measured.
    pub(super) fn begin() -> Self {
        let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        Self { before: reset.then(|| status("VmRSS:")).flatten() }
    }

    /// Bytes at the most, beyond those at the beginning.
    pub(super) fn end(self) -> Option<u64> {
        let before = self.before?;
        Some(status("VmHWM:")?.saturating_sub(before))
    }
}

fn status(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
