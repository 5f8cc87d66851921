//! The executor: runs a plan step by step, with its weights and its threads.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use super::arena::Arena;
use super::batch::{Batch, BatchError};
use super::caches::kv_cache;
use super::frames::Frames;
use super::pool::{Job, Part, Pool, run_alone};
use super::saved::{Identity, LazyIdentity};
use super::weights::StoredWeight;
use crate::files::weight_files::WeightFilesError;
use crate::kernels::call::{Call, NOTHING_KEPT, Operand, QuantizedView, View};
use crate::kernels::kv_cache::KvCache;
use crate::kernels::quantized::activation_words;
use crate::plan::{FEW_INPUTS, FEW_OUTPUTS, ModelPlan, Slot, Step, StepInput, StepPlan};

/// What runs a model. All sessions of the model share it; each brings its own arena.
pub struct Executor {
    plan: Arc<ModelPlan>,
    weights: Vec<StoredWeight>,
    pool: Pool,
    identity: LazyIdentity,
}

/// Why there is no executor: something it was given does not fit the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutorError {
    /// The pool has a different number of threads.
    #[error("the plan is for {expected} threads, but the pool has {found}")]
    Threads {
        /// Threads of the plan.
        expected: usize,
        /// Threads of the pool.
        found: usize,
    },
    /// Too many weights, or too few.
    #[error("the plan reads {expected} weights, but {found} were given")]
    WeightCount {
        /// Weights of the plan.
        expected: usize,
        /// Weights given.
        found: usize,
    },
    /// A weight has the wrong form or shape.
    #[error("weight {number} (from 0) must be {expected}, found {found}")]
    Weight {
        /// The weight's place in [`ModelPlan::weights`].
        number: usize,
        /// What the plan's steps read.
        expected: String,
        /// The weight that was given.
        found: String,
    },
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is computed.
    Done,
    /// The caller cancelled. The outputs are undefined, and so are the caches from the step's first position on.
    Cancelled,
}

/// A step as all its threads see it.
struct Run<'a> {
    executor: &'a Executor,
    plan: &'a StepPlan,
    /// Threads that run it.
    threads: usize,
    arena: &'a Arena,
    frames: &'a Frames,
    batch: Batch<'a>,
    cancel: Option<&'a AtomicBool>,
    /// Whether the caller has cancelled.
    stopped: AtomicBool,
}

impl Executor {
    /// An executor for `plan`, with weights in the plan's order.
    ///
    /// # Errors
    /// If the weights or the threads do not fit the plan.
    pub fn new(
        plan: Arc<ModelPlan>,
        weights: Vec<StoredWeight>,
        pool: Pool,
    ) -> Result<Executor, ExecutorError> {
        let (expected, found) = (plan.options().threads, pool.threads());
        if expected != found {
            return Err(ExecutorError::Threads { expected, found });
        }
        let (expected, found) = (plan.weights().len(), weights.len());
        if expected != found {
            return Err(ExecutorError::WeightCount { expected, found });
        }
        for (number, (need, weight)) in plan.weights().iter().zip(&weights).enumerate() {
            if !weight.is_what(need) {
                return Err(ExecutorError::Weight {
                    number,
                    expected: format!("{} as {:?}", need.ty(), need.form()),
                    found: format!("{weight:?}"),
                });
            }
        }
        Ok(Executor {
            plan,
            weights,
            pool,
            identity: LazyIdentity::known(Identity::default()),
        })
    }

    /// The same executor, whose sessions are saved with `identity`. Sessions of executors without an identity fit each
    /// other.
    pub fn with_identity(mut self, identity: LazyIdentity) -> Executor {
        self.identity = identity;
        self
    }

    /// The identity that sessions are saved with, found when it is first asked for.
    ///
    /// # Errors
    /// If the weight files can't be read.
    pub fn identity(&self) -> Result<Identity, WeightFilesError> {
        self.identity.get()
    }

    /// The plan.
    pub fn plan(&self) -> &ModelPlan {
        &self.plan
    }

    /// Run one step over the tokens of `batch`. Their ids and positions, and the numbers of the tokens whose outputs
    /// are wanted, must be in their slots of `arena`; `frames` must have the lengths that the plan states.
    ///
    /// # Errors
    /// If the plan does not fit the batch, or the arena belongs to another plan. Then nothing was computed.
    pub fn run(
        &self,
        arena: &mut Arena,
        frames: &Frames,
        batch: Batch<'_>,
        cancel: Option<&AtomicBool>,
    ) -> Result<Ended, BatchError> {
        batch.check(&self.plan)?;
        let regions = self.plan.regions();
        let expected = regions.first_page() + batch.pages.count() * regions.page();
        let found = arena.bytes();
        if expected != found {
            return Err(BatchError::Arena { expected, found });
        }
        let plan = self.plan.step();
        let run = Run {
            executor: self,
            plan,
            threads: plan.threads(batch.tokens()),
            arena,
            frames,
            batch,
            cancel,
            stopped: AtomicBool::new(false),
        };
        match run.threads {
            1 => run_alone(&run),
            _ => self.pool.run(&run),
        }
        Ok(if run.stopped.into_inner() {
            Ended::Cancelled
        } else {
            Ended::Done
        })
    }
}

