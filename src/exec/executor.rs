//! The executor: a plan, its weights and its threads, walked step by step.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use smallvec::SmallVec;

use super::arena::Arena;
use super::pool::{Padded, Pool};
use super::prefix::PrefixCache;
use super::saved::Identity;
use super::weights::StoredWeight;
use crate::kernels::call::{Call, Operand, QuantizedView, View};
use crate::kernels::float_environment::FloatEnvironment;
use crate::kernels::kv_cache::KvCache;
use crate::kernels::quantized::activation_words;
use crate::plan::{Cache, ModelPlan, Slot, Source, Step, StepPlan};

/// Operands that fit into a step's frame; no op has more.
const OPERANDS: usize = 16;
/// Outputs that fit into a step's frame; no op has more.
const OUTPUTS: usize = 8;

/// What runs a model: shared by all its sessions, each of which brings its arena.
pub struct Executor {
    plan: Arc<ModelPlan>,
    weights: Vec<StoredWeight>,
    pool: Pool,
    identity: Identity,
    prefixes: Option<PrefixCache>,
}

/// A step as all its threads see it.
struct Run<'a> {
    executor: &'a Executor,
    plan: &'a StepPlan,
    arena: &'a Arena,
    tokens: usize,
    past: usize,
    sequences: &'a [usize],
    cancel: Option<&'a AtomicBool>,
    /// Whether to stop after a step, by the step's parity: thread 0 writes one while the others may still read the
    /// other.
    stop: [AtomicBool; 2],
    /// Pieces drawn in a step, by the step's parity: thread 0 resets the next step's while this step's is in use.
    drawn: [Padded<AtomicUsize>; 2],
}

impl Executor {
    /// An executor of `plan`, whose weights are in the plan's order.
    pub fn new(plan: Arc<ModelPlan>, weights: Vec<StoredWeight>, pool: Pool) -> Executor {
        Executor {
            plan,
            weights,
            pool,
            identity: Identity::default(),
            prefixes: None,
        }
    }

    /// The same, its sessions saved as those of `identity`: sessions of executors without one fit each other.
    pub fn with_identity(mut self, identity: Identity) -> Executor {
        self.identity = identity;
        self
    }

    /// The same, its sessions sharing the beginnings of prompts.
    pub fn with_prefix_cache(mut self, prefixes: PrefixCache) -> Executor {
        self.prefixes = Some(prefixes);
        self
    }

    /// The beginnings of prompts that its sessions share, if they do.
    pub fn prefix_cache(&self) -> Option<&PrefixCache> {
        self.prefixes.as_ref()
    }

    /// What its sessions are saved as.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The plan.
    pub fn plan(&self) -> &ModelPlan {
        &self.plan
    }

    /// Run one step over the `tokens` tokens whose ids and positions stand in their slots of `arena`, `past` positions
    /// into the sequence. `sequences` says where each of several sequences begins and the last ends, as
    /// [`Call::sequences`] does; it is empty for one. Gives `false` if `cancel` was set before the end; the outputs are then undefined, and so are
    /// the caches from position `past` on.
    pub fn run(
        &self,
        arena: &mut Arena,
        tokens: usize,
        past: usize,
        sequences: &[usize],
        cancel: Option<&AtomicBool>,
    ) -> bool {
        let stop = [AtomicBool::new(false), AtomicBool::new(false)];
        let plan = self.plan.for_tokens(tokens);
        let run = Run {
            executor: self,
            plan,
            arena,
            tokens,
            past,
            sequences,
            cancel,
            stop,
            drawn: [0, 0].map(|drawn| Padded(AtomicUsize::new(drawn))),
        };
        if plan.threads == 1 {
            let _environment = FloatEnvironment::set_default();
            run.walk(0, || {});
        } else {
            self.pool
                .run(&|thread, barrier| run.walk(thread, || barrier.wait()));
        }
        !run.stop.iter().any(|stop| stop.load(Ordering::Relaxed))
    }
}

