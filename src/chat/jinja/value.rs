//! The values of templates: Python's, as far as a template can make them. Lists, tuples and maps never change. And the
//! variables that have them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::fault::{Budget, Error, Result};

/// A value.
#[derive(Clone)]
pub enum Value {
    /// What has no value, and what it is called.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Rc<str>),
    /// Text that is marked as safe HTML. It can be printed and joined, and little else.
    Markup(Rc<str>),
    List(Rc<Vec<Value>>),
    Tuple(Rc<Vec<Value>>),
    /// A pair of `groupby`: what a group has in common, and its values.
    Group(Rc<[Value; 2]>),
    Dict(Rc<Dict>),
    /// The keys, values or entries of a map.
    View(View, Rc<Dict>),
    Range(Range),
    /// What can be gone through once.
    Iterator(Rc<RefCell<std::vec::IntoIter<Value>>>),
    Namespace(Rc<RefCell<Dict>>),
    Loop(Rc<Loop>),
    /// What gives its values in turn, again and again.
    Cycler(Rc<Cycler>),
    Callable(Rc<Callable>),
}

/// What of a map is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Keys,
    Values,
    Items,
}

/// Python's `range`.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub start: i128,
    pub stop: i128,
    pub step: i128,
}

/// The values of `cycler`.
pub struct Cycler {
    pub values: Vec<Value>,
    pub at: Cell<usize>,
}

/// What a loop knows of itself.
pub struct Loop {
    pub values: Rc<Vec<Value>>,
    pub at: usize,
    pub depth: usize,
    /// The last values that `changed` was asked about, for all turns of the loop.
    pub last: Rc<RefCell<Option<Vec<Value>>>>,
    /// The place of a recursive loop in the template, and where it stands.
    pub again: Option<(usize, Rc<Scope>)>,
}

