//! The plan: every decision about a run, made before it.
//!
//! What belongs here: the schedule (the order of steps, each a phase), alias classes (values that share one buffer),
//! lifetimes in phases, the arena offset of every buffer, and the region of the key-value cache. All of it is
//! arithmetic over a graph's shapes and needs no weights. A plan is verified when it is made, and nothing outside this
//! folder can change it. What does not belong here: running anything, touching the memory that the offsets refer to
//! (`exec/`), and changing the graph (`rewrite/`, `transform/`).

mod alias;
mod alive;
mod cost;
mod defect;
mod draft;
mod layout;
mod model_plan;
mod options;
pub mod place;
mod regions;
mod report;
mod schedule;
mod step;
mod verify;

pub use defect::PlanDefect;
pub use layout::PlanError;
pub use model_plan::ModelPlan;
pub use options::PlanOptions;
pub use regions::{BEGINNING_BYTES, Cache, EngineLists, FrameSizes, Regions, SessionLists};
pub(crate) use report::human;
pub use report::{MemoryReport, StepReport};
pub use step::{FEW_INPUTS, FEW_OUTPUTS, Slot, Step, StepInput, StepPlan, WeightNeed};
