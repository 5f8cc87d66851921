//! Where a text spells out markers.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Tokenizer, TokenizerError};
use crate::kernels::float_environment::FloatEnvironment;

impl Tokenizer {
    /// Where a text spells out markers: the bytes of each, in order.
    pub(crate) fn spelled_markers(&self, text: &str) -> Result<Vec<Range<usize>>, TokenizerError> {
        let _environment = FloatEnvironment::set_default();
        let encoding = self
            .pipeline
            .encode(text, false)
            .map_err(|error| self.error("encode", error))?;
        let markers: BTreeSet<u32> = self.markers().map(|(id, _)| id).collect();
        let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
        let spelled = tokens.filter(|(id, _)| markers.contains(id));
        Ok(spelled.map(|(_, &(start, end))| start..end).collect())
    }
}
