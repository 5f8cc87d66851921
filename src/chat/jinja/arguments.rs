//! The arguments of a call, bound to names as Python binds them.

use super::fault::{Error, Result};
use super::value::Value;

/// Values in order, and values by name.
#[derive(Clone, Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Args {
    /// Arguments without names.
    pub fn of(positional: Vec<Value>) -> Args {
        Args {
            positional,
            named: Vec::new(),
        }
    }

    /// The values of these parameters, of which the first `needed` must be there.
    pub fn bind<const N: usize>(
        &self,
        names: [&str; N],
        needed: usize,
    ) -> Result<[Option<Value>; N]> {
        if self.positional.len() > N {
            let given = self.positional.len();
            return Err(Error::new(format!(
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
                Some(_) => return Err(Error::new(format!("the argument `{name}` is given twice"))),
                None => return Err(Error::new(format!("there is no argument `{name}`"))),
            }
        }
        match bound
            .iter()
            .zip(names)
            .take(needed)
            .find(|(value, _)| value.is_none())
        {
            Some((_, name)) => Err(Error::new(format!("the argument `{name}` is missing"))),
            None => Ok(bound),
        }
    }

    /// No arguments at all.
    pub fn none(&self) -> Result<()> {
        self.bind([], 0).map(|[]| ())
    }

    /// One argument without a name.
    pub fn one(&self) -> Result<Value> {
        let [value] = self.only([""], 1)?;
        Ok(value.unwrap_or(Value::None))
    }

    /// The values of parameters that have no names.
    pub fn only<const N: usize>(
        &self,
        names: [&str; N],
        needed: usize,
    ) -> Result<[Option<Value>; N]> {
        match self.named.first() {
            Some((name, _)) => Err(Error::new(format!("there is no argument `{name}`"))),
            None => self.bind(names, needed),
        }
    }
}

/// A whole number, if one is given.
pub fn int(value: Option<&Value>, default: i128) -> Result<i128> {
    match value {
        None => Ok(default),
        Some(value) => value.as_int().ok_or_else(|| wrong("a whole number", value)),
    }
}

/// A text.
pub fn text(value: &Value) -> Result<&str> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(wrong("a text", value)),
    }
}

/// What is told of an argument of another type.
pub fn wrong(expected: &str, value: &Value) -> Error {
    match value {
        Value::Undefined(name) => {
            Error::new(format!("expected {expected}, but {name} is undefined"))
        }
        _ => Error::new(format!(
            "expected {expected}, found a value of type {}",
            value.kind()
        )),
    }
}
