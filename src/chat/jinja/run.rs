//! Runs a template's statements.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::SystemTime;

use super::arguments::Args;
use super::ast::{BLOCK_TEXT, Expr, MACRO_NAMES, Statement, Target, Tree};
use super::fault::{Budget, Error, Result};
use super::print;
use super::value::{Callable, Loop, Scope, Value};

/// How deeply macros, and the bodies of loops and conditions, may run in each other.
const DEEPEST: usize = 200;

/// One rendering.
pub struct Run<'t> {
    pub tree: &'t Tree,
    pub budget: Budget,
    pub now: SystemTime,
    /// The text of the template, of which messages show parts.
    pub source: &'t str,
    depth: Cell<usize>,
}

/// Where to go on after a statement.
#[derive(PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

impl<'t> Run<'t> {
    pub fn new(tree: &'t Tree, source: &'t str, budget: Budget, now: SystemTime) -> Run<'t> {
        Run {
            tree,
            budget,
            now,
            source,
            depth: Cell::new(0),
        }
    }

    /// The text of the whole template.
    pub fn template(&self, scope: &Rc<Scope>) -> Result<String> {
        let mut out = String::new();
        self.body(&self.tree.body, scope, &mut out)?;
        Ok(out)
    }

    /// Counts a level down, and up again after `run`.
    fn deeper<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.depth.get() == DEEPEST {
            return Err(Error::new(format!(
                "more than {DEEPEST} levels of recursion"
            )));
        }
        self.depth.set(self.depth.get() + 1);
        let result = run();
        self.depth.set(self.depth.get() - 1);
        result
    }

    fn body(&self, body: &[Statement], scope: &Rc<Scope>, out: &mut String) -> Result<Flow> {
        self.deeper(|| {
            for statement in body {
                let flow = self.statement(statement, scope, out)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    /// The text of a body.
    fn captured(&self, body: &[Statement], scope: &Rc<Scope>) -> Result<Value> {
        let mut text = String::new();
        self.body(body, scope, &mut text)?;
        Ok(Value::text(text))
    }

    fn statement(
        &self,
        statement: &Statement,
        scope: &Rc<Scope>,
        out: &mut String,
    ) -> Result<Flow> {
        self.budget.spend(1)?;
        match statement {
            Statement::Text(text) => {
                self.budget.spend_bytes(text.len())?;
                out.push_str(text);
            }
            Statement::Output(value) => {
                let found = self.value(value, scope)?;
                print::print(&found, false, out, &self.budget)
                    .map_err(|error| error.at(value.span))?;
            }
            Statement::Set(target, value, span) => {
                let value = self.value(value, scope)?;
                self.assign(target, value, scope)
                    .map_err(|error| error.at(*span))?;
            }
            Statement::SetBlock(target, filter, body, span) => {
                let inner = Scope::inside(scope);
                let text = self.captured(body, &inner)?;
                let text = self.filtered(filter.as_ref(), text, scope)?;
                self.assign(target, text, scope)
                    .map_err(|error| error.at(*span))?;
            }
            Statement::If(branches, otherwise) => {
                for (condition, body) in branches {
                    if self.value(condition, scope)?.is_true() {
                        return self.body(body, scope, out);
                    }
                }
                return self.body(otherwise, scope, out);
            }
            Statement::For(place) => {
                let Some(looped) = self.tree.loops.get(*place) else {
                    return Ok(Flow::Next);
                };
                let values = self.value(&looped.values, scope)?;
                self.repeat(*place, &values, 0, scope, out)
                    .map_err(|error| error.at(looped.span))?;
            }
            Statement::Macro(place) => {
                if let Some(defined) = self.tree.macros.get(*place) {
                    scope.set(&defined.name, self.macro_value(*place, scope));
                }
            }
            Statement::CallBlock(place, call) => {
                let caller = self.macro_value(*place, scope);
                let text = self.call_with(call, Some(caller), scope)?;
                print::print(&text, false, out, &self.budget)
                    .map_err(|error| error.at(call.span))?;
            }
            Statement::FilterBlock(filter, body) => {
                let text = self.captured(body, &Scope::inside(scope))?;
                let text = self.filtered(Some(filter), text, scope)?;
                print::print(&text, false, out, &self.budget)
                    .map_err(|error| error.at(filter.span))?;
            }
            Statement::With(values, body) => {
                let inner = Scope::inside(scope);
                for (target, value) in values {
                    let found = self.value(value, scope)?;
                    self.assign(target, found, &inner)
                        .map_err(|error| error.at(value.span))?;
                }
                return self.body(body, &inner, out);
            }
            Statement::Body(body) => return self.body(body, &Scope::inside(scope), out),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn filtered(&self, filter: Option<&Expr>, text: Value, scope: &Rc<Scope>) -> Result<Value> {
        let Some(filter) = filter else {
            return Ok(text);
        };
        let inner = Scope::inside(scope);
        inner.set(BLOCK_TEXT, text);
        self.value(filter, &inner)
    }

    fn assign(&self, target: &Target, value: Value, scope: &Rc<Scope>) -> Result<()> {
        match target {
            Target::Name(name) => scope.set(name, value),
            Target::Attribute(name, attribute) => match scope.get(name) {
                Some(Value::Namespace(namespace)) => {
                    namespace.borrow_mut().insert_text(attribute, value);
                }
                _ => {
                    return Err(Error::new(format!(
                        "`{name}` is not a namespace, whose attributes alone can be set"
                    )));
                }
            },
            Target::Several(targets) => {
                let values = value.values(&self.budget)?;
                if values.len() != targets.len() {
                    let (found, expected) = (values.len(), targets.len());
                    return Err(Error::new(format!(
                        "expected {expected} values, found {found}"
                    )));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value, scope)?;
                }
            }
        }
        Ok(())
    }

    /// Runs a loop over values.
    pub fn repeat(
        &self,
        place: usize,
        values: &Value,
        depth: usize,
        scope: &Rc<Scope>,
        out: &mut String,
    ) -> Result<()> {
        let Some(looped) = self.tree.loops.get(place) else {
            return Ok(());
        };
        let mut values = values.values(&self.budget)?;
        if let Some(condition) = &looped.condition {
            let mut chosen = Vec::new();
            for value in values {
                let inner = Scope::inside(scope);
                self.assign(&looped.target, value.clone(), &inner)?;
                if self.value(condition, &inner)?.is_true() {
                    chosen.push(value);
                }
            }
            values = chosen;
        }
        if values.is_empty() {
            self.body(&looped.otherwise, &Scope::inside(scope), out)?;
            return Ok(());
        }
        let last = Rc::new(RefCell::new(None));
        let values = Rc::new(values);
        for (at, value) in values.iter().enumerate() {
            self.budget.spend(1)?;
            let inner = Scope::inside(scope);
            let state = Loop {
                values: values.clone(),
                at,
                depth,
                last: last.clone(),
                again: looped.recursive.then(|| (place, scope.clone())),
            };
            inner.set("loop", Value::Loop(Rc::new(state)));
            self.assign(&looped.target, value.clone(), &inner)?;
            if self.body(&looped.body, &inner, out)? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn macro_value(&self, place: usize, scope: &Rc<Scope>) -> Value {
        Value::Callable(Rc::new(Callable::Macro(place, scope.clone())))
    }

    /// The text of a macro.
    pub fn expand(&self, place: usize, around: &Rc<Scope>, arguments: &Args) -> Result<Value> {
        let Some(called) = self.tree.macros.get(place) else {
            return Ok(Value::None);
        };
        let scope = Scope::inside(around);
        let mut positional = arguments.positional.iter();
        let mut named: Vec<&(String, Value)> = arguments.named.iter().collect();
        for (name, default) in &called.parameters {
            let own = named.iter().position(|(other, _)| other == name);
            let value = match (positional.next(), own) {
                (Some(_), Some(_)) => {
                    return Err(Error::new(format!("the argument `{name}` is given twice")));
                }
                (Some(value), None) => value.clone(),
                (None, Some(own)) => named.remove(own).1.clone(),
                (None, None) => match default {
                    Some(default) => self.value(default, &scope)?,
                    None => Value::undefined(format!("the argument `{name}`")),
                },
            };
            scope.set(name, value);
        }
        let [varargs, kwargs, caller] = called.reads;
        let rest: Vec<Value> = positional.cloned().collect();
        if !rest.is_empty() && !varargs {
            let most = called.parameters.len();
            return Err(Error::new(format!(
                "the macro `{}` has {most} parameters",
                called.name
            )));
        }
        if let Some(place) = named
            .iter()
            .position(|(name, _)| name == "caller")
            .filter(|_| caller)
        {
            scope.set("caller", named.remove(place).1.clone());
        } else if caller {
            scope.set("caller", Value::undefined("caller"));
        }
        if let (Some((name, _)), false) = (named.first(), kwargs) {
            return Err(Error::new(format!(
                "the macro `{}` has no parameter `{name}`",
                called.name
            )));
        }
        let mut others = super::value::Dict::default();
        for (name, value) in named {
            others.insert_text(name, value.clone());
        }
        let own = [
            (varargs, Value::tuple(rest)),
            (kwargs, Value::Dict(others.into())),
        ];
        for ((reads, value), name) in own.into_iter().zip(MACRO_NAMES) {
            if reads {
                scope.set(name, value);
            }
        }
        self.captured(&called.body, &scope)
    }
}