/// What can be called.
pub enum Callable {
    /// A function by its name.
    Function(&'static str),
    /// A method of a value, by its name.
    Method(Value, &'static str),
    /// A macro by its place in the template, and the scope that it was defined in.
    Macro(usize, Rc<Scope>),
    /// `joiner`: its text, and whether it was called before.
    Joiner(Value, Cell<bool>),
}

impl Value {
    pub fn text(text: impl Into<Rc<str>>) -> Value {
        Value::Text(text.into())
    }

    pub fn list(values: Vec<Value>) -> Value {
        Value::List(Rc::new(values))
    }

    pub fn tuple(values: Vec<Value>) -> Value {
        Value::Tuple(Rc::new(values))
    }

    pub fn iterator(values: Vec<Value>) -> Value {
        Value::Iterator(Rc::new(RefCell::new(values.into_iter())))
    }

    pub fn function(name: &'static str) -> Value {
        Value::Callable(Rc::new(Callable::Function(name)))
    }

    pub fn undefined(name: impl Into<Rc<str>>) -> Value {
        Value::Undefined(name.into())
    }

    /// The value of JSON.
    pub fn from_json(json: &serde_json::Value) -> Value {
        use serde_json::Value as Json;
        match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i128() {
                Some(value) => Value::Int(value),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::text(text.as_str()),
            Json::Array(values) => Value::list(values.iter().map(Value::from_json).collect()),
            Json::Object(entries) => {
                let mut dict = Dict::default();
                for (key, value) in entries {
                    dict.insert_text(key, Value::from_json(value));
                }
                Value::Dict(Rc::new(dict))
            }
        }
    }

    /// What messages call a value of this kind: Python's name for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "undefined",
            Value::None => "None",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Text(_) => "str",
            Value::Markup(_) => "markup",
            Value::List(_) => "list",
            Value::Tuple(_) | Value::Group(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::View(View::Keys, _) => "dict_keys",
            Value::View(View::Values, _) => "dict_values",
            Value::View(View::Items, _) => "dict_items",
            Value::Range(_) => "range",
            Value::Iterator(_) => "iterator",
            Value::Namespace(_) => "namespace",
            Value::Loop(_) => "loop",
            Value::Cycler(_) => "cycler",
            Value::Callable(_) => "function",
        }
    }

    /// The text of a text, marked or not.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) | Value::Markup(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, as which `True` and `False` count too.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Bool(value) => Some(i128::from(*value)),
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Any number.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(value) => Some(*value),
            other => other.as_int().map(|value| value as f64),
        }
    }

    /// Fails for what has no value.
    pub fn defined(&self) -> Result<&Value> {
        match self {
            Value::Undefined(name) => Err(Error::new(format!("{name} is undefined"))),
            _ => Ok(self),
        }
    }

    /// Whether conditions hold for the value.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(value) => *value,
            Value::Float(value) => *value != 0.0,
            Value::Int(value) => *value != 0,
            _ => self.length().is_none_or(|length| length > 0),
        }
    }

    /// Python's `len`, of what has one.
    pub fn length(&self) -> Option<usize> {
        match self {
            Value::Undefined(_) => Some(0),
            Value::Text(text) | Value::Markup(text) => Some(text.chars().count()),
            Value::List(values) | Value::Tuple(values) => Some(values.len()),
            Value::Dict(dict) | Value::View(_, dict) => Some(dict.entries.len()),
            Value::Group(_) => Some(2),
            Value::Range(range) => Some(range.length()),
            Value::Loop(state) => Some(state.values.len()),
            _ => None,
        }
    }

    /// All values of what can be gone through. Iterators are empty afterwards.
    pub fn values(&self, budget: &Budget) -> Result<Vec<Value>> {
        Ok(match self {
            Value::Undefined(_) => Vec::new(),
            Value::Text(text) | Value::Markup(text) => {
                budget.spend(text.len())?;
                let mut bytes = [0; 4];
                text.chars()
                    .map(|c| Value::text(&*c.encode_utf8(&mut bytes)))
                    .collect()
            }
            Value::List(values) | Value::Tuple(values) => {
                budget.spend(values.len())?;
                values.to_vec()
            }
            Value::Group(pair) => pair.to_vec(),
            Value::Dict(dict) => dict.view(View::Keys, budget)?,
            Value::View(view, dict) => dict.view(*view, budget)?,
            Value::Range(range) => {
                budget.spend(range.length())?;
                (0..range.length())
                    .map(|index| Value::Int(range.at(index)))
                    .collect()
            }
            Value::Iterator(values) => {
                let mut values = values.borrow_mut();
                budget.spend(values.len())?;
                values.by_ref().collect()
            }
            Value::Loop(state) => {
                budget.spend(state.values.len())?;
                let later = state.values.iter().skip(state.at + 1);
                later.cloned().collect()
            }
            _ => {
                return Err(Error::new(format!(
                    "a value of type {} can't be iterated over",
                    self.kind()
                )));
            }
        })
    }

    /// Whether the value can be gone through.
    pub fn is_iterable(&self) -> bool {
        use Value::{
            Dict, Group, Iterator, List, Loop, Markup, Range, Text, Tuple, Undefined, View,
        };
        matches!(
            self,
            Undefined(_)
                | Text(_)
                | Markup(_)
                | List(_)
                | Tuple(_)
                | Group(_)
                | Dict(_)
                | View(..)
                | Range(_)
                | Iterator(_)
                | Loop(_)
        )
    }

    pub fn is_callable(&self) -> bool {
        matches!(
            self,
            Value::Callable(_) | Value::Loop(_) | Value::Undefined(_)
        )
    }
}

impl Range {
    pub fn length(self) -> usize {
        let span = match self.step > 0 {
            true => self.stop.saturating_sub(self.start),
            false => self.start.saturating_sub(self.stop),
        };
        let step = self.step.unsigned_abs().max(1);
        usize::try_from((span.max(0) as u128).div_ceil(step)).unwrap_or(usize::MAX)
    }

    pub fn at(self, index: usize) -> i128 {
        self.start + self.step * index as i128
    }
}

/// A map that keeps the order in which its keys came.
#[derive(Clone, Default)]
pub struct Dict {
    pub entries: Vec<(Value, Value)>,
    places: HashMap<Key, usize>,
}

/// What makes keys the same.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Undefined,
    None,
    Int(i128),
    Float(u64),
    Text(Rc<str>),
    Tuple(Vec<Key>),
    Object(usize),
}

