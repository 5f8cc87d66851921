//! Python's operators as filters, which the rewritten template calls in place of the engine's operators: `a | __lt__(b)`.
//!
//! What belongs here: what operators and loops do with values of each kind. What is absent: where a template calls them
//! (`source/`), and formats (`percent.rs`).

mod arithmetic;
mod comparison;
mod macros;
mod places;

pub use comparison::contains;

/// Adds the operators' filters.
pub fn add(environment: &mut minijinja::Environment) {
    arithmetic::add(environment);
    comparison::add(environment);
    places::add(environment);
    environment.add_filter("__others__", macros::with_others);
}
