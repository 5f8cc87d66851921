//! Where the parts of a written text come from in the template.

use std::ops::Range;

/// A part of the written text.
#[derive(Clone, Debug)]
struct Part {
    written: Range<usize>,
    origin: Range<usize>,
    /// Whether both are the same text.
    is_kept: bool,
}

/// The parts of a written text, in order.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    parts: Vec<Part>,
}

impl Origins {
    /// A part of the template that is written as it is.
    pub fn keep(&mut self, written: usize, origin: usize, length: usize) {
        match self.parts.last_mut() {
            Some(last)
                if last.is_kept && last.written.end == written && last.origin.end == origin =>
            {
                last.written.end += length;
                last.origin.end += length;
            }
            _ if length == 0 => {}
            _ => self.parts.push(Part {
                written: written..written + length,
                origin: origin..origin + length,
                is_kept: true,
            }),
        }
    }

    /// A text that stands for a part of the template.
    pub fn add(&mut self, written: usize, length: usize, start: usize, end: usize) {
        self.parts.push(Part {
            written: written..written + length,
            origin: start..end,
            is_kept: false,
        });
    }

    /// The part of the template that a part of the written text stands for.
    pub fn of(&self, written: Range<usize>) -> Range<usize> {
        let mut origin: Option<Range<usize>> = None;
        for part in &self.parts {
            let start = part.written.start.max(written.start);
            let end = part.written.end.min(written.end);
            if start >= end {
                continue;
            }
            let own = match part.is_kept {
                true => {
                    let at = |place: usize| part.origin.start + (place - part.written.start);
                    at(start)..at(end)
                }
                false => part.origin.clone(),
            };
            origin = Some(match origin {
                None => own,
                Some(before) => before.start.min(own.start)..before.end.max(own.end),
            });
        }
        origin.unwrap_or(0..0)
    }
}
