//! Stop conditions: stop strings.

use std::ops::Range;

/// A stop string was empty; it would stop every text before it begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stop string {index} is empty")]
pub struct EmptyStopString {
    /// Its index in the list, counted from 0.
    pub index: usize,
}

/// What may now be shown of a growing text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shown {
    /// Text to show now.
    pub text: String,
    /// The index of the stop string that is complete, counted from 0; then generation is over.
    pub stop: Option<usize>,
}

/// Watches a growing text for stop strings.
///
/// The text ends before the stop string that is complete first; if several are complete at the same byte, before the longest.
/// It makes no difference how the text is cut into pieces. Text that may be the beginning of a stop string is held back.
///
/// The text may have parts that are never shown: the spellings of special tokens. Stop strings match them like any other
/// text.
#[derive(Debug, Clone)]
pub struct StopStrings {
    stops: Vec<String>,
    /// The end of the text so far: the longest suffix with which some stop string begins.
    held: String,
    /// The parts of `held` that are never shown, in order.
    hidden: Vec<Range<usize>>,
    stopped: Option<usize>,
}

impl StopStrings {
    /// Watches for `stops`, none of which may be empty. Without stop strings, all text is shown at once.
    ///
    /// # Errors
    /// If one of them is empty.
    pub fn new(stops: Vec<String>) -> Result<Self, EmptyStopString> {
        match stops.iter().position(String::is_empty) {
            Some(index) => Err(EmptyStopString { index }),
            None => Ok(StopStrings {
                stops,
                held: String::new(),
                hidden: Vec::new(),
                stopped: None,
            }),
        }
    }

