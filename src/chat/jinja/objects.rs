//! Python objects for which the engine has no equivalent: `range`, the views of maps, iterators, and templates.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

/// Python's `range`.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub start: i128,
    pub stop: i128,
    pub step: i128,
}

impl Range {
    /// How many numbers the range has.
    pub fn length(self) -> usize {
        let span = match self.step > 0 {
            true => self.stop.saturating_sub(self.start),
            false => self.start.saturating_sub(self.stop),
        };
        let step = self.step.unsigned_abs().max(1);
        usize::try_from((span.max(0) as u128).div_ceil(step)).unwrap_or(usize::MAX)
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let index = key.as_usize().filter(|index| *index < self.length())?;
        i64::try_from(self.start + self.step * index as i128)
            .ok()
            .map(Value::from)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.length())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "range({}, {}", self.start, self.stop)?;
        match self.step {
            1 => write!(f, ")"),
            step => write!(f, ", {step})"),
        }
    }
}

/// The keys, values or entries of a map, or the values of an iterator.
#[derive(Debug)]
pub struct View {
    /// Python's name for it.
    pub name: &'static str,
    pub values: Vec<Value>,
}

impl View {
    /// Whether it has a length.
    pub fn is_sized(&self) -> bool {
        self.name != "iterator"
    }
}

/// An iterator over these values.
pub fn iterator(values: Vec<Value>) -> Value {
    let name = "iterator";
    Value::from_object(View { name, values })
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    /// A view has no attributes and no places.
    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::UNDEFINED)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.values.clone())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.is_sized() || !self.values.is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, Value::from(self.values.clone()))
    }
}

/// Jinja's `self`: the template, of which nothing but its being there is known.
#[derive(Debug)]
pub struct Template;

impl Object for Template {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}
