//! The physical cores on which Linux lets this process run.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Where Linux says which CPUs are on one core: the current name of the file, and the older one.
const SIBLINGS: [&str; 2] = ["core_cpus_list", "thread_siblings_list"];

/// The number of cores that have a CPU on which the process may run. `status` is the text of `/proc/self/status`, and
/// `read` returns the text of a file, if it exists. `None` where the files do not say.
pub(super) fn count(status: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<usize> {
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = BTreeSet::new();
    for cpu in ranges(allowed)?.into_iter().flatten() {
        let folder = PathBuf::from(format!("/sys/devices/system/cpu/cpu{cpu}/topology"));
        // CPUs of one core have the same list, which contains all of them.
        let list = SIBLINGS.iter().find_map(|file| read(&folder.join(file)))?;
        cores.insert(*ranges(&list)?.first()?.start());
    }
    Some(cores.len()).filter(|&count| count > 0)
}

/// CPUs listed as `0-3,8`.
fn ranges(list: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let range = |part: &str| {
        let (start, end) = part.split_once('-').unwrap_or((part, part));
        Some(start.parse().ok()?..=end.parse().ok()?)
    };
    list.trim().split(',').map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The count for a process that may run on `allowed`, on a machine whose CPUs have these lists of siblings.
    fn count_with(allowed: &str, file: &str, siblings: &[&str]) -> Option<usize> {
        let status = format!("Name:\tcat\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n");
        count(&status, &|path| {
            let cpu = path.to_str()?.strip_prefix("/sys/devices/system/cpu/cpu")?;
            let (cpu, found) = cpu.split_once("/topology/")?;
            let list = siblings.get(cpu.parse::<usize>().ok()?)?;
            (found == file).then(|| format!("{list}\n"))
        })
    }

    #[test]
    fn two_threads_of_a_core_count_once() {
        let halves = ["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"];
        let pairs = ["0-1", "0-1", "2-3", "2-3"];
        for file in SIBLINGS {
            assert_eq!(count_with("0-7", file, &halves), Some(4));
            assert_eq!(count_with("0-3", file, &halves), Some(4));
            assert_eq!(count_with("0,4", file, &halves), Some(1));
            assert_eq!(count_with("1-2,5,7", file, &halves), Some(3));
            assert_eq!(count_with("0-1", file, &pairs), Some(1));
            assert_eq!(count_with("1-2", file, &pairs), Some(2));
        }
        assert_eq!(count_with("0-1", SIBLINGS[0], &["0", "1"]), Some(2));
    }

    #[test]
    fn where_a_file_is_missing_or_strange_nothing_is_claimed() {
        assert_eq!(count_with("0-1", "other", &["0", "1"]), None);
        assert_eq!(count_with("0-2", SIBLINGS[0], &["0", "1"]), None);
        for strange in ["", "x", "0-", "-", "1,,2"] {
            assert_eq!(
                count_with(strange, SIBLINGS[0], &["0", "1"]),
                None,
                "{strange}"
            );
            assert_eq!(count_with("0", SIBLINGS[0], &[strange]), None, "{strange}");
        }
        assert_eq!(count("", &|_| None), None);
    }
}
