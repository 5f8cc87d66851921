//! Ctrl-C.

use std::sync::LazyLock;

use smallmind::Cancel;

use super::failure::{Failure, INTERRUPTED, error};

/// Cancelled by the first Ctrl-C.
static INTERRUPT: LazyLock<Cancel> = LazyLock::new(Cancel::new);

/// From now on, the first Ctrl-C cancels the handle that this function returns, and the second ends the program at once.
pub fn catch() -> Result<Cancel, Failure> {
    let cancel = INTERRUPT.clone();
    let caught = ctrlc::set_handler(|| {
        if INTERRUPT.is_cancelled() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        INTERRUPT.cancel();
    });
    match caught {
        // The handler has its own thread.
        Err(ctrlc::Error::System(problem)) => error(format!("can't start threads: {problem}")),
        caught => caught.map(|()| cancel).map_err(Failure::from),
    }
}
