//! Options: where models are fetched from, and where they are stored.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::HubError;
use crate::exec::cancel::Cancel;

/// The Hub's own address.
const ENDPOINT: &str = "https://huggingface.co";
/// How long a connection may be silent, in seconds.
const TIMEOUT: u64 = 10;
/// The environment variable that overrides [`TIMEOUT`].
const TIMEOUT_VARIABLE: &str = "HF_HUB_DOWNLOAD_TIMEOUT";

/// How far the download of a file has come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// The file.
    pub file: String,
    /// Bytes that have arrived, including bytes of earlier tries. It falls if a download must start over.
    pub done: u64,
    /// Bytes in all; 0 if the size is unknown.
    pub all: u64,
}

/// A function that is told the progress of downloads, on the thread that fetches.
pub type OnTransfer = Arc<dyn Fn(&Transfer) + Send + Sync>;

/// A function that is told about unexpected events, on the thread that fetches.
pub type OnNotice = Arc<dyn Fn(&str) + Send + Sync>;

/// Where models are fetched from, and where they are stored.
#[derive(Clone)]
#[non_exhaustive]
pub struct HubOptions {
    /// The folder of the cache, with a folder for each repository.
    pub cache: PathBuf,
    /// The Hub's address, without a trailing slash.
    pub endpoint: String,
    /// A token for repositories that are not public.
    pub token: Option<String>,
    /// Whether only the cache is used.
    pub offline: bool,
    /// How long a connection may be silent before the request is tried again.
    pub timeout: Duration,
    /// Whether requests go through the proxies that the environment names (HTTPS_PROXY, ALL_PROXY, NO_PROXY).
    pub environment_proxy: bool,
    /// Called with the progress of downloads, on the calling thread.
    pub progress: Option<OnTransfer>,
    /// Called with one line for each unexpected event, on the calling thread: a request is tried again, another process must
    /// be waited for, or the cache is used because the Hub can't be asked.
    pub notice: Option<OnNotice>,
    /// Ends the fetching soon after it is cancelled; what has arrived is kept.
    pub cancel: Option<Cancel>,
}

impl fmt::Debug for HubOptions {
    /// Shows everything except the token itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("timeout", &self.timeout)
            .field("environment_proxy", &self.environment_proxy)
            .field("cancel", &self.cancel)
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
            timeout: Duration::from_secs(TIMEOUT),
            environment_proxy: false,
            progress: None,
            notice: None,
            cancel: None,
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

    /// [`HubOptions::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> HubOptions {
        self.timeout = timeout;
        self
    }

    /// [`HubOptions::environment_proxy`].
    pub fn environment_proxy(mut self, wanted: bool) -> HubOptions {
        self.environment_proxy = wanted;
        self
    }

    /// [`HubOptions::notice`].
    pub fn notice(mut self, function: impl Fn(&str) + Send + Sync + 'static) -> HubOptions {
        self.notice = Some(Arc::new(function));
        self
    }

    /// [`HubOptions::cancel`].
    pub fn cancel(mut self, cancel: &Cancel) -> HubOptions {
        self.cancel = Some(cancel.clone());
        self
    }

    /// Whether the caller has cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled)
    }

    /// Tells the caller a line.
    pub(super) fn tell(&self, line: &str) {
        if let Some(notice) = &self.notice {
            notice(line);
        }
    }

    /// [`HubOptions::progress`].
    pub fn progress(mut self, function: impl Fn(&Transfer) + Send + Sync + 'static) -> HubOptions {
        self.progress = Some(Arc::new(function));
        self
    }

    /// The options that the environment sets for all programs of the Hub: the cache is `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or
    /// in `huggingface` of `XDG_CACHE_HOME` or `~/.cache`; the token is `HF_TOKEN`, or in the file `HF_TOKEN_PATH`, or in `token`
    /// next to the cache; the address is `HF_ENDPOINT`; `HF_HUB_OFFLINE` set to 1 uses only the cache;
    /// `HF_HUB_DOWNLOAD_TIMEOUT` is how many seconds a connection may be silent; and requests go through the proxies of the
    /// environment.
    ///
    /// # Errors
    /// If neither the variables nor a home folder say where the cache is, or a variable has a value that means nothing.
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
        let timeout = match text(TIMEOUT_VARIABLE) {
            None => Duration::from_secs(TIMEOUT),
            Some(value) => seconds(&value).ok_or(HubError::Variable {
                variable: TIMEOUT_VARIABLE,
                value,
                expected: "a number of seconds above 0",
            })?,
        };
        Ok(HubOptions::new(cache.ok_or(HubError::NoCache)?)
            .endpoint(endpoint)
            .timeout(timeout)
            .environment_proxy(true)
            .token(token.map(|token| token.trim().to_string()))
            .offline(offline))
    }
}

/// A number of seconds above 0.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!duration.is_zero()).then_some(duration)
}

/// The token that the Hub's own program has written to a file.
fn token_of(file: &Path) -> Option<String> {
    let token = std::fs::read_to_string(file).ok()?;
    let token = token.trim();
    (!token.is_empty()).then(|| token.to_string())
}
