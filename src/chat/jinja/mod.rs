//! What makes the template engine behave as Jinja does in transformers: tests, filters, functions, methods and printing over
//! Python's kinds of values.
//!
//! What belongs here: replacements for parts of the engine that can be replaced and that behave differently from Jinja. What
//! is absent: operators, loops and macros, which are built into the engine, and what a template is for.

mod arguments;
mod fields;
mod filters;
mod functions;
mod json;
mod methods;
mod objects;
mod percent;
mod print;
mod sequences;
mod shown;
mod spaces;
mod tests;
mod texts;
mod values;

pub use functions::Refusal;
pub use percent::without_operators;

/// Replaces the engine's tests, filters, functions, methods and printing with Jinja's.
pub fn add(environment: &mut minijinja::Environment) {
    environment.set_formatter(print::format);
    environment.set_unknown_method_callback(methods::call);
    tests::add(environment);
    filters::add(environment);
    functions::add(environment);
}
