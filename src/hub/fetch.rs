//! Fetching a model: asking the Hub what there is, and downloading what the cache lacks.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;
use ureq::Agent;

use super::cache::{Cache, is_revision};
use super::choose::{Choice, INDEX, choose};
use super::download::{Download, NoFile};
use super::http::{Client, PAGE, in_address};
use super::retry::Patience;
use super::trouble::Trouble;
use super::{HubError, HubName, HubOptions};

/// The branch that is fetched.
const BRANCH: &str = "main";
/// The largest list of weight files that is read, in bytes.
const LARGEST_INDEX: u64 = 64 << 20;
/// The largest list of a repository's files that is read, in bytes.
const LARGEST_LIST: u64 = 64 << 20;
/// The time between two checks whether the caller wants to end the fetching.
const LOOK: Duration = Duration::from_millis(50);

/// Fetches a model of the Hub; returns the path of a GGUF file or of a folder.
///
/// The Hub is asked for the newest revision; files of it that the cache has are not fetched again. If the Hub can't be
/// reached, the most recently fetched revision is used from the cache, and [`HubOptions::notice`] is called. A request that
/// fails is tried again as long as that may help, and a download that ended early continues where it ended.
///
/// # Errors
/// If the Hub does not show the repository, nothing in it is a model that can be chosen, a file can't be fetched, the Hub
/// can't be reached and the cache is incomplete, or [`HubOptions::cancel`] ends it.
pub fn fetch(name: &HubName, options: &HubOptions) -> Result<PathBuf, HubError> {
    let cache = Cache::new(&options.cache, &name.repository);
    if options.offline {
        let hub = Hub {
            name,
            options,
            cache,
        };
        return hub.cached("HF_HUB_OFFLINE is set".to_string());
    }
    let client = Client::new(options);
    let hub = Hub {
        name,
        options,
        cache,
    };
    let client = client.map_err(|problem| hub.failed("anything", problem))?;
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let agent = client.agent();
        let watch = || watch(options, agent, &ended);
        // If the system refuses the thread, a waiting request ends by its timeout.
        let watching = options.cancel.is_some();
        let watcher = watching.then(|| thread::Builder::new().spawn_scoped(scope, watch));
        let fetched = hub.fetch(&client);
        ended.store(true, Ordering::Release);
        if let Some(Ok(watcher)) = watcher {
            watcher.thread().unpark();
        }
        fetched
    })
}

/// Ends all connections when the caller cancels, unless the fetching has `ended` before.
fn watch(options: &HubOptions, agent: Agent, ended: &AtomicBool) {
    while !ended.load(Ordering::Acquire) {
        if options.is_cancelled() {
            return agent.shutdown();
        }
        thread::park_timeout(LOOK);
    }
}

/// A repository as the Hub lists it.
#[derive(Deserialize)]
struct Listed {
    /// The revision.
    sha: String,
    siblings: Vec<Sibling>,
}

/// A file of the list.
#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// One repository.
struct Hub<'a> {
    name: &'a HubName,
    options: &'a HubOptions,
    cache: Cache,
}

