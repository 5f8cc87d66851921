//! What a step of texts computes.

/// What a model gives for the texts of one step.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    pub(super) rows: &'a [f32],
    pub(super) width: usize,
    pub(super) tokens: usize,
    /// Empty for one text.
    pub(super) starts: &'a [usize],
}

impl<'a> Encoded<'a> {
    /// The first output of all tokens, [tokens, width]: the texts in order, without padding between them.
    pub fn rows(&self) -> &'a [f32] {
        self.rows
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many texts there are.
    pub fn texts(&self) -> usize {
        self.starts.len().saturating_sub(1).max(1)
    }

    /// The rows of text `number`: [its tokens, width]. Empty where there is no such text.
    pub fn text(&self, number: usize) -> &'a [f32] {
        let ends = match self.starts {
            [] if number == 0 => Some((0, self.tokens)),
            starts => starts
                .get(number)
                .copied()
                .zip(starts.get(number.saturating_add(1)).copied()),
        };
        let rows =
            ends.and_then(|(start, end)| self.rows.get(start * self.width..end * self.width));
        rows.unwrap_or_default()
    }
}
