//! Writing a file: a regular file is written completely or not at all; anything else that a path names is written into
//! directly.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The most links in a chain.
const MOST_LINKS: usize = 40;
/// The most names that are tried for the temporary file.
const MOST_NAMES: u32 = 100;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("can't write {}: {source}", path.display())]
pub struct OutputError {
    /// The file.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

/// Writes a file; `write` writes its content.
///
/// A regular file is replaced by a complete new file with the permissions of the old one; if `write` fails, the old file
/// stays. A link stays too, and the file to which it leads is replaced. Anything that is not a regular file (a device, a
/// pipe), that a process has open (`/dev/stdout`, `/proc/self/fd/3`) or that has several names is written into, as `>` does
/// in a shell.
///
/// # Errors
/// The error of `write`, or an error of the system.
pub fn write_file<T, E: From<OutputError>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let failed = |source| OutputError {
        path: path.to_path_buf(),
        source,
    };
    let Target { file, replaced } = target(path).map_err(failed)?;
    let Some(old) = replaced else {
        let mut output = OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(&file)
            .map_err(failed)?;
        let written = write(&mut output)?;
        output.flush().map_err(failed)?;
        return Ok(written);
    };
    let (mut output, partial) = beside(&file).map_err(failed)?;
    let written = write(&mut output).and_then(|written| {
        let finished = finish(&output, old.as_ref(), &partial, &file);
        finished.map_err(failed)?;
        Ok(written)
    });
    if written.is_err() {
        // What is left of a failed attempt is useless.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Writes a file with these bytes, like [`write_file`].
///
/// # Errors
/// If the system refuses.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    write_file(path, |output| {
        let written = output.write_all(bytes);
        written.map_err(|source| OutputError {
            path: path.to_path_buf(),
            source,
        })
    })
}

/// Whether writing to `path` would overwrite the bytes of the file `input` itself.
///
/// # Errors
/// If the system cannot tell.
#[cfg(any(test, feature = "internals"))]
pub fn writes_into(path: &Path, input: &Path) -> io::Result<bool> {
    if target(path)?.replaced.is_some() {
        return Ok(false);
    }
    is_same(path, input)
}

/// The target of a path.
struct Target {
    /// The file at the end of all links.
    file: PathBuf,
    /// What a new file would replace: nothing, or a regular file. `None` if the target is written into.
    replaced: Option<Option<Metadata>>,
}

fn target(path: &Path) -> io::Result<Target> {
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if old.as_ref().is_some_and(Metadata::is_dir) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let (file, open) = behind_links(path)?;
    let replace = match &old {
        None => true,
        Some(old) => old.is_file() && !open && !has_several_names(old),
    };
    if old.is_some() && replace {
        // A file that may not be written must not be replaced either.
        OpenOptions::new().write(true).open(&file)?;
    }
    Ok(Target {
        file: if replace { file } else { path.to_path_buf() },
        replaced: replace.then_some(old),
    })
}

/// The file to which the links of a path lead, and whether one of these links stands for a file that a process has open.
fn behind_links(path: &Path) -> io::Result<(PathBuf, bool)> {
    let mut file = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let Ok(link) = fs::read_link(&file) else {
            return Ok((file, false));
        };
        let folder = file.parent().unwrap_or(Path::new(""));
        let real = match folder.as_os_str().is_empty() {
            true => fs::canonicalize("."),
            false => fs::canonicalize(folder),
        };
        if real?.starts_with("/proc") {
            return Ok((file, true));
        }
        file = folder.join(link);
    }
    Err(io::Error::other("too many links lead from one to the next"))
}

