//! What makes the template engine behave as Jinja does in transformers: tests, filters, functions, methods and printing over
//! Python's kinds of values.
//!
//! What belongs here: replacements for parts of the engine that behave differently from Jinja. Where the engine has a hook,
//! a filter, test, function or method replaces its own; operators, loops and macros have none, so the template is rewritten
//! (`source/`) to call filters in their place (`operators/`). What is absent: what a template is for.

mod arguments;
mod characters;
mod cycler;
mod fields;
mod filters;
mod functions;
mod json;
mod methods;
mod objects;
mod operators;
mod percent;
mod print;
mod sequences;
mod shown;
mod source;
mod spaces;
mod spec;
mod tests;
mod texts;
mod values;
mod wordwrap;

pub use functions::Refusal;
pub use source::{Origins, rewritten};

/// Replaces the engine's tests, filters, functions, methods and printing with Jinja's.
pub fn add(environment: &mut minijinja::Environment) {
    environment.set_formatter(print::format);
    environment.set_unknown_method_callback(methods::call);
    tests::add(environment);
    filters::add(environment);
    functions::add(environment);
    operators::add(environment);
}
