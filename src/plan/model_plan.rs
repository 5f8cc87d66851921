//! The plan as a whole: what other modules see of it.

use super::options::PlanOptions;
use super::regions::{BEGINNING_BYTES, Cache, EngineLists, FrameSizes, Regions, SessionLists};
use super::step::{StepPlan, WeightNeed};
use crate::types::{Dim, StepSize};

/// Every decision about running a graph: what runs, in which order, on which bytes.
///
/// A plan was verified when it was made, and cannot be changed.
pub struct ModelPlan {
    pub(super) step: StepPlan,
    pub(super) regions: Regions,
    pub(super) caches: Vec<Cache>,
    pub(super) weights: Vec<WeightNeed>,
    pub(super) bidirectional: bool,
    pub(super) sequences: usize,
    pub(super) options: PlanOptions,
}

impl ModelPlan {
    /// What every step runs, whether it reads one token or a chunk of them.
    pub fn step(&self) -> &StepPlan {
        &self.step
    }

    /// The arena.
    pub fn regions(&self) -> Regions {
        self.regions
    }

    /// One cache for each node with state.
    pub fn caches(&self) -> &[Cache] {
        &self.caches
    }

    /// The weights that the steps read, and how the steps read them.
    pub fn weights(&self) -> &[WeightNeed] {
        &self.weights
    }

    /// Whether tokens see later ones: each text is then read in one step that begins at position 0.
    pub fn is_bidirectional(&self) -> bool {
        self.bidirectional
    }

    /// The most sequences of a step: for an encoder, the tokens of the step; 1 where an op mixes the tokens of several
    /// sequences.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// The most texts in a step of an encoder; 1 for a model that reads token by token.
    pub fn texts(&self) -> usize {
        match self.bidirectional {
            true => self.sequences,
            false => 1,
        }
    }

    /// What the plan was made for.
    pub fn options(&self) -> &PlanOptions {
        &self.options
    }

    /// The lists that a session needs.
    pub fn session_lists(&self) -> SessionLists {
        SessionLists {
            tokens: self.options.context.max(self.options.chunk),
            sequences: self.texts(),
            pages: self.regions.pages,
            frames: FrameSizes::of(&self.step),
        }
    }

    /// The lists that an engine needs.
    pub fn engine_lists(&self) -> EngineLists {
        let number = size_of::<u32>();
        // The tokens of a session stand in its handle too.
        let tokens = self.options.context.saturating_mul(2 * number);
        let table = self.regions.pages.saturating_mul(number);
        let logits = self.logits_width().saturating_mul(size_of::<f32>());
        EngineLists {
            sequence: tokens.saturating_add(table).saturating_add(logits),
            page: 3 * number + BEGINNING_BYTES.div_ceil(self.caches.len().max(1)),
        }
    }

    /// Elements of a row of the first output (a language model's logits); 0 where the graph has no output.
    pub fn logits_width(&self) -> usize {
        let output = self.step.outputs.first();
        let width = output.and_then(|slot| slot.ty.width());
        width.map_or(0, |width| width.resolve(StepSize::ONE))
    }

    /// Whether the outputs of every token are wanted.
    pub fn wants_all_rows(&self) -> bool {
        self.options.rows.is_none()
    }

    /// Whether every step computes outputs for each of its tokens, not only for the wanted ones.
    pub fn gives_all_rows(&self) -> bool {
        let mut outputs = self.step.outputs.iter();
        self.wants_all_rows() || outputs.any(|slot| slot.ty.shape.contains(&Dim::Tokens))
    }
}
