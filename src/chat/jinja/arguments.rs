//! The arguments of a call, bound to names as Python binds them.

use minijinja::Error;
use minijinja::value::{Kwargs, Value};

use super::values::{self, Kind, kind, unlike, wrong};

/// Values in order, and values by name.
#[derive(Clone, Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Args {
    /// The arguments of a call as the engine passes them: the last value contains the arguments with names.
    pub fn new(values: &[Value]) -> Result<Args, Error> {
        let (positional, last) = match values.split_last() {
            Some((last, others)) if last.is_kwargs() => (others, Some(last)),
            _ => (values, None),
        };
        let mut named = Vec::new();
        if let Some(last) = last {
            let last = Kwargs::try_from(last.clone())?;
            for name in last.args() {
                named.push((name.to_string(), last.peek(name)?));
            }
        }
        let positional = positional.to_vec();
        Ok(Args { positional, named })
    }

    /// The values that the engine's own filters expect: the value, then the arguments.
    pub fn with(&self, value: Value) -> Vec<Value> {
        let mut values = vec![value];
        values.extend(self.positional.iter().cloned());
        if !self.named.is_empty() {
            let named: Kwargs = self.named.iter().cloned().collect();
            values.push(named.into());
        }
        values
    }

    /// The values of these parameters; the first `needed` of them must be present.
    pub fn bind<const N: usize>(
        &self,
        names: [&str; N],
        needed: usize,
    ) -> Result<[Option<Value>; N], Error> {
        if self.positional.len() > N {
            let given = self.positional.len();
            return Err(wrong(format!(
                "expected at most {N} arguments, found {given}"
            )));
        }
        let mut bound = [const { None }; N];
        for (place, value) in bound.iter_mut().zip(&self.positional) {
            *place = Some(value.clone());
        }
        for (name, value) in &self.named {
            let place = names.iter().position(|other| other == name);
            match place.and_then(|place| bound.get_mut(place)) {
                Some(place) if place.is_none() => *place = Some(value.clone()),
                Some(_) => return Err(wrong(format!("the argument `{name}` is given twice"))),
                None => return Err(wrong(format!("there is no argument `{name}`"))),
            }
        }
        match bound
            .iter()
            .zip(names)
            .take(needed)
            .find(|(value, _)| value.is_none())
        {
            Some((_, name)) => Err(wrong(format!("the argument `{name}` is missing"))),
            None => Ok(bound),
        }
    }

    /// Checks that there are no arguments.
    pub fn none(&self) -> Result<(), Error> {
        self.bind([], 0).map(|[]| ())
    }

    /// One argument without a name.
    pub fn one(&self) -> Result<Value, Error> {
        let [value] = self.only(["value"], 1)?;
        Ok(value.unwrap_or_default())
    }

    /// The values of parameters that have no names.
    pub fn only<const N: usize>(
        &self,
        names: [&str; N],
        needed: usize,
    ) -> Result<[Option<Value>; N], Error> {
        match self.named.first() {
            Some((name, _)) => Err(wrong(format!("there is no argument `{name}`"))),
            None => self.bind(names, needed),
        }
    }
}

/// A whole number, if one is given.
pub fn int(value: Option<&Value>, default: i128) -> Result<i128, Error> {
    match value {
        None => Ok(default),
        Some(value) => values::whole(value).ok_or_else(|| unlike("a whole number", value)),
    }
}

/// A text.
pub fn text(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| unlike("a text", value))
}

/// Whether an argument is given and true.
pub fn flag(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_true)
}

/// The part of a value that a path leads to: `a.b.0`.
pub fn part(value: &Value, path: Option<&Value>) -> Result<Value, Error> {
    let mut found = value.clone();
    match path {
        None => {}
        Some(path) if kind(path) == Kind::None => {}
        Some(path) => match path.as_str() {
            None => found = found.get_item(path)?,
            Some(path) => {
                for step in path.split('.') {
                    found = match step.parse::<usize>() {
                        Ok(index) => found.get_item(&Value::from(index))?,
                        Err(_) => found.get_item(&Value::from(step))?,
                    };
                }
            }
        },
    }
    Ok(found)
}
