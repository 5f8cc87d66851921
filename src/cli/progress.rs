//! A progress bar for long loads.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use smallmind::model::{OnProgress, Progress};

/// How long loading stays silent.
const PATIENCE: Duration = Duration::from_millis(500);

/// A function that draws the progress of a load that begins now; `None` if stderr is not a terminal.
pub fn progress() -> Option<OnProgress> {
    if !io::stderr().is_terminal() {
        return None;
    }
    let begun = Instant::now();
    let shown = OnceLock::new();
    Some(OnProgress::new(move |Progress { done, all, .. }| {
        if done < all && begun.elapsed() >= PATIENCE {
            shown.get_or_init(|| bar(all)).set_position(done as u64);
        } else if let Some(bar) = shown.get() {
            bar.finish_and_clear();
        }
        ControlFlow::Continue(())
    }))
}

/// A bar of `all` weights, on stderr.
fn bar(all: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("loading {bar:32} {pos}/{len} weights");
    ProgressBar::new(all as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
