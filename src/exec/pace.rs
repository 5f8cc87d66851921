//! How many tokens a step may read so that no running text waits too long for its next token.

use std::time::Duration;

/// The part of the gap that a step should take: the rest is a reserve for steps that take longer than earlier ones.
const SHARE: f64 = 0.6;

/// Tokens of a step before any was measured: few enough for a slow machine, enough to measure.
const FIRST: usize = 64;

/// The fewest tokens of prompts that a step reads, so that prompts always make progress.
const LEAST: usize = 8;

/// The weight of the newest measurement against the earlier ones.
const NEWEST: f64 = 0.25;

/// The time that steps took so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Seconds per token of a prompt, smoothed over the last steps; `None` before the first measurement.
    token: Option<f64>,
}

impl Pace {
    /// The most tokens of a step beside `generating` sequences that generate: as many as the step is expected to read
    /// within its share of `gap`. If no sequence generates, there is no limit.
    pub fn room(&self, gap: Duration, generating: usize) -> usize {
        if generating == 0 {
            return usize::MAX;
        }
        let tokens = match self.token {
            None => FIRST,
            Some(seconds) => (gap.as_secs_f64() * SHARE / seconds) as usize,
        };
        tokens.max(generating.saturating_add(LEAST))
    }

    /// Note that a step of `tokens` tokens took `time`; `generating` of them belonged to sequences that generate. Steps
    /// with few tokens of prompts take only as long as reading the weights, and are not measured.
    pub fn note(&mut self, tokens: usize, generating: usize, time: Duration) {
        if tokens < FIRST / 2 || tokens < 2 * generating {
            return;
        }
        let newest = time.as_secs_f64() / tokens as f64;
        self.token = Some(match self.token {
            None => newest,
            Some(before) => before + NEWEST * (newest - before),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_millis(100);

    #[test]
    fn a_step_reads_what_fits_into_its_share_of_the_gap() {
        let mut pace = Pace::default();
        assert_eq!(pace.room(GAP, 0), usize::MAX);
        assert_eq!(pace.room(GAP, 3), FIRST);
        // A millisecond per token.
        pace.note(100, 3, GAP);
        assert_eq!(pace.room(GAP, 3), 60);
        // Prompts make progress beside many sequences, and on slow machines.
        assert_eq!(pace.room(GAP, 70), 78);
        assert_eq!(pace.room(Duration::ZERO, 1), 9);
    }

    #[test]
    fn slower_steps_make_the_room_smaller_and_small_steps_tell_nothing() {
        let mut pace = Pace::default();
        pace.note(100, 0, GAP);
        pace.note(4, 4, GAP);
        pace.note(40, 30, GAP);
        assert_eq!(pace.room(GAP, 1), 60);
        for _ in 0..30 {
            pace.note(100, 0, 2 * GAP);
        }
        assert_eq!(pace.room(GAP, 1), 30);
    }
}
