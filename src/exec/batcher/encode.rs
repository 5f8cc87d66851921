//! The texts of an encoder, side by side in one step. An encoder keeps nothing from one step to the next, so its texts need
//! no slots; the first slot has the tokens of the last step's texts.

use std::sync::atomic::AtomicBool;

use super::Batcher;
use super::outputs::check_finite;
use crate::exec::batch::Batch;
use crate::exec::encoded::Encoded;
use crate::exec::executor::Ended;
use crate::exec::step_error::StepError;
use crate::exec::step_io::{check_text, floats, write_numbers, write_tokens};
use crate::kernels::call::Sequence;
use crate::kernels::float_environment::FloatEnvironment;

impl Batcher {
    /// Whether a step of a bidirectional model can read `texts`.
    ///
    /// # Errors
    /// If the model is not bidirectional, a text is empty, too long or has unknown tokens, or they don't fit in one step.
    fn check_texts(&self, texts: &[&[u32]]) -> Result<(), StepError> {
        let plan = self.executor.plan();
        if texts.is_empty() {
            return Err(StepError::Empty);
        }
        let refused = |reason| StepError::OneText {
            texts: texts.len(),
            reason,
        };
        if !plan.is_bidirectional() {
            return Err(refused("this model reads texts token by token"));
        }
        if texts.len() > 1 && plan.texts() == 1 {
            return Err(refused(
                "this model's graph mixes tokens outside of attention",
            ));
        }
        for text in texts {
            check_text(plan, self.vocabulary, text)?;
        }
        let lengths = texts.iter().map(|text| text.len());
        let (tokens, chunk) = (lengths.fold(0, usize::saturating_add), plan.step().tokens());
        match tokens > chunk {
            false => Ok(()),
            true => Err(StepError::TooManyTokens {
                texts: texts.len(),
                tokens,
                chunk,
            }),
        }
    }

    /// Read `texts` side by side in one step of a bidirectional model. Each text's outputs have the same bits as if it were
    /// read alone.
    ///
    /// # Errors
    /// If the model is not bidirectional, a text is empty, too long or has unknown tokens, they don't fit in one step, the
    /// outputs are not finite, or `cancel` becomes true.
    pub(in crate::exec) fn encode(
        &mut self,
        texts: &[&[u32]],
        cancel: Option<&AtomicBool>,
    ) -> Result<Encoded<'_>, StepError> {
        self.check_texts(texts)?;
        self.forget_texts();
        let Some(state) = self.slots.first_mut() else {
            return Err(StepError::Gone);
        };
        for text in texts {
            let start = state.tokens.len();
            state.tokens.extend_from_slice(text);
            self.sequences.push(Sequence {
                start,
                end: state.tokens.len(),
                past: 0,
                table: 0,
            });
        }
        let ended = self.read_texts(cancel);
        if !matches!(ended, Ok(Ended::Done)) {
            self.forget_texts();
        }
        match ended? {
            Ended::Cancelled => Err(StepError::Cancelled { position: 0 }),
            Ended::Done => Ok(Encoded {
                rows: self.output(0),
                width: self.logits_width(),
                texts: &self.sequences,
            }),
        }
    }

    /// Run the step of the texts in `sequences`.
    fn read_texts(&mut self, cancel: Option<&AtomicBool>) -> Result<Ended, StepError> {
        let executor = self.executor.clone();
        let plan = executor.plan();
        let step = plan.step();
        let tokens = &self.slots[0].tokens;
        for sequence in &self.sequences {
            let text = &tokens[sequence.start..sequence.end];
            write_tokens(&mut self.arena, step, sequence, text);
        }
        let (_, most) = step.wanted_rows(tokens.len());
        let rows = tokens.len().min(most);
        let wanted = tokens.len() - rows..tokens.len();
        write_numbers(&mut self.arena, step.wanted(), 0, wanted);
        let batch = Batch {
            sequences: &self.sequences,
            rows,
            pages: &self.pages,
        };
        let size = batch.size();
        let ended = executor.run(&mut self.arena, &self.frames, batch, cancel)?;
        if ended == Ended::Cancelled {
            return Ok(ended);
        }
        self.outputs = Some(size);
        self.slots[0].read = size.tokens;
        let _environment = FloatEnvironment::set_default();
        for (number, sequence) in self.sequences.iter().enumerate() {
            let wanted = sequence.start..sequence.end;
            let checked = check_finite(plan, &self.arena, size, (sequence, &wanted));
            checked.map_err(|error| in_text(error, number))?;
        }
        Ok(ended)
    }

    /// Forget the texts of the last step, and its outputs.
    fn forget_texts(&mut self) {
        self.outputs = None;
        self.sequences.clear();
        if let Some(state) = self.slots.first_mut() {
            state.tokens.clear();
            state.read = 0;
        }
    }

    /// An output of the last step by its place in the graph file, with the rows of all its sequences; empty if there was no
    /// step.
    pub(in crate::exec) fn output(&self, number: usize) -> &[f32] {
        let slot = self.executor.plan().step().outputs().get(number);
        match (slot, self.outputs) {
            (Some(slot), Some(size)) => {
                let len = slot.shape(size).iter().product();
                floats(&self.arena, slot, len)
            }
            _ => &[],
        }
    }
}

/// The error, of the text `number` of the step.
fn in_text(mut error: StepError, number: usize) -> StepError {
    if let StepError::NotFinite { text, .. } = &mut error {
        *text = number;
    }
    error
}
