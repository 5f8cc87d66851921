//! The memory limits of control groups (in which containers and services run): of the process's own group and of all
//! groups that contain it.

use std::path::{Component, Path, PathBuf};

/// Where groups are mounted, from `/proc/self/mountinfo`.
struct Mount {
    /// The group that is mounted there.
    root: PathBuf,
    /// The folder.
    folder: PathBuf,
    /// The limit's file in each group's folder.
    file: &'static str,
}

/// The lowest limit, in bytes. `groups` is the text of `/proc/self/cgroup`, `mounts` of `/proc/self/mountinfo`, and
/// `read` returns the text of a file, if it exists.
pub(super) fn limit(
    groups: &str,
    mounts: &str,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<u64> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(mount).collect();
    let lines = groups.lines().filter_map(|line| {
        // Number, controllers and group; version 2 has no controllers.
        let mut fields = line.splitn(3, ':');
        let controllers = fields.nth(1)?;
        let file = match controllers {
            "" => VERSION_2,
            _ if controllers.split(',').any(|name| name == CONTROLLER) => VERSION_1,
            _ => return None,
        };
        Some((file, fields.next()?))
    });
    let limits = lines.flat_map(|(file, group)| {
        let mounts = mounts.iter().filter(move |mount| mount.file == file);
        mounts.flat_map(move |mount| folders(mount, Path::new(group)))
    });
    // A group without a limit has "max" there, or a number larger than any machine's memory.
    let limits = limits.filter_map(|file| read(&file)?.trim().parse().ok());
    limits.min()
}

/// The controller of version 1 that limits memory.
const CONTROLLER: &str = "memory";
/// The limit's file in version 1.
const VERSION_1: &str = "memory.limit_in_bytes";
/// The limit's file in version 2.
const VERSION_2: &str = "memory.max";

/// Parses a line of `/proc/self/mountinfo`, if it mounts groups that limit memory.
fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, folder) = (place.next()?, place.next()?);
    let mut kind = kind.split(' ');
    let file = match kind.next()? {
        "cgroup2" => VERSION_2,
        "cgroup" if kind.nth(1)?.split(',').any(|name| name == CONTROLLER) => VERSION_1,
        _ => return None,
    };
    Some(Mount {
        root: root.into(),
        folder: folder.into(),
        file,
    })
}

/// The limits' files of a group and of all groups that contain it, as far as they are visible in the mount.
fn folders(mount: &Mount, group: &Path) -> Vec<PathBuf> {
    // A group outside the mount, as some containers name it, leaves only the mounted group itself.
    let below = group.strip_prefix(&mount.root).unwrap_or(Path::new(""));
    let plain = below.components();
    let plain = plain.filter(|part| matches!(part, Component::Normal(_)));
    let below: PathBuf = plain.collect();
    let folders = below.ancestors().map(|below| mount.folder.join(below));
    folders.map(|folder| folder.join(mount.file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn limit_with(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<u64> {
        let files: BTreeMap<&Path, &str> = files
            .iter()
            .map(|(path, text)| (Path::new(*path), *text))
            .collect();
        limit(groups, mounts, &|path| {
            files.get(path).map(|text| text.to_string())
        })
    }

    const SECOND: &str = "25 20 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const FIRST: &str = "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        31 25 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/user.slice/memory.max", "3000\n"),
            ("/sys/fs/cgroup/user.slice/run.scope/memory.max", "5000\n"),
            ("/sys/fs/cgroup/other/memory.max", "10\n"),
        ];
        for group in [
            "/user.slice",
            "/user.slice/run.scope",
            "/user.slice/run.scope/a",
        ] {
            let groups = format!("0::{group}\n");
            assert_eq!(limit_with(&groups, SECOND, &files), Some(3000), "{group}");
        }
        assert_eq!(limit_with("0::/\n", SECOND, &files), None);
    }

    #[test]
    fn version_1_is_read_too() {
        let files = [
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "4096\n"),
            ("/sys/fs/cgroup/cpu/jobs/memory.limit_in_bytes", "1\n"),
        ];
        let groups = "5:cpu:/jobs/7\n4:memory:/jobs/7\n0::/user.slice\n";
        let mounts = format!("{FIRST}{SECOND}");
        assert_eq!(limit_with(groups, &mounts, &files), Some(4096));
        assert_eq!(
            limit_with("4:memory:/\n", &mounts, &files),
            Some(9_223_372_036_854_771_712)
        );
    }

    #[test]
    fn in_a_container_its_own_group_is_seen_at_the_top() {
        let files = [("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n")];
        // Seen from the group's own folder, or with a name from outside.
        let own = "31 25 0:27 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        assert_eq!(limit_with("4:memory:/docker/1\n", own, &files), Some(4096));
        assert_eq!(
            limit_with("4:memory:/docker/1\n", FIRST, &files),
            Some(4096)
        );
        let files = [("/sys/fs/cgroup/memory.max", "7\n")];
        assert_eq!(limit_with("0::/../..\n", SECOND, &files), Some(7));
    }

    #[test]
    fn unreadable_text_limits_nothing() {
        for text in ["", "x", "0:", "1 2 - cgroup2", ":::"] {
            assert_eq!(limit_with(text, text, &[]), None);
        }
    }
}
