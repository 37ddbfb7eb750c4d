//! CPU time and memory of processes, from `/proc` (proc(5): fields 14 and 15 of `stat`, in hundredths of a second).

use std::fs;

/// The user and system time of a process, in seconds.
pub(crate) fn of_process(pid: u32) -> f64 {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| seconds(&stat)).unwrap_or_default()
}

/// The resident memory of a process, in KiB (`VmRSS` in `status`).
pub(crate) fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The user and system time of all running PostgreSQL processes, in seconds.
pub(crate) fn of_postgres() -> f64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0.0 };
    processes
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter(|stat| stat.contains("(postgres)"))
        .filter_map(|stat| seconds(&stat))
        .sum()
}

fn seconds(stat: &str) -> Option<f64> {
    // The process name may contain spaces; the fields after it do not.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / 100.0)
}