    /// Adds text. After a stop, nothing more is shown.
    pub fn push(&mut self, text: &str) -> Shown {
        if self.stopped.is_some() {
            return Shown {
                text: String::new(),
                stop: self.stopped,
            };
        }
        self.held.push_str(text);
        let found = self.stops.iter().enumerate().filter_map(|(index, stop)| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start, index))
        });
        if let Some((_, start, index)) = found.min() {
            self.stopped = Some(index);
            let text = self.release(start);
            self.held.clear();
            return Shown {
                text,
                stop: self.stopped,
            };
        }
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let earliest = (self.held.len() + 1).saturating_sub(longest);
        let may_begin = |at: &usize| {
            let end = self.held.get(*at..);
            end.is_some_and(|end| self.stops.iter().any(|stop| stop.starts_with(end)))
        };
        let keep = (earliest..self.held.len())
            .find(may_begin)
            .unwrap_or(self.held.len());
        Shown {
            text: self.release(keep),
            stop: None,
        }
    }

    /// Adds text that is not shown, but that may complete a stop string.
    pub fn push_hidden(&mut self, text: &str) -> Shown {
        if self.stopped.is_none() && !self.stops.is_empty() {
            let start = self.held.len();
            self.hidden.push(start..start + text.len());
            return self.push(text);
        }
        self.push("")
    }

    /// Must be called when the text is over: returns the text that was held back, which is not part of a stop string after all.
    pub fn flush(&mut self) -> String {
        self.release(self.held.len())
    }

    /// Removes the first `end` bytes of the held text, and returns the parts of them that may be shown.
    fn release(&mut self, end: usize) -> String {
        let rest = self.held.split_off(end);
        let released = std::mem::replace(&mut self.held, rest);
        let mut shown = String::with_capacity(released.len());
        let mut at = 0;
        for range in &self.hidden {
            shown.push_str(released.get(at..range.start.min(end)).unwrap_or_default());
            at = range.end.min(end);
        }
        shown.push_str(released.get(at..).unwrap_or_default());
        self.hidden.retain_mut(|range| {
            *range = range.start.saturating_sub(end)..range.end.saturating_sub(end);
            range.start < range.end
        });
        shown
    }

    /// The stop string that ended the text, counted from 0.
    pub fn stopped(&self) -> Option<usize> {
        self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn watch(stops: &[&str], pieces: &[&str]) -> (Vec<String>, Option<usize>) {
        let mut watch = StopStrings::new(stops.iter().map(|s| s.to_string()).collect()).unwrap();
        let shown = pieces.iter().map(|piece| watch.push(piece).text).collect();
        (shown, watch.stopped())
    }

    #[test]
    fn text_that_may_begin_a_stop_string_is_held_back_until_it_does_not() {
        let (shown, stop) = watch(&["<end>"], &["a<", "en", "x", "b"]);
        assert_eq!(shown, ["a", "", "<enx", "b"]);
        assert_eq!(stop, None);
    }

    #[test]
    fn a_stop_string_over_three_pieces_is_not_shown_nor_what_follows() {
        let (shown, stop) = watch(&["x", "<end>"], &["a<", "en", "d>b", "c"]);
        assert_eq!(shown.concat(), "a");
        assert_eq!(stop, Some(1));
    }

    #[test]
    fn the_stop_string_that_is_complete_first_counts() {
        assert_eq!(
            watch(&["abcd", "bc"], &["xabcd"]),
            (vec!["xa".to_string()], Some(1))
        );
    }

    #[test]
    fn the_longest_of_two_that_end_together_counts() {
        assert_eq!(
            watch(&["c", "abc"], &["xabc"]),
            (vec!["x".to_string()], Some(1))
        );
    }

    #[test]
    fn held_text_comes_out_at_the_end() {
        let mut watch = StopStrings::new(vec!["éa".to_string()]).unwrap();
        assert_eq!(watch.push("é").text, "");
        assert_eq!(watch.flush(), "é");
    }

    #[test]
    fn hidden_text_stops_and_is_not_shown() {
        for stop in ["<end>", "a<end>", "<end>\n", "d>\nb"] {
            let mut watch = StopStrings::new(vec![stop.to_string()]).unwrap();
            let mut shown = watch.push("xa").text + &watch.push_hidden("<end>").text;
            shown += &watch.push("\nb").text;
            assert_eq!(watch.stopped(), Some(0), "{stop}");
            assert_eq!(shown, if stop.starts_with('a') { "x" } else { "xa" });
        }
    }

    #[test]
    fn hidden_text_that_only_begins_a_stop_string_is_not_shown_later() {
        let mut watch = StopStrings::new(vec!["b<end>c".to_string()]).unwrap();
        let mut shown = watch.push("ab").text + &watch.push_hidden("<end>").text;
        shown += &watch.push("d").text;
        shown += &watch.push("b").text;
        shown += &watch.push_hidden("<end>").text;
        assert_eq!(shown + &watch.flush(), "abdb");
        let mut none = StopStrings::new(Vec::new()).unwrap();
        assert_eq!(none.push_hidden("<end>").text + &none.push("a").text, "a");
    }

    #[test]
    fn an_empty_stop_string_is_refused() {
        let error = StopStrings::new(vec!["a".to_string(), String::new()]).unwrap_err();
        assert_eq!(error.to_string(), "stop string 1 is empty");
    }

    /// The first end of a stop string, and then its earliest start, in the whole text.
    fn naive(text: &str, stops: &[String]) -> Option<(usize, usize)> {
        let ends = (0..=text.len()).filter(|&end| text.is_char_boundary(end));
        ends.flat_map(|end| (0..end).map(move |start| (end, start)))
            .find(|&(end, start)| {
                text.get(start..end)
                    .is_some_and(|part| stops.iter().any(|stop| stop == part))
            })
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            pieces in prop::collection::vec("[abé]{0,4}", 0..8),
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
        ) {
            let whole = pieces.concat();
            let mut watch = StopStrings::new(stops.clone()).unwrap();
            let mut shown = String::new();
            for piece in &pieces {
                shown += &watch.push(piece).text;
                prop_assert!(whole.starts_with(&shown));
            }
            shown += &watch.flush();
            match naive(&whole, &stops) {
                Some((end, start)) => {
                    prop_assert_eq!(shown, &whole[..start]);
                    prop_assert_eq!(&stops[watch.stopped().unwrap()], &whole[start..end]);
                }
                None => {
                    prop_assert_eq!(shown, whole);
                    prop_assert_eq!(watch.stopped(), None);
                }
            }
        }
    }
}