/// A new file next to `file`, and its path.
fn beside(file: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 0;
    loop {
        let mut partial = file.as_os_str().to_owned();
        partial.push(format!(".{}-{number}.partial", std::process::id()));
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&partial)
        {
            Ok(output) => return Ok((output, partial.into())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST_NAMES => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Puts the new file in the place of the old one.
fn finish(output: &File, old: Option<&Metadata>, partial: &Path, file: &Path) -> io::Result<()> {
    if let Some(old) = old {
        // The owner comes first, because changing it removes permissions.
        keep_owner(output, old)?;
        output.set_permissions(old.permissions())?;
    }
    output.sync_all()?;
    fs::rename(partial, file)
}

#[cfg(unix)]
fn keep_owner(output: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = output.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        // A user who may not change the owner keeps the new file: with the group of the old one, or with neither.
        let both = fchown(output, Some(old.uid()), Some(old.gid()));
        let _ = both.or_else(|_| fchown(output, None, Some(old.gid())));
    }
    Ok(())
}

#[cfg(not(unix))]
fn keep_owner(_output: &File, _old: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn has_several_names(file: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(file) > 1
}

#[cfg(not(unix))]
fn has_several_names(_file: &Metadata) -> bool {
    false
}

/// Whether both paths lead to the same file.
#[cfg(all(unix, any(test, feature = "internals")))]
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(all(not(unix), any(test, feature = "internals")))]
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(fs::canonicalize(one)? == fs::canonicalize(other)?)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
            .into_iter()
            .map(|name| name.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_new_file_is_written_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        write_bytes(&path, b"content").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        assert_eq!(names(folder.path()), ["new"]);
    }

    #[test]
    fn an_old_file_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        for mode in [0o600, 0o640, 0o755] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            write_bytes(&path, b"new").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
        }
    }

    #[test]
    fn an_old_file_stays_where_writing_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        fs::write(&path, "old").unwrap();
        let written = write_file(&path, |output| {
            output.write_all(b"half").unwrap();
            Err::<(), OutputError>(OutputError {
                path: path.clone(),
                source: io::Error::other("enough"),
            })
        });
        assert!(written.unwrap_err().to_string().contains("enough"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["old"]);
    }

    #[test]
    fn a_link_stays_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let sub = folder.path().join("sub");
        fs::create_dir(&sub).unwrap();
        symlink("sub/target", folder.path().join("one")).unwrap();
        symlink("one", folder.path().join("two")).unwrap();
        // At first the links lead nowhere.
        for (link, content) in [("one", b"1"), ("two", b"2"), ("one", b"3")] {
            write_bytes(&folder.path().join(link), content).unwrap();
            assert_eq!(fs::read(sub.join("target")).unwrap(), content);
        }
        for link in ["one", "two"] {
            let kind = fs::symlink_metadata(folder.path().join(link)).unwrap();
            assert!(kind.is_symlink());
        }
        assert_eq!(names(&sub), ["target"]);
    }

    #[test]
    fn all_names_of_a_file_show_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        fs::write(&one, "old and long").unwrap();
        fs::hard_link(&one, &other).unwrap();
        write_bytes(&one, b"new").unwrap();
        assert_eq!(fs::read(&other).unwrap(), b"new");
        assert!(writes_into(&one, &other).unwrap());
        fs::remove_file(&other).unwrap();
        assert!(!writes_into(&one, &one).unwrap());
    }

    #[test]
    fn a_pipe_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let reading = path.clone();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            File::open(reading)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        });
        write_bytes(&path, b"content").unwrap();
        assert_eq!(reader.join().unwrap(), "content");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["pipe"]);
    }

    #[test]
    fn a_device_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        symlink("/dev/null", &link).unwrap();
        write_bytes(Path::new("/dev/null"), b"content").unwrap();
        write_bytes(&link, b"content").unwrap();
        let null = fs::metadata("/dev/null").unwrap().file_type();
        assert!(null.is_char_device());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_a_process_has_open_is_not_replaced() {
        use std::os::fd::AsRawFd;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open");
        let open = File::create_new(&path).unwrap();
        let link = folder.path().join("link");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &link).unwrap();
        write_bytes(&link, b"content").unwrap();
        assert_eq!(open.metadata().unwrap().len(), 7);
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }

    #[test]
    fn a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let message = write_bytes(folder.path(), b"").unwrap_err().to_string();
        assert!(message.contains("can't write"), "{message}");
    }
}
