//! Rewriting: reading and running `passes/*.ron`.
//!
//! What belongs here: the rule language (parsing, checking, guards), the matcher, the driver that applies the rules of
//! a pass until none fires, the pipeline that runs passes in order, and the report of what fired and what nearly fired.
//! What does not belong here: the rules themselves (`passes/`), passes that compute on data or on the whole graph
//! (`transform/`), and what an op means (`ops/`).

mod check;
mod context;
mod driver;
mod emission;
mod guard;
mod matcher;
mod parse;
mod pattern;
mod pipeline;
mod report;
mod rule;
mod shadow;

pub use driver::DriverError;
pub use pipeline::{NO_PASS, PassError, PassOptions, Passes};
pub use report::{ChangeReport, NearMiss, PassReport, Report, RuleReport};
