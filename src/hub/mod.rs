//! Hub: fetching models of the Hugging Face Hub into the cache that all of its programs share.
//!
//! What belongs here: which files of a repository make a model, fetching them, and finding them again without a
//! network. What does not belong here: reading them (`files/`, `model/`), which starts from the path that [`fetch`]
//! returns; and asking for anything that is not a model.

mod cache;
mod choose;
mod digest;
mod download;
mod fetch;
mod http;
mod options;
mod retry;
mod trouble;

use std::path::PathBuf;
use std::str::FromStr;

pub use fetch::fetch;
pub use options::{HubOptions, OnNotice, OnTransfer, Transfer};

/// Why a model can't be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name is not the name of a repository.
    #[error(
        "'{0}' is not a repository's name: expected ORGANIZATION/NAME, ORGANIZATION/NAME:FILE.gguf or ORGANIZATION/NAME:Q8_0"
    )]
    Name(String),
    /// Nothing says where the folder of the cache is.
    #[error(
        "there is no place for downloads: HF_HUB_CACHE and HF_HOME are not set, and no home folder is known"
    )]
    NoCache,
    /// An environment variable has a value that means nothing.
    #[error("the environment variable {variable} is '{value}'; expected {expected}")]
    Variable {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What would be valid.
        expected: &'static str,
    },
    /// [`HubOptions::cancel`] ended it.
    #[error("fetching was cancelled; what has arrived is kept")]
    Cancelled,
    /// The Hub has no such repository or file, or does not show it.
    #[error(
        "{repository}: the Hub answers {status}{}: there is no such repository or file, or it is private or gated. {}",
        file.as_ref().map_or(String::new(), |file| format!(" for {file}")),
        if *token { "The token was sent (HF_TOKEN, or the file that `hf auth login` writes): does its account have access?" }
        else { "If you have access, set HF_TOKEN to a token of your account, or log in with `hf auth login`." }
    )]
    Refused {
        /// The repository.
        repository: String,
        /// The file, unless the whole repository is meant.
        file: Option<String>,
        /// The status: 401, 403 or 404.
        status: u16,
        /// Whether a token was sent.
        token: bool,
    },
    /// The Hub can't be asked, and the cache does not have everything that is needed.
    #[error("{repository}: {problem}; and the cache {} is incomplete: {missing}", cache.display())]
    Offline {
        /// The repository.
        repository: String,
        /// Why the Hub can't be asked.
        problem: String,
        /// The cache.
        cache: PathBuf,
        /// What it lacks.
        missing: String,
    },
    /// Nothing in the repository is a model that can be chosen.
    #[error("{repository}: {problem}")]
    Choice {
        /// The repository.
        repository: String,
        /// What is wrong, and what there is.
        problem: String,
    },
    /// A file could not be fetched.
    #[error(
        "{repository}: can't fetch {file}: {problem}. What has arrived is kept: the next try continues from there"
    )]
    Download {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// What went wrong.
        problem: String,
    },
    /// A file that arrived is not the file that the Hub states.
    #[error(
        "{repository}: {file} arrived damaged: {problem}. It was deleted: the next try downloads it again"
    )]
    Damaged {
        /// The repository.
        repository: String,
        /// The file.
        file: String,
        /// What the Hub states, and what arrived.
        problem: String,
    },
}

/// A repository of the Hub, and what is wanted from it: `ORGANIZATION/NAME`, `ORGANIZATION/NAME:FILE.gguf`, or
/// `ORGANIZATION/NAME:Q4_K_M`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubName {
    /// `ORGANIZATION/NAME`.
    pub repository: String,
    /// A file's name, or the type with which the name of a GGUF file ends.
    pub wanted: Option<String>,
}

impl FromStr for HubName {
    type Err = HubError;

    fn from_str(text: &str) -> Result<HubName, HubError> {
        let bad = || HubError::Name(text.to_string());
        let (repository, wanted) = match text.split_once(':') {
            Some((repository, wanted)) => (repository, Some(wanted)),
            None => (text, None),
        };
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
            !part.is_empty() && !part.contains("..") && part.chars().all(plain)
        };
        let (organization, name) = repository.split_once('/').ok_or_else(bad)?;
        if !part(organization) || !part(name) || wanted == Some("") {
            return Err(bad());
        }
        Ok(HubName {
            repository: repository.to_string(),
            wanted: wanted.map(str::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_organization_a_name_and_perhaps_a_choice() {
        let name: HubName = "org-1/Some.Model_2".parse().unwrap();
        assert_eq!(
            (name.repository.as_str(), name.wanted),
            ("org-1/Some.Model_2", None)
        );
        let name: HubName = "a/b:sub/c.gguf".parse().unwrap();
        assert_eq!(name.wanted.as_deref(), Some("sub/c.gguf"));
    }

    #[test]
    fn a_text_that_is_not_a_name_is_refused() {
        for text in [
            "",
            "gpt2",
            "a/b/c",
            "a/",
            "/b",
            "a/..",
            "a/b?c",
            "a/b:",
            "https://a/b",
        ] {
            assert_eq!(
                text.parse::<HubName>(),
                Err(HubError::Name(text.to_string()))
            );
        }
    }
}
