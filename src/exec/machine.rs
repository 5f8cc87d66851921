//! What the machine grants this process.

use sysinfo::System;

/// Bytes of memory that the process may have, where the system tells: all of the machine's, or as many as the limit of the
/// container (its control group) allows.
pub(super) fn memory() -> Option<usize> {
    let mut system = System::new();
    system.refresh_memory();
    let all = system.total_memory();
    let granted = match system.cgroup_limits() {
        Some(limits) => limits.total_memory.min(all),
        None => all,
    };
    usize::try_from(granted).ok().filter(|&bytes| bytes > 0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    /// A file's number, if it has one: "max" is none.
    fn number(path: &str) -> Option<usize> {
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    #[test]
    fn memory_is_the_machines_or_the_containers() {
        let info = fs::read_to_string("/proc/meminfo").unwrap();
        let line = info.lines().find(|line| line.starts_with("MemTotal:"));
        let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
        let all = 1024 * kibibytes.parse::<usize>().unwrap();
        let limits = [
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        let limit = limits.into_iter().find_map(number).unwrap_or(usize::MAX);
        assert_eq!(super::memory(), Some(all.min(limit)));
    }
}
