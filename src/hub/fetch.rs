//! Fetching a model: the Hub is asked what there is, and what the cache lacks is downloaded.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use hf_hub::api::Progress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo, Metadata};
use hf_hub::{Cache, Repo, RepoType};
use serde_json::Value as Json;

use super::choose::{Choice, INDEX, choose};
use super::digest::{sha256, stated_sha256};
use super::{HubError, HubName, HubOptions, OnTransfer, Transfer};

/// The branch that is fetched.
const BRANCH: &str = "main";
/// The largest list of weight files that is read, in bytes.
const LARGEST_INDEX: u64 = 64 << 20;

/// The path of a model of the Hub: a GGUF file's, or a folder's.
///
/// The Hub is asked which revision is the newest; what the cache has of it is not fetched again. Where the Hub can't be
/// reached, the revision that was fetched last is taken from the cache. A download that ended early goes on where it
/// ended.
///
/// # Errors
/// If the Hub does not show the repository, nothing in it is a model that can be chosen, a file can't be fetched, or the
/// cache lacks what an unreachable Hub would give.
pub fn fetch(name: &HubName, options: &HubOptions) -> Result<PathBuf, HubError> {
    let hub = Hub::new(name, options)?;
    let unreachable = match options.offline {
        true => "HF_HUB_OFFLINE is set".to_string(),
        false => match hub.api.repo(hub.repo(BRANCH)).info() {
            Ok(info) => {
                let files = info
                    .siblings
                    .into_iter()
                    .map(|file| file.rfilename)
                    .collect();
                return hub.download(&info.sha, files);
            }
            Err(error) => match status(&error) {
                Some(status @ (401 | 403 | 404)) => return Err(hub.refused(status, None)),
                _ => format!("the Hub can't be asked: {error}"),
            },
        },
    };
    hub.cached(unreachable)
}

/// One repository, and the ways to it.
struct Hub<'a> {
    name: &'a HubName,
    options: &'a HubOptions,
    cache: Cache,
    api: Api,
}

