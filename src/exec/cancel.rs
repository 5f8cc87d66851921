//! A handle that stops work from elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A handle with which another thread, or a signal handler, stops a prompt, a generation or a score. Clones share one
/// state.
///
/// ```
/// use smallmind::Cancel;
///
/// let cancel = Cancel::new();
/// let elsewhere = cancel.clone();
/// std::thread::spawn(move || elsewhere.cancel()).join().unwrap();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A handle that is not cancelled.
    pub fn new() -> Cancel {
        Cancel::default()
    }

    /// Stop whatever uses this handle, soon, and whatever will use it later.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called, on this handle or a clone, since the last [`Cancel::reset`].
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Reset the handle, for the next text. Returns whether it was cancelled before.
    pub fn reset(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// The flag that steps look at.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// Handles are equal if they are clones of each other.
impl PartialEq for Cancel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
