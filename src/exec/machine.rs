//! What the machine grants this process.

#[cfg(target_os = "linux")]
use std::fs;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::thread;

use sysinfo::System;

/// Bytes of memory that the process may use, where the system tells: all of the machine's memory, or the limit of the
/// control groups (containers, services) that the process is in.
pub(super) fn memory() -> Option<usize> {
    let mut system = System::new();
    system.refresh_memory();
    let all = system.total_memory();
    let granted = limit().map_or(all, |limit| limit.min(all));
    usize::try_from(granted).ok().filter(|&bytes| bytes > 0)
}

/// The limit of the control groups that the process is in.
#[cfg(target_os = "linux")]
fn limit() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    super::control_groups::limit(&groups, &mounts, &read)
}

/// Other systems have no control groups.
#[cfg(not(target_os = "linux"))]
fn limit() -> Option<u64> {
    None
}

/// Threads that the machine can run at full speed: one for each physical core on which the process may run, but no more
/// than the process's control groups grant CPU time for.
pub fn threads() -> usize {
    // Respects affinity and quotas.
    let granted = thread::available_parallelism().map_or(1, |cpus| cpus.get());
    let cores = allowed_cores().or_else(System::physical_core_count);
    cores.map_or(granted, |cores| granted.min(cores.max(1)))
}

/// Physical cores on which the process may run.
#[cfg(target_os = "linux")]
fn allowed_cores() -> Option<usize> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    super::cores::count(&read(Path::new("/proc/self/status"))?, &read)
}

/// Other systems tell how many cores the machine has.
#[cfg(not(target_os = "linux"))]
fn allowed_cores() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_room_for_a_thread_and_for_no_more_than_there_are_cpus() {
        let cpus = std::thread::available_parallelism().unwrap().get();
        assert!((1..=cpus).contains(&super::threads()));
    }

    #[test]
    fn there_is_memory_and_no_more_than_the_machine_has() {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        let memory = super::memory().unwrap() as u64;
        assert!(
            (1 << 20..=system.total_memory()).contains(&memory),
            "{memory}"
        );
    }
}
