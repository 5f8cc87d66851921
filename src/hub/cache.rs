//! The cache that all programs of the Hub share, in their common layout.
//!
//! A repository is the folder `models--ORGANIZATION--NAME`. In it, `blobs` has the files' contents, each under its tag;
//! `snapshots/REVISION` has the files by name, as links to blobs; and `refs/BRANCH` has the branch's newest revision. An
//! incomplete file is among the blobs, under a name that ends with `.part`. Locks are files in `.locks`, next to the
//! repositories.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// One repository of the cache.
#[derive(Debug)]
pub struct Cache {
    repository: PathBuf,
    locks: PathBuf,
}

impl Cache {
    /// The repository `ORGANIZATION/NAME` of the cache in the folder `root`.
    pub fn new(root: &Path, repository: &str) -> Cache {
        let folder = format!("models--{}", repository.replace('/', "--"));
        Cache {
            repository: root.join(&folder),
            locks: root.join(".locks").join(folder),
        }
    }

    /// The folder of a revision's files.
    pub fn snapshot(&self, revision: &str) -> PathBuf {
        self.repository.join("snapshots").join(revision)
    }

    /// Where the content with this tag is when it is complete.
    pub fn blob(&self, tag: &str) -> PathBuf {
        self.repository.join("blobs").join(tag)
    }

    /// Where the content is until then.
    pub fn part(&self, tag: &str) -> PathBuf {
        self.repository.join("blobs").join(format!("{tag}.part"))
    }

    /// The lock of the content with this tag, if no other process has it. The lock lasts as long as the file is open.
    ///
    /// # Errors
    /// If the system refuses it. A file system that does not support locks is not an error: then no lock is taken.
    pub fn try_lock(&self, tag: &str) -> io::Result<Option<File>> {
        fs::create_dir_all(&self.locks)?;
        let path = self.locks.join(format!("{tag}.lock"));
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                Ok(Some(file))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Make the file at `path`, which belongs to a snapshot, a link to the blob with this tag.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn link(&self, path: &Path, tag: &str) -> io::Result<()> {
        if path.exists() {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // The path may be a link that leads nowhere.
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let below = path.strip_prefix(&self.repository).unwrap_or(path);
        let mut target = PathBuf::new();
        (1..below.components().count()).for_each(|_| target.push(".."));
        target.extend(["blobs", tag]);
        match symlink(&target, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(_) => {
                let blob = self.blob(tag);
                fs::hard_link(&blob, path).or_else(|_| fs::copy(&blob, path).map(|_| ()))
            }
            Ok(()) => Ok(()),
        }
    }

    /// The most recently fetched revision of a branch.
    pub fn revision(&self, branch: &str) -> Option<String> {
        let text = fs::read_to_string(self.repository.join("refs").join(branch)).ok()?;
        let text = text.trim();
        is_revision(text).then(|| text.to_string())
    }

    /// Remember that this revision is the newest of the branch.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep_revision(&self, branch: &str, revision: &str) -> io::Result<()> {
        let refs = self.repository.join("refs");
        fs::create_dir_all(&refs)?;
        let partial = refs.join(format!("{branch}.part"));
        fs::write(&partial, revision)?;
        fs::rename(partial, refs.join(branch))
    }

    /// The files of a revision, as paths relative to its folder, sorted.
    pub fn files(&self, revision: &str) -> Vec<String> {
        let mut files = Vec::new();
        list(&self.snapshot(revision), "", &mut files);
        files
    }
}

/// Whether a text can be a revision's name.
pub fn is_revision(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The files in a folder and its subfolders, as paths relative to it, sorted.
fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // The files are links to blobs, the folders are folders.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), &format!("{name}/"), files);
        } else if entry.path().exists() {
            files.push(name);
        }
    }
}

#[cfg(unix)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(windows)]
fn symlink(target: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, path)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_target: &Path, _path: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path(), "org/model");
        fs::create_dir_all(cache.blob("tag").parent().unwrap()).unwrap();
        fs::write(cache.blob("tag"), "content").unwrap();
        (root, cache)
    }

    #[test]
    fn files_of_a_snapshot_lead_to_blobs() {
        let (_root, cache) = cache();
        for file in ["a.json", "sub/folder/b.json"] {
            let path = cache.snapshot("123").join(file);
            cache.link(&path, "tag").unwrap();
            cache.link(&path, "tag").unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), "content");
        }
        assert_eq!(cache.files("123"), ["a.json", "sub/folder/b.json"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_made_anew() {
        let (_root, cache) = cache();
        let path = cache.snapshot("123").join("a.json");
        cache.link(&path, "gone").unwrap();
        assert!(!path.exists());
        assert_eq!(cache.files("123"), [""; 0]);
        cache.link(&path, "tag").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "content");
    }

    #[test]
    fn a_lock_is_one_processes_at_a_time() {
        let (_root, cache) = cache();
        let lock = cache.try_lock("tag").unwrap();
        assert!(lock.is_some());
        assert!(cache.try_lock("tag").unwrap().is_none());
        assert!(cache.try_lock("other").unwrap().is_some());
        drop(lock);
        assert!(cache.try_lock("tag").unwrap().is_some());
    }

    #[test]
    fn a_branch_has_the_revision_that_was_kept() {
        let (_root, cache) = cache();
        assert_eq!(cache.revision("main"), None);
        cache.keep_revision("main", "abc123").unwrap();
        assert_eq!(cache.revision("main").as_deref(), Some("abc123"));
        cache.keep_revision("main", "../../evil").unwrap();
        assert_eq!(cache.revision("main"), None);
    }
}
