//! Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};

use super::failure::{Failure, INTERRUPTED, error};

/// Set by the first Ctrl-C.
static INTERRUPT: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C sets the flag that this gives, and the second ends the program at once.
pub fn catch() -> Result<&'static AtomicBool, Failure> {
    let caught = ctrlc::set_handler(|| {
        if INTERRUPT.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    match caught {
        // The handler has a thread of its own.
        Err(ctrlc::Error::System(problem)) => error(format!("can't start threads: {problem}")),
        caught => caught.map(|()| &INTERRUPT).map_err(Failure::from),
    }
}