impl Key {
    fn of(value: &Value) -> Result<Key> {
        Ok(match value {
            Value::Undefined(_) => Key::Undefined,
            Value::None => Key::None,
            Value::Bool(value) => Key::Int(i128::from(*value)),
            Value::Int(value) => Key::Int(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 1e37 => {
                Key::Int(*value as i128)
            }
            Value::Float(value) => Key::Float(value.to_bits()),
            Value::Text(text) | Value::Markup(text) => Key::Text(text.clone()),
            Value::Tuple(values) => Key::Tuple(values.iter().map(Key::of).collect::<Result<_>>()?),
            Value::Range(range) => Key::Tuple(vec![
                Key::Int(range.start),
                Key::Int(range.stop),
                Key::Int(range.step),
            ]),
            Value::Iterator(values) => Key::Object(Rc::as_ptr(values) as usize),
            Value::Loop(state) => Key::Object(Rc::as_ptr(state) as usize),
            Value::Cycler(cycler) => Key::Object(Rc::as_ptr(cycler) as usize),
            Value::Namespace(namespace) => Key::Object(Rc::as_ptr(namespace) as usize),
            Value::Callable(callable) => Key::Object(Rc::as_ptr(callable) as usize),
            Value::View(..) | Value::List(_) | Value::Group(_) | Value::Dict(_) => {
                return Err(Error::new(format!(
                    "a value of type {} can't be a key",
                    value.kind()
                )));
            }
        })
    }
}

impl Dict {
    /// Sets a key's value. A key that is there keeps its place.
    pub fn insert(&mut self, key: Value, value: Value) -> Result<()> {
        let found = Key::of(&key)?;
        match self
            .places
            .get(&found)
            .and_then(|place| self.entries.get_mut(*place))
        {
            Some(entry) => entry.1 = value,
            None => {
                self.places.insert(found, self.entries.len());
                self.entries.push((key, value));
            }
        }
        Ok(())
    }

    pub fn insert_text(&mut self, key: &str, value: Value) {
        // A text can always be a key.
        let _ = self.insert(Value::text(key), value);
    }

    pub fn get(&self, key: &Value) -> Result<Option<&Value>> {
        let place = self.places.get(&Key::of(key)?);
        Ok(place.and_then(|place| Some(&self.entries.get(*place)?.1)))
    }

    pub fn get_text(&self, key: &str) -> Option<&Value> {
        let place = self.places.get(&Key::Text(key.into()))?;
        Some(&self.entries.get(*place)?.1)
    }

    /// What is seen of it.
    pub fn view(&self, view: View, budget: &Budget) -> Result<Vec<Value>> {
        budget.spend(self.entries.len())?;
        let entries = self.entries.iter();
        Ok(match view {
            View::Keys => entries.map(|(key, _)| key.clone()).collect(),
            View::Values => entries.map(|(_, value)| value.clone()).collect(),
            View::Items => entries
                .map(|(key, value)| Value::tuple(vec![key.clone(), value.clone()]))
                .collect(),
        })
    }
}

/// Different values, in the order in which they came.
pub struct Seen {
    keys: std::collections::HashSet<Key>,
}

impl Seen {
    pub fn new() -> Seen {
        Seen {
            keys: Default::default(),
        }
    }

    /// Whether the value is new.
    pub fn add(&mut self, value: &Value) -> Result<bool> {
        Ok(self.keys.insert(Key::of(value)?))
    }
}

/// The variables of a part of a template. Loops, macros and blocks see those around them, and set their own.
#[derive(Default)]
pub struct Scope {
    variables: RefCell<HashMap<String, Value>>,
    around: Option<Rc<Scope>>,
}

impl Scope {
    /// A scope inside another.
    pub fn inside(around: &Rc<Scope>) -> Rc<Scope> {
        Rc::new(Scope {
            variables: RefCell::default(),
            around: Some(around.clone()),
        })
    }

    pub fn set(&self, name: &str, value: Value) {
        self.variables.borrow_mut().insert(name.to_string(), value);
    }

    pub fn get(&self, name: &str) -> Option<Value> {
        let mut scope = self;
        loop {
            if let Some(value) = scope.variables.borrow().get(name) {
                return Some(value.clone());
            }
            scope = scope.around.as_deref()?;
        }
    }
}
