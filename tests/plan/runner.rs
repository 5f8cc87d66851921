//! Steps over sequences whose tokens, pages and wanted rows a test chooses.

use smallmind::exec::arena::Arena;
use smallmind::exec::batch::{Batch, BatchError};
use smallmind::exec::executor::{Ended, Executor};
use smallmind::exec::frames::Frames;
use smallmind::exec::pages::Pages;
use smallmind::graph::Graph;
use smallmind::kernels::call::Sequence;
use smallmind::plan::Slot;
use smallmind::rewrite::{PassOptions, Passes};
use smallmind::transform::{self, Settings};
use smallmind::types::StepSize;

/// An executor, and the memory of its sequences.
pub struct Runner {
    pub executor: Executor,
    pub pages: Pages,
    arena: Arena,
    frames: Frames,
}

impl Runner {
    /// An arena with room for all of `pages`.
    pub fn new(executor: Executor, pages: Pages) -> Runner {
        let plan = executor.plan();
        let bytes = plan.regions().first_page() + pages.count() * plan.regions().page();
        Runner {
            arena: Arena::new(bytes).unwrap(),
            frames: Frames::new(plan.session_lists().frames()),
            executor,
            pages,
        }
    }

    fn write(&mut self, slot: Option<Slot>, values: &[i32]) {
        let Some(slot) = slot else { return };
        // SAFETY: the arena is borrowed exclusively, and no step runs.
        let cells = unsafe { self.arena.cells::<i32>(slot.offset(), values.len()) };
        for (cell, &value) in cells.iter().zip(values) {
            cell.set(value);
        }
    }

    /// How a step over `sequences` ends that wants `rows` rows, whatever tokens and rows these are.
    pub fn run(&mut self, sequences: &[Sequence], rows: usize) -> Result<Ended, BatchError> {
        let batch = Batch {
            sequences,
            rows,
            pages: &self.pages,
        };
        self.executor
            .run(&mut self.arena, &self.frames, batch, None)
    }

    /// Runs a step over `sequences`, whose tokens are `ids`, and returns the shape of each output and its bits. The rows of
    /// the tokens with the numbers `wanted` are wanted, or all rows if the plan computes all.
    pub fn step(
        &mut self,
        sequences: &[Sequence],
        ids: &[i32],
        wanted: &[i32],
    ) -> Vec<(Vec<usize>, Vec<u32>)> {
        let positions = sequences
            .iter()
            .flat_map(|sequence| sequence.past..sequence.positions());
        let positions: Vec<i32> = positions.map(|at| at as i32).collect();
        let plan = self.executor.plan().step();
        let outputs: Vec<Slot> = plan.outputs().to_vec();
        let slots = [plan.token_ids(), plan.positions(), plan.wanted()].map(|slot| slot.cloned());
        let rows = slots[2].as_ref().map_or(ids.len(), |_| wanted.len());
        for (slot, values) in slots.into_iter().zip([ids, &positions, wanted]) {
            self.write(slot, values);
        }
        assert_eq!(self.run(sequences, rows), Ok(Ended::Done));
        let size = StepSize {
            tokens: ids.len(),
            rows,
            context: match sequences {
                [sequence] => sequence.positions(),
                _ => ids.len(),
            },
        };
        let outputs = outputs.iter().map(|slot| {
            let shape = slot.shape(size);
            // SAFETY: the arena is borrowed exclusively, and no step runs.
            let cells = unsafe {
                self.arena
                    .cells::<f32>(slot.offset(), shape.iter().product())
            };
            let bits = cells.iter().map(|x| bit(x.get()));
            (shape.to_vec(), bits.collect())
        });
        outputs.collect()
    }

    /// Writes the inputs of a step of so many tokens, each of them token 0, that wants row 0 so many times.
    pub fn write_zeros(&mut self, tokens: usize, rows: usize) {
        let plan = self.executor.plan().step();
        let (ids, wanted) = (plan.token_ids().cloned(), plan.wanted().cloned());
        self.write(ids, &vec![0; tokens]);
        self.write(wanted, &vec![0; rows]);
    }
}

/// The bits of a number; the bits of a NaN are not part of the promise.
pub fn bit(x: f32) -> u32 {
    if x.is_nan() { u32::MAX } else { x.to_bits() }
}

/// Runs every pass but the one that takes the wanted rows, with the caller's `settings`.
pub fn fuse(graph: &mut Graph, settings: Settings) {
    let options = PassOptions {
        without: ["wanted_rows".to_owned()].into(),
        settings,
        ..PassOptions::default()
    };
    Passes::builtin().unwrap().run(graph, &options).unwrap();
}

/// Lets `graph` compute only the wanted rows.
pub fn want_rows(graph: &mut Graph) {
    let pass = transform::find("wanted_rows").unwrap();
    (pass.run)(graph, &Settings::default()).unwrap();
}
