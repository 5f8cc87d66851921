//! What a step of texts computes.

use crate::kernels::call::Sequence;

/// What a model computes for the texts of one step.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a> {
    pub(super) rows: &'a [f32],
    pub(super) width: usize,
    /// The range of each text's tokens.
    pub(super) texts: &'a [Sequence],
}

impl<'a> Encoded<'a> {
    /// The first output for all tokens, [tokens, width]: the texts in order, without padding between them.
    pub fn rows(&self) -> &'a [f32] {
        self.rows
    }

    /// Elements of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many texts there are.
    pub fn texts(&self) -> usize {
        self.texts.len()
    }

    /// The rows of text `number`: [its tokens, width]. Empty if there is no such text.
    pub fn text(&self, number: usize) -> &'a [f32] {
        let text = self.texts.get(number);
        let rows = text.and_then(|text| {
            self.rows
                .get(text.start * self.width..text.end * self.width)
        });
        rows.unwrap_or_default()
    }
}