impl Hub<'_> {
    fn fetch(&self, client: &Client) -> Result<PathBuf, HubError> {
        match self.list(client) {
            Ok(Listed { sha, siblings }) => {
                let files = siblings.into_iter().map(|file| file.rfilename).collect();
                self.download(client, &sha, files)
            }
            Err(Trouble::Status {
                status: status @ (401 | 403 | 404),
                ..
            }) => Err(self.refused(status, None)),
            Err(Trouble::Cancelled) => Err(HubError::Cancelled),
            Err(trouble) => self.cached(format!("the Hub can't be asked: {}", trouble.describe())),
        }
    }

    /// The repository's list of files, from the Hub.
    fn list(&self, client: &Client) -> Result<Listed, Trouble> {
        let (endpoint, repository) = (&self.options.endpoint, &self.name.repository);
        let address = format!("{endpoint}/api/models/{repository}/revision/{BRANCH}");
        let mut patience = Patience::new(self.options, repository);
        loop {
            let text = client.get(&address, 0).and_then(|answer| {
                if answer.is_page {
                    return Err(Trouble::Lasting(PAGE.to_string()));
                }
                let mut text = Vec::new();
                let mut reader = answer.into_reader().take(LARGEST_LIST);
                let read = reader.read_to_end(&mut text);
                read.map_err(|error| client.interruption(&error))?;
                Ok(text)
            });
            match text {
                Ok(text) => {
                    return serde_json::from_slice(&text).map_err(|error| match text.first() {
                        Some(b'<') => Trouble::Lasting(PAGE.to_string()),
                        _ => Trouble::Lasting(format!("its list of files can't be read: {error}")),
                    });
                }
                Err(trouble) => patience.wait(trouble)?,
            }
        }
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
    fn download(
        &self,
        client: &Client,
        sha: &str,
        files: Vec<String>,
    ) -> Result<PathBuf, HubError> {
        if !is_revision(sha) {
            return Err(self.failed("anything", "the Hub names no revision"));
        }
        let folder = self.cache.snapshot(sha);
        let path = match self.choice(&files)? {
            Choice::Gguf(parts) => {
                for part in &parts {
                    self.file(client, sha, part)?;
                }
                first(&folder, &parts)
            }
            Choice::Folder(chosen) => {
                for file in &chosen {
                    self.file(client, sha, file)?;
                }
                for file in self.parts(&folder, &chosen)? {
                    self.file(client, sha, &file)?;
                }
                folder
            }
        };
        // This revision is used when the Hub can't be reached.
        let kept = self.cache.keep_revision(BRANCH, sha);
        kept.map_err(|error| self.failed("refs/main", error))?;
        Ok(path)
    }

    /// Fetches a file of revision `sha`, unless it is there.
    fn file(&self, client: &Client, sha: &str, file: &str) -> Result<(), HubError> {
        if !Path::new(file)
            .components()
            .all(|part| matches!(part, Component::Normal(_)))
        {
            return Err(self.failed(file, "its path leads out of the repository"));
        }
        let path = self.cache.snapshot(sha).join(file);
        if path.exists() {
            return Ok(());
        }
        let (endpoint, repository) = (&self.options.endpoint, &self.name.repository);
        let address = format!("{endpoint}/{repository}/resolve/{sha}/{}", in_address(file));
        let download = Download {
            client,
            options: self.options,
            cache: &self.cache,
            address,
            file,
        };
        download.fetch(&path).map_err(|problem| match problem {
            NoFile::Damaged(problem) => HubError::Damaged {
                repository: self.name.repository.clone(),
                file: file.to_string(),
                problem,
            },
            NoFile::Trouble(Trouble::Cancelled) => HubError::Cancelled,
            NoFile::Trouble(Trouble::Status {
                status: status @ (401 | 403 | 404),
                ..
            }) => self.refused(status, Some(file)),
            NoFile::Trouble(trouble) => self.failed(file, trouble.describe()),
        })
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
                format!("a list of files with {size} bytes is too large"),
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

    /// The model as it was last fetched. `problem` says why the Hub is not asked.
    fn cached(&self, problem: String) -> Result<PathBuf, HubError> {
        let lacking = |missing: String| HubError::Offline {
            repository: self.name.repository.clone(),
            problem: problem.clone(),
            cache: self.options.cache.clone(),
            missing,
        };
        let sha = self.cache.revision(BRANCH);
        let sha = sha.ok_or_else(|| lacking("it was never fetched".to_string()))?;
        let folder = self.cache.snapshot(&sha);
        let choice = self.choice(&self.cache.files(&sha));
        let path = match choice.map_err(|error| lacking(error.to_string()))? {
            Choice::Gguf(parts) => first(&folder, &parts),
            Choice::Folder(chosen) => {
                let parts = self.parts(&folder, &chosen)?;
                match parts.iter().find(|file| !folder.join(file).exists()) {
                    Some(file) => return Err(lacking(file.clone())),
                    None => folder,
                }
            }
        };
        if !self.options.offline {
            let repository = &self.name.repository;
            self.options.tell(&format!(
                "{repository}: {problem}; using revision {sha} from the cache, which was fetched last"
            ));
        }
        Ok(path)
    }
}

/// The path of a model that consists of these files of `folder`: the path of the first file, from which the others are found.
fn first(folder: &Path, parts: &[String]) -> PathBuf {
    parts
        .first()
        .map_or_else(|| folder.to_path_buf(), |part| folder.join(part))
}
