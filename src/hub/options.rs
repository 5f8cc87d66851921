//! Where models are fetched from and to.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::HubError;

/// The Hub itself.
const ENDPOINT: &str = "https://huggingface.co";

/// How far the download of a file has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// The file.
    pub file: String,
    /// Bytes that have arrived, those of earlier tries included.
    pub done: u64,
    /// Bytes in all.
    pub all: u64,
}

/// What is told how downloads go, from the thread that fetches.
pub type OnTransfer = Arc<dyn Fn(&Transfer) + Send + Sync>;

/// Where models are fetched from and to.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// The folder of the cache, with a folder for each repository.
    pub cache: PathBuf,
    /// The Hub's address, without a slash at its end.
    pub endpoint: String,
    /// A token for repositories that are not open to all.
    pub token: Option<String>,
    /// Whether only the cache is asked.
    pub offline: bool,
    /// Told how downloads go, from the calling thread.
    pub progress: Option<OnTransfer>,
}

impl fmt::Debug for HubOptions {
    /// Everything but the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl HubOptions {
    /// The Hub itself and this cache, without a token. No environment variable is read.
    pub fn new(cache: impl Into<PathBuf>) -> HubOptions {
        HubOptions {
            cache: cache.into(),
            endpoint: ENDPOINT.to_string(),
            token: None,
            offline: false,
            progress: None,
        }
    }

    /// [`HubOptions::endpoint`].
    pub fn endpoint(mut self, address: impl AsRef<str>) -> HubOptions {
        self.endpoint = address.as_ref().trim_end_matches('/').to_string();
        self
    }

    /// [`HubOptions::token`].
    pub fn token(mut self, token: impl Into<Option<String>>) -> HubOptions {
        self.token = token.into();
        self
    }

    /// [`HubOptions::offline`].
    pub fn offline(mut self, offline: bool) -> HubOptions {
        self.offline = offline;
        self
    }

    /// [`HubOptions::progress`].
    pub fn progress(mut self, function: impl Fn(&Transfer) + Send + Sync + 'static) -> HubOptions {
        self.progress = Some(Arc::new(function));
        self
    }

    /// As the environment has it for all programs of the Hub: the cache is `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or in
    /// `huggingface` of `XDG_CACHE_HOME` or `~/.cache`; the token is `HF_TOKEN`, or the file `HF_TOKEN_PATH`, or `token`
    /// beside the cache; the address is `HF_ENDPOINT`; `HF_HUB_OFFLINE` set to 1 asks the cache alone.
    ///
    /// # Errors
    /// If neither the variables nor a home folder say where the cache is.
    pub fn from_env() -> Result<HubOptions, HubError> {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        let home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(env::home_dir()?.join(".cache")));
            Some(caches?.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE").or_else(|| Some(home.as_ref()?.join("hub")));
        let token = text("HF_TOKEN").or_else(|| {
            let file = path("HF_TOKEN_PATH").or_else(|| Some(home.as_ref()?.join("token")))?;
            token_of(&file)
        });
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_string());
        let offline = text("HF_HUB_OFFLINE").is_some_and(|value| {
            let value = value.to_ascii_lowercase();
            ["1", "on", "yes", "true"].contains(&value.as_str())
        });
        Ok(HubOptions::new(cache.ok_or(HubError::NoCache)?)
            .endpoint(endpoint)
            .token(token.map(|token| token.trim().to_string()))
            .offline(offline))
    }
}

/// The token that the Hub's own program has written to a file.
fn token_of(file: &Path) -> Option<String> {
    let token = std::fs::read_to_string(file).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_string())
}
