//! Jinja, as transformers sets it up for chat templates.
//!
//! What belongs here: reading and running a template over Python's kinds of values, with a bound on the work that it does.
//! What is absent: files, messages, and what a template is for.

mod access;
mod arguments;
mod ast;
mod checks;
mod compare;
mod evaluate;
mod expressions;
mod fault;
mod filters;
mod format;
mod functions;
mod json;
mod lexer;
mod methods;
mod operators;
mod parser;
mod print;
mod run;
mod spaces;
mod value;

use std::rc::Rc;
use std::time::SystemTime;

pub use fault::{Error, Fault};
pub use lexer::normalized;
use serde_json::{Map, Value as Json};

/// A template that has been read.
#[derive(Clone, Debug)]
pub struct Template {
    source: String,
    tree: ast::Tree,
}

impl Template {
    /// Reads a template. On an error, spans lead into [`normalized`] text.
    pub fn parse(text: &str) -> Result<Template, Error> {
        let source = normalized(text);
        let tree = parser::parse(&source)?;
        Ok(Template { source, tree })
    }

    /// The text for these variables, with at most so many units of work. Needs a stack as deep as what the work may nest.
    pub fn render(
        &self,
        variables: &Map<String, Json>,
        now: SystemTime,
        work: u64,
    ) -> Result<String, Error> {
        let scope = Rc::new(value::Scope::default());
        for (name, value) in variables {
            scope.set(name, value::Value::from_json(value));
        }
        let run = run::Run::new(&self.tree, &self.source, fault::Budget::new(work), now);
        run.template(&scope)
    }

    /// The text that spans lead into.
    pub fn source(&self) -> &str {
        &self.source
    }
}