impl Hub<'_> {
    fn new<'a>(name: &'a HubName, options: &'a HubOptions) -> Result<Hub<'a>, HubError> {
        let cache = Cache::new(options.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(options.endpoint.clone())
            .with_token(options.token.clone())
            .with_progress(false)
            .with_user_agent("smallmind", env!("CARGO_PKG_VERSION"))
            .build()
            .map_err(|error| HubError::Download {
                repository: name.repository.clone(),
                file: "anything".to_string(),
                problem: error.to_string(),
            })?;
        Ok(Hub {
            name,
            options,
            cache,
            api,
        })
    }

    fn repo(&self, revision: &str) -> Repo {
        let repository = self.name.repository.clone();
        Repo::with_revision(repository, RepoType::Model, revision.to_string())
    }

    /// The folder of the repository's branches, each a file with a revision.
    fn refs(&self) -> PathBuf {
        let repository = self.options.cache.join(self.repo(BRANCH).folder_name());
        repository.join("refs")
    }

    fn refused(&self, status: u16, file: Option<&str>) -> HubError {
        HubError::Refused {
            repository: self.name.repository.clone(),
            file: file.map(str::to_string),
            status,
            token: self.options.token.is_some(),
        }
    }

    fn choice(&self, files: &[String]) -> Result<Choice, HubError> {
        choose(files, self.name.wanted.as_deref()).map_err(|problem| HubError::Choice {
            repository: self.name.repository.clone(),
            problem,
        })
    }

    fn failed(&self, file: &str, problem: impl ToString) -> HubError {
        HubError::Download {
            repository: self.name.repository.clone(),
            file: file.to_string(),
            problem: problem.to_string(),
        }
    }

    /// The model of revision `sha`, which has these files.
    fn download(&self, sha: &str, files: Vec<String>) -> Result<PathBuf, HubError> {
        if sha.is_empty() || !sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(self.failed("anything", "the Hub names no revision"));
        }
        let folder = self.cache.repo(self.repo(sha)).pointer_path(sha);
        let path = match self.choice(&files)? {
            Choice::Gguf(parts) => {
                for part in &parts {
                    self.file(sha, &folder, part)?;
                }
                first(&folder, &parts)
            }
            Choice::Folder(chosen) => {
                for file in &chosen {
                    self.file(sha, &folder, file)?;
                }
                for file in self.parts(&folder, &chosen)? {
                    self.file(sha, &folder, &file)?;
                }
                folder
            }
        };
        // What is asked for when the Hub can't be reached.
        let kept = self.cache.repo(self.repo(BRANCH)).create_ref(sha);
        kept.map_err(|error| self.failed("refs/main", error))?;
        // hf_hub writes one for the revision too, which other programs don't.
        let _ = fs::remove_file(self.refs().join(sha));
        Ok(path)
    }

    /// The path of a file of revision `sha`, whose files lie in `folder`; downloaded unless it is there.
    fn file(&self, sha: &str, folder: &Path, file: &str) -> Result<PathBuf, HubError> {
        if !Path::new(file)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(self.failed(file, "its path leads out of the repository"));
        }
        let path = folder.join(file);
        if path.exists() {
            return Ok(path);
        }
        let repo = self.api.repo(self.repo(sha));
        let (path, about) = self
            .transfer(&repo, file)
            .map_err(|error| match status(&error) {
                Some(status @ (401 | 403 | 404)) => self.refused(status, Some(file)),
                _ => self.failed(file, error),
            })?;
        match damage(&path, &about) {
            Ok(None) => Ok(path),
            Ok(Some(problem)) => {
                // What the path in the cache leads to.
                let blob = fs::canonicalize(&path);
                let removed = fs::remove_file(&path).and_then(|()| match blob {
                    Ok(blob) if blob.exists() => fs::remove_file(blob),
                    _ => Ok(()),
                });
                removed.map_err(|error| {
                    self.failed(
                        file,
                        format!(
                            "{problem}, and {} can't be removed: {error}",
                            path.display()
                        ),
                    )
                })?;
                Err(HubError::Damaged {
                    repository: self.name.repository.clone(),
                    file: file.to_string(),
                    problem,
                })
            }
            Err(error) => Err(self.failed(file, error)),
        }
    }

    /// Downloads a file. Gives its path, and what the Hub says about it.
    fn transfer(&self, repo: &ApiRepo, file: &str) -> Result<(PathBuf, Metadata), ApiError> {
        let about = self.api.metadata(&repo.url(file))?;
        // The name of the blob in the cache.
        let etag = about.etag();
        if etag.is_empty() || !etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(ApiError::InvalidHeader("etag"));
        }
        let size = about.size() as u64;
        let blob = self.cache.repo(self.repo(BRANCH)).blob_path(etag);
        let part = blob.with_extension("part");
        // As much as all of it, and yet not finished: nothing can be asked for behind its end.
        if fs::metadata(&part).is_ok_and(|part| part.len() >= size) {
            fs::remove_file(&part)?;
        }
        let path = repo.download_with_progress(
            file,
            Reporter {
                transfer: Transfer {
                    file: file.to_string(),
                    done: 0,
                    all: size,
                },
                progress: self.options.progress.clone(),
            },
        )?;
        Ok((path, about))
    }

    /// The weight files that the index among `chosen` lists.
    fn parts(&self, folder: &Path, chosen: &[String]) -> Result<BTreeSet<String>, HubError> {
        if !chosen.iter().any(|file| file == INDEX) {
            return Ok(BTreeSet::new());
        }
        let path = folder.join(INDEX);
        let size = fs::metadata(&path)
            .map_err(|error| self.failed(INDEX, error))?
            .len();
        if size > LARGEST_INDEX {
            return Err(self.failed(
                INDEX,
                format!("{size} bytes are too many for a list of files"),
            ));
        }
        let text = fs::read_to_string(&path).map_err(|error| self.failed(INDEX, error))?;
        let index: Json =
            crate::files::json::parse(&text).map_err(|error| self.failed(INDEX, error))?;
        let map = index.get("weight_map").and_then(Json::as_object);
        let map = map.ok_or_else(|| self.failed(INDEX, "it has no \"weight_map\""))?;
        let files = map.values().filter_map(Json::as_str);
        Ok(files.map(str::to_string).collect())
    }

    /// The model as it was fetched last. `problem` is why the Hub is not asked.
    fn cached(&self, problem: String) -> Result<PathBuf, HubError> {
        let lacking = |missing: String| HubError::Offline {
            repository: self.name.repository.clone(),
            problem: problem.clone(),
            cache: self.options.cache.clone(),
            missing,
        };
        let sha = fs::read_to_string(self.refs().join(BRANCH))
            .map_err(|_| lacking("it was never fetched".to_string()))?;
        let folder = self.cache.repo(self.repo(BRANCH)).pointer_path(sha.trim());
        let mut files = Vec::new();
        list(&folder, "", &mut files);
        let choice = self.choice(&files);
        match choice.map_err(|error| lacking(error.to_string()))? {
            Choice::Gguf(parts) => Ok(first(&folder, &parts)),
            Choice::Folder(chosen) => {
                let parts = self.parts(&folder, &chosen)?;
                match parts.iter().find(|file| !folder.join(file).exists()) {
                    Some(file) => Err(lacking(file.clone())),
                    None => Ok(folder),
                }
            }
        }
    }
}

/// What is wrong with the file that arrived, by its size and, where the Hub states one, its digest.
fn damage(path: &Path, about: &Metadata) -> std::io::Result<Option<String>> {
    let (arrived, size) = (fs::metadata(path)?.len(), about.size() as u64);
    if arrived != size {
        return Ok(Some(format!("it has {arrived} bytes, on the Hub {size}")));
    }
    let Some(stated) = stated_sha256(about.etag()) else {
        return Ok(None);
    };
    let found = sha256(path)?;
    let same = found.eq_ignore_ascii_case(stated);
    Ok((!same).then(|| format!("its SHA-256 is {found}, on the Hub {stated}")))
}

/// The path of a model that lies in these files of `folder`: the first one's, from which the others are found.
fn first(folder: &Path, parts: &[String]) -> PathBuf {
    parts
        .first()
        .map_or_else(|| folder.to_path_buf(), |part| folder.join(part))
}

/// The files in a folder of the cache and the folders in it, by their paths from it, sorted.
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

/// The status that the Hub answered with, if it answered.
fn status(error: &ApiError) -> Option<u16> {
    let ApiError::RequestError(error) = error else {
        return None;
    };
    let text = error.to_string();
    text.strip_prefix("http status: ")?.parse().ok()
}

/// Tells the caller what arrives.
struct Reporter {
    transfer: Transfer,
    progress: Option<OnTransfer>,
}

impl Reporter {
    fn report(&self) {
        if let Some(progress) = &self.progress {
            progress(&self.transfer);
        }
    }
}

impl Progress for Reporter {
    fn init(&mut self, _size: usize, _file: &str) {
        self.transfer.done = 0;
    }

    fn update(&mut self, size: usize) {
        self.transfer.done += size as u64;
        self.report();
    }

    fn finish(&mut self) {
        self.report();
    }
}
