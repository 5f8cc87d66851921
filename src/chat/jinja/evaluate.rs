//! Evaluates expressions.

use std::rc::Rc;

use super::access;
use super::arguments::Args;
use super::ast::{Arguments, Expr, ExprKind};
use super::compare::compare;
use super::fault::{Error, Result};
use super::filters;
use super::functions;
use super::operators::{binary, signed};
use super::print;
use super::run::Run;
use super::value::{Callable, Dict, Scope, Value};

/// The most characters of an expression that is undefined.
const SHOWN: usize = 60;

/// The work of making a list or map, which may be a level of a deep value: so many that no stack overflows when the value
/// is taken apart.
const LEVEL: usize = 4;

impl Run<'_> {
    /// The value of an expression.
    pub fn value(&self, expression: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        self.budget
            .spend(1)
            .and_then(|()| self.inner(expression, scope))
            .map_err(|error| error.at(expression.span))
    }

    fn values(&self, expressions: &[Expr], scope: &Rc<Scope>) -> Result<Vec<Value>> {
        self.budget.spend(expressions.len())?;
        expressions
            .iter()
            .map(|expression| self.value(expression, scope))
            .collect()
    }

    /// What stands where an expression has no value.
    fn nothing(&self, expression: &Expr) -> Value {
        let text = self
            .source
            .get(expression.span.start..expression.span.end)
            .unwrap_or("");
        let words: Vec<&str> = text.split_whitespace().collect();
        let text = words.join(" ");
        let shown: String = text.chars().take(SHOWN).collect();
        let more = if shown.len() < text.len() { "…" } else { "" };
        Value::undefined(format!("`{shown}{more}`"))
    }

    fn inner(&self, expression: &Expr, scope: &Rc<Scope>) -> Result<Value> {
        let budget = &self.budget;
        Ok(match &expression.kind {
            ExprKind::None => Value::None,
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Integer(value) => Value::Int(*value),
            ExprKind::Float(value) => Value::Float(*value),
            ExprKind::Text(text) => {
                budget.spend_bytes(text.len())?;
                Value::text(text.as_str())
            }
            ExprKind::Name(name) => {
                let found = scope.get(name).or_else(|| functions::named(name));
                found.unwrap_or_else(|| self.nothing(expression))
            }
            ExprKind::List(values) => {
                budget.spend(LEVEL)?;
                Value::list(self.values(values, scope)?)
            }
            ExprKind::Tuple(values) => {
                budget.spend(LEVEL)?;
                Value::tuple(self.values(values, scope)?)
            }
            ExprKind::Dict(entries) => {
                budget.spend(LEVEL)?;
                let mut dict = Dict::default();
                for (key, value) in entries {
                    budget.spend(1)?;
                    let (key, value) = (self.value(key, scope)?, self.value(value, scope)?);
                    dict.insert(key, value)?;
                }
                Value::Dict(Rc::new(dict))
            }
            ExprKind::Unary("not", value) => Value::Bool(!self.value(value, scope)?.is_true()),
            ExprKind::Unary(sign, value) => signed(sign, &self.value(value, scope)?)?,
            ExprKind::Binary(operator, left, right) => {
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                binary(operator, &left, &right, budget)?
            }
            ExprKind::Compare(first, others) => {
                let mut left = self.value(first, scope)?;
                for (operator, right) in others {
                    let right = self.value(right, scope)?;
                    if !compare(operator, &left, &right, budget)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            ExprKind::And(left, right) => {
                let left = self.value(left, scope)?;
                if left.is_true() {
                    self.value(right, scope)?
                } else {
                    left
                }
            }
            ExprKind::Or(left, right) => {
                let left = self.value(left, scope)?;
                if left.is_true() {
                    left
                } else {
                    self.value(right, scope)?
                }
            }
            ExprKind::Concat(parts) => {
                let mut text = String::new();
                for part in parts {
                    print::print(&self.value(part, scope)?, false, &mut text, budget)?;
                }
                Value::text(text)
            }
            ExprKind::If(both, otherwise) => {
                let [condition, value] = both.as_ref();
                if self.value(condition, scope)?.is_true() {
                    self.value(value, scope)?
                } else {
                    match otherwise {
                        Some(otherwise) => self.value(otherwise, scope)?,
                        None => self.nothing(expression),
                    }
                }
            }
            ExprKind::Attribute(value, name) => {
                let value = self.value(value, scope)?;
                access::attribute(&value, name)?.unwrap_or_else(|| self.nothing(expression))
            }
            ExprKind::Item(value, index) => {
                let value = self.value(value, scope)?;
                if let ExprKind::Slice(parts) = &index.kind {
                    let part = |part: &Option<Box<Expr>>| match part {
                        Some(part) => self.value(part, scope),
                        None => Ok(Value::None),
                    };
                    let parts = [part(&parts[0])?, part(&parts[1])?, part(&parts[2])?];
                    return access::slice(&value, parts, budget);
                }
                let index = self.value(index, scope)?;
                access::item(&value, &index, budget)?.unwrap_or_else(|| self.nothing(expression))
            }
            ExprKind::Slice(_) => return Err(Error::new("a slice stands alone between brackets")),
            ExprKind::Call(..) => self.call_with(expression, None, scope)?,
            ExprKind::Filter(value, name, arguments) => {
                let value = self.value(value, scope)?;
                let arguments = self.arguments(arguments, scope)?;
                budget.spend(LEVEL)?;
                filters::apply(name, &value, &arguments, budget)?
            }
            ExprKind::Test(value, name, arguments, negated) => {
                let value = self.value(value, scope)?;
                let arguments = self.arguments(arguments, scope)?;
                Value::Bool(filters::holds(name, &value, &arguments, budget)? != *negated)
            }
        })
    }

    fn arguments(&self, arguments: &Arguments, scope: &Rc<Scope>) -> Result<Args> {
        let mut found = Args::of(self.values(&arguments.positional, scope)?);
        if let Some(rest) = &arguments.rest {
            let rest = self.value(rest, scope)?;
            found.positional.extend(rest.values(&self.budget)?);
        }
        for (name, value) in &arguments.named {
            found.named.push((name.clone(), self.value(value, scope)?));
        }
        if let Some(rest) = &arguments.named_rest {
            match self.value(rest, scope)? {
                Value::Dict(dict) => {
                    for (key, value) in &dict.entries {
                        let name = super::arguments::text(key)?;
                        found.named.push((name.to_string(), value.clone()));
                    }
                }
                other => return Err(super::arguments::wrong("a map after `**`", &other)),
            }
        }
        Ok(found)
    }

    /// What a call gives; `caller` is the body of a block that calls.
    pub fn call_with(
        &self,
        call: &Expr,
        caller: Option<Value>,
        scope: &Rc<Scope>,
    ) -> Result<Value> {
        let ExprKind::Call(called, arguments) = &call.kind else {
            return Err(Error::new("expected a call").at(call.span));
        };
        self.budget.spend(LEVEL)?;
        let called = self.value(called, scope)?;
        let mut arguments = self.arguments(arguments, scope)?;
        arguments
            .named
            .extend(caller.map(|caller| ("caller".to_string(), caller)));
        self.call(&called, &arguments)
            .map_err(|error| error.at(call.span))
    }

    fn call(&self, called: &Value, arguments: &Args) -> Result<Value> {
        match called.defined()? {
            Value::Callable(callable) => match callable.as_ref() {
                Callable::Function(name) => {
                    functions::call(name, arguments, self.now, &self.budget)
                }
                Callable::Method(value, name) => {
                    super::methods::call(value, name, arguments, &self.budget)
                }
                Callable::Macro(place, around) => self.expand(*place, around, arguments),
                Callable::Joiner(text, called) => {
                    arguments.none()?;
                    match called.replace(true) {
                        true => Ok(text.clone()),
                        false => Ok(Value::text("")),
                    }
                }
            },
            Value::Loop(state) => match &state.again {
                Some((place, around)) => {
                    let mut text = String::new();
                    let values = arguments.one()?;
                    self.repeat(*place, &values, state.depth + 1, around, &mut text)?;
                    Ok(Value::text(text))
                }
                None => Err(Error::new("the loop is not recursive")),
            },
            other => Err(Error::new(format!(
                "a value of type {} can't be called",
                other.kind()
            ))),
        }
    }
}
