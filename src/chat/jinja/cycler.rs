//! Jinja's `cycler`: values one after the other, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};

use super::arguments::Args;
use super::values::wrong;

/// The values, and the place of the current one.
#[derive(Debug)]
struct Cycler {
    values: Vec<Value>,
    place: AtomicUsize,
}

/// A cycler over the values.
pub fn cycler(arguments: &Args, _: &State) -> Result<Value, Error> {
    if arguments.positional.is_empty() || !arguments.named.is_empty() {
        return Err(wrong("a cycler needs at least one value"));
    }
    Ok(Value::from_object(Cycler {
        values: arguments.positional.clone(),
        place: AtomicUsize::new(0),
    }))
}

impl Cycler {
    fn current(&self) -> Value {
        let value = self.values.get(self.place.load(Ordering::Relaxed));
        value.cloned().unwrap_or_default()
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some("current") => Some(self.current()),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        Args::new(arguments)?.none()?;
        match method {
            "next" => {
                let value = self.current();
                let next = (self.place.load(Ordering::Relaxed) + 1) % self.values.len().max(1);
                self.place.store(next, Ordering::Relaxed);
                Ok(value)
            }
            "reset" => {
                self.place.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
