//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::{Failure, INTERRUPTED};

/// Set by the first Ctrl-C.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C sets the flag that this gives, and the second ends the program at once.
pub fn catch() -> Result<&'static AtomicBool, Failure> {
    ctrlc::set_handler(|| {
        if INTERRUPT.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    })?;
    Ok(&INTERRUPT)
}
