//! What can go wrong with a request.

use std::time::Duration;

/// Why a request has not returned what was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// An answer whose status is a refusal.
    Status {
        /// The status.
        status: u16,
        /// How long to wait before the next try, if the answer says so.
        after: Option<Duration>,
    },
    /// A problem that may not occur at the next try.
    Passing(String),
    /// A problem that will be the same at the next try.
    Lasting(String),
    /// The caller has cancelled.
    Cancelled,
}

impl Trouble {
    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Trouble::Status { status: 429, .. } => {
                "the Hub answers 429: too many requests".to_string()
            }
            Trouble::Status { status, .. } => format!("the Hub answers {status}"),
            Trouble::Passing(problem) | Trouble::Lasting(problem) => problem.clone(),
            Trouble::Cancelled => "it was cancelled".to_string(),
        }
    }
}
