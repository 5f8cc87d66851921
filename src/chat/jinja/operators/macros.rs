//! Macros that accept arguments for which they have no names: `varargs` and `kwargs`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Kwargs, Object, Tuple, Value};
use minijinja::{Error, State};

use crate::chat::jinja::arguments::Args;

/// The names of the parameters that contain the other arguments.
const OTHERS: [&str; 2] = ["kwargs", "varargs"];

/// A macro of the engine that has parameters for the other arguments.
#[derive(Debug)]
struct WithOthers {
    engines: Value,
    /// Its parameters, without those for the other arguments.
    names: Vec<String>,
    /// Its parameters for the other arguments.
    others: Vec<String>,
}

/// The macro that accepts other arguments, made from the macro of the engine.
pub fn with_others(engines: Value) -> Result<Value, Error> {
    let mut names = Vec::new();
    for name in engines.get_attr("arguments")?.try_iter()? {
        names.push(name.to_string());
    }
    let is_other = |name: &String| OTHERS.contains(&name.as_str());
    let (others, names) = names.into_iter().partition(is_other);
    Ok(Value::from_object(WithOthers {
        engines,
        names,
        others,
    }))
}

impl Object for WithOthers {
    fn repr(self: &Arc<Self>) -> minijinja::value::ObjectRepr {
        minijinja::value::ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some("arguments") => Some(self.names.iter().map(String::as_str).collect()),
            _ => self.engines.get_item(key).ok(),
        }
    }

    fn call(self: &Arc<Self>, state: &mut State, values: &[Value]) -> Result<Value, Error> {
        let mut arguments = Args::new(values)?;
        let has = |name: &str| self.others.iter().any(|other| other == name);
        if has("varargs") {
            let named = self.names.len().min(arguments.positional.len());
            let others = arguments.positional.split_off(named);
            let others = Value::from(Tuple::from(others));
            arguments.named.push(("varargs".to_string(), others));
        }
        if has("kwargs") {
            let is_named = |(name, _): &(String, Value)| {
                let known = ["caller", "varargs"].contains(&name.as_str());
                known || self.names.contains(name)
            };
            let (named, others): (Vec<_>, Vec<_>) = arguments.named.into_iter().partition(is_named);
            let others = Value::from_pairs(others);
            arguments.named = named;
            arguments.named.push(("kwargs".to_string(), others));
        }
        let named: Kwargs = arguments.named.into_iter().collect();
        arguments.positional.push(named.into());
        self.engines.call(state, &arguments.positional)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.engines)
    }
}
