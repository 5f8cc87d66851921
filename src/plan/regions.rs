//! The regions of the arena, what lies in the region of the caches, and the lists that a session has besides. Nothing
//! outside this folder can make or change one.

use super::step::StepPlan;
use crate::graph::{Name, NodeId};
use crate::kernels::call::{Operand, Sequence, View};
use crate::kernels::kv_cache::{KEY_BLOCK, KvLayout};

/// The cache of one layer.
#[derive(Clone, Debug)]
pub struct Cache {
    pub(super) node: NodeId,
    pub(super) name: Name,
    pub(super) layout: KvLayout,
    pub(super) window: Option<usize>,
}

impl Cache {
    /// The node's name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// How keys and values are laid out.
    #[inline]
    pub fn layout(&self) -> KvLayout {
        self.layout
    }

    /// How many keys a query sees, its own included; `None` where it sees all, and where the op outputs all keys. With a
    /// window the layout may have space for less than the context: new positions then replace positions that no query
    /// sees any more.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// The first position whose row the token at `position` needs.
    pub fn first_needed(&self, position: usize) -> usize {
        let before = self.window.map(|window| window.saturating_sub(1));
        before.map_or(0, |before| position.saturating_sub(before))
    }

    /// The first position whose row still exists once `end` positions were written.
    pub fn first_held(&self, end: usize) -> usize {
        end.saturating_sub(self.layout.capacity())
    }

    /// The table entries of the positions from `first` up to, but not including, `end`; never more entries than the
    /// table has.
    pub fn entries(&self, first: usize, end: usize) -> impl Iterator<Item = usize> + use<> {
        let layout = self.layout;
        let blocks = first / KEY_BLOCK..end.div_ceil(KEY_BLOCK);
        let latest = blocks.end.saturating_sub(layout.blocks());
        (blocks.start.max(latest)..blocks.end).map(move |block| layout.entry(block * KEY_BLOCK))
    }
}

/// The regions of the arena of one sequence, in bytes, one after the other: activations, scratch, pages of keys and
/// values. An arena for several sequences has more pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regions {
    /// The activations of the largest step. Begins at 0.
    pub(super) activations: usize,
    /// Scratch of all threads.
    pub(super) scratch: usize,
    /// Pages of one sequence that fills the context.
    pub(super) pages: usize,
    /// Bytes of a page; 0 where nothing is kept.
    pub(super) page: usize,
    /// Bytes of scratch each thread has.
    pub(super) scratch_per_thread: usize,
}

impl Regions {
    /// Bytes of the pages of one sequence that fills the context.
    pub fn kv_cache(&self) -> usize {
        self.pages * self.page
    }

    /// Pages of one sequence that fills the context.
    pub fn sequence_pages(&self) -> usize {
        self.pages
    }

    /// Bytes of a page.
    #[inline]
    pub fn page(&self) -> usize {
        self.page
    }

    /// Where the pages begin.
    #[inline]
    pub fn first_page(&self) -> usize {
        self.activations + self.scratch
    }

    /// The whole arena of one sequence.
    pub fn total(&self) -> usize {
        self.first_page() + self.kv_cache()
    }

    /// Where a thread's scratch begins.
    #[inline]
    pub fn scratch_of(&self, thread: usize) -> usize {
        self.activations + thread * self.scratch_per_thread
    }
}

/// Lists for the operands of steps that have more than [`FEW_INPUTS`](super::FEW_INPUTS) inputs or
/// [`FEW_OUTPUTS`](super::FEW_OUTPUTS) outputs; empty where no step has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameSizes {
    pub(super) threads: usize,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl FrameSizes {
    /// What the steps of `plan` need.
    pub(super) fn of(plan: &StepPlan) -> FrameSizes {
        let mut frames = FrameSizes::default();
        for step in plan.steps.iter().filter(|step| step.has_many_operands()) {
            frames.threads = plan.threads;
            frames.inputs = frames.inputs.max(step.inputs.len());
            frames.outputs = frames.outputs.max(step.outputs.len());
        }
        frames
    }

    /// Threads that have such lists.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Inputs that a list can hold.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Outputs that a list can hold.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of all lists.
    pub fn bytes(&self) -> usize {
        let inputs = self.inputs.saturating_mul(size_of::<Operand<'_>>());
        let outputs = self.outputs.saturating_mul(size_of::<View<'_>>());
        self.threads.saturating_mul(inputs.saturating_add(outputs))
    }
}

/// Bytes that an engine keeps for a block of tokens which sequences may share as a prefix: the tokens, and the block's
/// entry in the index.
pub const BEGINNING_BYTES: usize = 304;

/// Bytes of the lists that an engine keeps besides its arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLists {
    /// For each sequence: its tokens, its table of pages, and a row of logits.
    pub sequence: usize,
    /// For each page: the number of its readers, its entries in the list of free pages and in a prefix, and its share
    /// of the prefix's bytes.
    pub page: usize,
}

/// The lists that a session has besides its arena, at their greatest lengths: they are allocated whole with the
/// session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLists {
    pub(super) tokens: usize,
    pub(super) sequences: usize,
    pub(super) pages: usize,
    pub(super) frames: FrameSizes,
}

impl SessionLists {
    /// Token ids, u32: enough for the context and for a step.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The sequences of a step.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// Pages. Each has three u32: its entry in the table, its count of readers, and its entry in the list of free
    /// pages.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Each thread's operands of the steps that have many.
    pub fn frames(&self) -> FrameSizes {
        self.frames
    }

    /// Bytes of all lists.
    pub fn bytes(&self) -> usize {
        let tokens = self.tokens.saturating_mul(size_of::<u32>());
        let sequences = self.sequences.saturating_mul(size_of::<Sequence>());
        let pages = self.pages.saturating_mul(3 * size_of::<u32>());
        tokens
            .saturating_add(sequences)
            .saturating_add(pages)
            .saturating_add(self.frames.bytes())
    }
}