/// Each step is a phase.
impl Job for Run<'_> {
    fn open(&self, phase: usize) -> bool {
        let cancelled = |cancel: &AtomicBool| cancel.load(Ordering::Relaxed);
        if phase > 0 && self.cancel.is_some_and(cancelled) {
            self.stopped.store(true, Ordering::Relaxed);
            return false;
        }
        phase < self.plan.steps().len()
    }

    fn run(&self, phase: usize, part: &mut Part<'_>) {
        let step = &self.plan.steps()[phase];
        if step.has_many_operands() {
            return self.frames.with(part.thread(), |inputs, outputs| {
                self.step_in(step, part, inputs, outputs);
            });
        }
        let mut inputs: SmallVec<[Operand<'_>; FEW_INPUTS]> = SmallVec::new();
        let mut outputs: SmallVec<[View<'_>; FEW_OUTPUTS]> = SmallVec::new();
        self.step_in(step, part, &mut inputs, &mut outputs);
    }
}

impl Run<'_> {
    /// One thread's part of a step, with empty lists for its operands.
    #[inline(always)]
    fn step_in<'a>(
        &'a self,
        step: &'a Step,
        part: &mut Part<'_>,
        inputs: &mut impl List<Operand<'a>>,
        outputs: &mut impl List<View<'a>>,
    ) {
        // Filled in place: collecting would move the frame once more.
        for source in step.inputs() {
            inputs.add(self.operand(source));
        }
        let mut int_output: &[Cell<i32>] = &[];
        let mut quantized_output = None;
        for slot in step.outputs() {
            if slot.is_int() {
                int_output = self.ints(slot);
            } else if slot.is_int8() {
                quantized_output = Some(self.blocks(slot));
            } else {
                outputs.add(self.view(slot));
            }
        }
        let regions = self.executor.plan.regions();
        let scratch = regions.scratch_of(part.thread());
        // SAFETY: the scratch region has `scratch_per_thread` bytes for each thread, and only this thread sees its own.
        let scratch = unsafe { self.arena.cells(scratch, step.scratch()) };
        let mut call = Call {
            inputs: inputs.items(),
            outputs: outputs.items(),
            int_output,
            quantized_output,
            scratch,
            cache: step.cache().map(|cache| self.cache(cache)),
            piece: 0,
            pieces: 1,
            threads: self.threads,
            kept: Cell::new(NOTHING_KEPT),
            tokens: self.batch.tokens(),
            sequences: self.batch.sequences,
        };
        let kernel = step.kernel();
        call.pieces = part.split(|| match call.threads {
            1 => 1,
            _ => kernel.pieces(&call),
        });
        while let Some(piece) = part.next_piece() {
            call.piece = piece;
            // SAFETY: the plan was verified: operands are the graph's values, of the types that the kernel was chosen for,
            // and lie apart unless the op may work in place. `Executor::new` checked the weights and the threads, `run` the
            // batch and the arena. All threads of the step make the same call, each with scratch of its own, for pieces
            // that no other thread has.
            unsafe { kernel.run(&call) };
        }
    }

    fn operand(&self, source: &StepInput) -> Operand<'_> {
        match source {
            StepInput::Absent => Operand::Absent,
            StepInput::Arena(slot) if slot.is_int() => Operand::Ints(self.ints(slot)),
            StepInput::Arena(slot) if slot.is_int8() => Operand::QuantizedTensor(self.blocks(slot)),
            StepInput::Arena(slot) => Operand::Tensor(self.view(slot)),
            StepInput::Weight(weight) => match &self.executor.weights[*weight] {
                StoredWeight::Constant(data, shape) => Operand::Constant(data, shape),
                StoredWeight::Packed(matrix) => Operand::Packed(matrix),
                StoredWeight::Quantized(matrix) => Operand::Quantized(matrix),
                StoredWeight::Table(table) => Operand::Rows(table),
            },
        }
    }

    fn view(&self, slot: &Slot) -> View<'_> {
        let shape = slot.shape(self.batch.size());
        let len = shape.iter().product();
        // SAFETY: the plan gives each buffer bytes that no other buffer of the same phase has, `run` holds the arena
        // exclusively, and the kernels' contract keeps threads to their own pieces of a step.
        View::new(unsafe { self.arena.cells(slot.offset(), len) }, &shape)
    }

    fn ints(&self, slot: &Slot) -> &[Cell<i32>] {
        let shape = slot.shape(self.batch.size());
        let len = shape.iter().product();
        // SAFETY: as in `view`.
        unsafe { self.arena.cells(slot.offset(), len) }
    }

    fn blocks(&self, slot: &Slot) -> QuantizedView<'_> {
        let shape = slot.shape(self.batch.size());
        let cols = shape.last().copied().unwrap_or(0);
        let rows = shape.iter().product::<usize>() / cols.max(1);
        // SAFETY: as in `view`.
        let words = unsafe {
            self.arena
                .cells(slot.offset(), activation_words(rows, cols))
        };
        QuantizedView::new(words, rows, cols)
    }

    fn cache(&self, number: usize) -> KvCache<'_> {
        // SAFETY: as in `view`; the cache's bytes belong to this node alone.
        unsafe {
            let plan = &self.executor.plan;
            kv_cache(plan, &plan.caches()[number], self.arena, self.batch.pages)
        }
    }
}

/// A list for a step's operands: on the stack, or from a [`Frames`].
trait List<T> {
    fn add(&mut self, item: T);
    fn items(&self) -> &[T];
}

impl<T, A: smallvec::Array<Item = T>> List<T> for SmallVec<A> {
    #[inline(always)]
    fn add(&mut self, item: T) {
        self.push(item);
    }

    #[inline(always)]
    fn items(&self) -> &[T] {
        self
    }
}

impl<T> List<T> for Vec<T> {
    fn add(&mut self, item: T) {
        self.push(item);
    }

    fn items(&self) -> &[T] {
        self
    }
}