impl Run<'_> {
    /// One thread's way through the plan; `wait` returns when all threads have called it.
    fn walk(&self, thread: usize, wait: impl Fn()) {
        for (number, step) in self.plan.steps.iter().enumerate() {
            self.step(step, thread, &self.drawn[number % 2].0);
            let stop = &self.stop[number % 2];
            if thread == 0 {
                self.drawn[(number + 1) % 2].0.store(0, Ordering::Relaxed);
                if self
                    .cancel
                    .is_some_and(|cancel| cancel.load(Ordering::Relaxed))
                {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            wait();
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// One thread's share of one step.
    fn step(&self, step: &Step, thread: usize, drawn: &AtomicUsize) {
        // Filled in place: collecting would move the frame once more.
        let mut inputs: SmallVec<[Operand<'_>; OPERANDS]> = SmallVec::new();
        for source in &step.inputs {
            inputs.push(self.operand(source));
        }
        let mut outputs: SmallVec<[View<'_>; OUTPUTS]> = SmallVec::new();
        let mut int_output: &[Cell<i32>] = &[];
        let mut quantized_output = None;
        for slot in &step.outputs {
            if slot.is_int() {
                int_output = self.ints(slot);
            } else if slot.is_int8() {
                quantized_output = Some(self.blocks(slot));
            } else {
                outputs.push(self.view(slot));
            }
        }
        let regions = &self.executor.plan.regions;
        // SAFETY: the scratch region has `scratch_per_thread` bytes for each thread, and only this thread sees its own.
        let scratch = unsafe { self.arena.cells(regions.scratch_of(thread), step.scratch) };
        let call = Call {
            inputs: &inputs,
            outputs: &outputs,
            int_output,
            quantized_output,
            scratch,
            cache: step.cache.map(|cache| self.cache(cache)),
            thread,
            threads: self.plan.threads,
            drawn,
            tokens: self.tokens,
            past: self.past,
            sequences: self.sequences,
        };
        // SAFETY: the plan was verified: operands are the graph's values, of the types that the kernel was chosen for, and
        // lie apart unless the op may work in place; `run` checked the tokens and the arena, `new` the weights and the
        // threads. All threads of the step make the same call, each with its own number and scratch.
        unsafe { step.kernel.run(&call) };
    }

    fn operand(&self, source: &Source) -> Operand<'_> {
        match source {
            Source::Absent => Operand::Absent,
            Source::Arena(slot) if slot.is_int() => Operand::Ints(self.ints(slot)),
            Source::Arena(slot) if slot.is_int8() => Operand::QuantizedTensor(self.blocks(slot)),
            Source::Arena(slot) => Operand::Tensor(self.view(slot)),
            Source::Weight(weight) => match &self.executor.weights[*weight] {
                StoredWeight::Constant(data, shape) => Operand::Constant(data, shape),
                StoredWeight::Packed(matrix) => Operand::Packed(matrix),
                StoredWeight::Quantized(matrix) => Operand::Quantized(matrix),
                StoredWeight::Table(table) => Operand::Rows(table),
            },
        }
    }

    fn view(&self, slot: &Slot) -> View<'_> {
        let shape = slot.shape(self.tokens, self.past + self.tokens);
        let len = shape.iter().product();
        // SAFETY: the plan gives each buffer bytes that no other buffer of the same phase has, `run` holds the arena
        // exclusively, and the kernels' contract keeps threads to their own shares of a step.
        View::new(unsafe { self.arena.cells(slot.offset, len) }, &shape)
    }

    fn ints(&self, slot: &Slot) -> &[Cell<i32>] {
        let len = slot
            .shape(self.tokens, self.past + self.tokens)
            .iter()
            .product();
        // SAFETY: as in `view`.
        unsafe { self.arena.cells(slot.offset, len) }
    }

    fn blocks(&self, slot: &Slot) -> QuantizedView<'_> {
        let shape = slot.shape(self.tokens, self.past + self.tokens);
        let cols = shape.last().copied().unwrap_or(0);
        let rows = shape.iter().product::<usize>() / cols.max(1);
        // SAFETY: as in `view`.
        let words = unsafe { self.arena.cells(slot.offset, activation_words(rows, cols)) };
        QuantizedView::new(words, rows, cols)
    }

    fn cache(&self, number: usize) -> KvCache<'_> {
        // SAFETY: as in `view`; the cache's bytes belong to this node alone.
        unsafe { kv_cache(&self.executor.plan.caches[number], self.arena) }
    }
}

/// A layer's keys and values in an arena of the plan that `cache` is of.
///
/// # Safety
/// As [`Arena::cells`].
pub(super) unsafe fn kv_cache<'a>(cache: &Cache, arena: &'a Arena) -> KvCache<'a> {
    let floats = cache.layout.floats();
    let values = cache.offset + floats * size_of::<f32>();
    // SAFETY: the caller's promise is passed on.
    let (keys, values) = unsafe {
        (
            arena.cells(cache.offset, floats),
            arena.cells(values, floats),
        )
    };
    KvCache {
        keys,
        values,
        layout: cache.layout,
    }
}
