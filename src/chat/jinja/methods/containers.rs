//! The methods of lists, tuples, maps, loops and cyclers.

use std::rc::Rc;

use crate::chat::jinja::arguments::{Args, int};
use crate::chat::jinja::compare::equal;
use crate::chat::jinja::fault::{Budget, Error, Result};
use crate::chat::jinja::value::{Cycler, Dict, Loop, Value, View};

pub fn of_dict(dict: &Rc<Dict>, name: &str, arguments: &Args) -> Result<Option<Value>> {
    let view = match name {
        "keys" => View::Keys,
        "values" => View::Values,
        "items" => View::Items,
        "copy" => {
            arguments.none()?;
            return Ok(Some(Value::Dict(dict.clone())));
        }
        "get" => {
            let [key, default] = arguments.only(["key", "default"], 1)?;
            let found = dict.get(&key.unwrap_or(Value::None))?.cloned();
            return Ok(Some(found.or(default).unwrap_or(Value::None)));
        }
        _ => return Ok(None),
    };
    arguments.none()?;
    Ok(Some(Value::View(view, dict.clone())))
}

pub fn of_values(
    value: &Value,
    values: &[Value],
    name: &str,
    arguments: &Args,
    budget: &Budget,
) -> Result<Option<Value>> {
    match name {
        "copy" => {
            arguments.none()?;
            Ok(Some(value.clone()))
        }
        "count" => {
            let wanted = arguments.one()?;
            let mut count = 0;
            for value in values {
                count += i128::from(equal(value, &wanted, budget)?);
            }
            Ok(Some(Value::Int(count)))
        }
        "index" => {
            let [wanted, start, stop] = arguments.only(["value", "start", "stop"], 1)?;
            let wanted = wanted.unwrap_or(Value::None);
            let length = values.len() as i128;
            let bound = |place: i128| {
                if place < 0 {
                    (place + length).max(0)
                } else {
                    place
                }
            };
            let (start, stop) = (
                bound(int(start.as_ref(), 0)?),
                bound(int(stop.as_ref(), length)?),
            );
            for (index, value) in values.iter().enumerate() {
                let index = index as i128;
                if (start..stop).contains(&index) && equal(value, &wanted, budget)? {
                    return Ok(Some(Value::Int(index)));
                }
            }
            Err(Error::new("the value is not in the list"))
        }
        _ => Ok(None),
    }
}

pub fn of_loop(
    state: &Loop,
    name: &str,
    arguments: &Args,
    budget: &Budget,
) -> Result<Option<Value>> {
    let values = &arguments.positional;
    match name {
        "cycle" => match state.at.checked_rem(values.len()) {
            Some(at) => Ok(values.get(at).cloned()),
            None => Err(Error::new("no values to cycle through")),
        },
        _ => {
            let mut last = state.last.borrow_mut();
            let now = Value::tuple(values.clone());
            let changed = match &*last {
                Some(last) => !equal(&Value::tuple(last.clone()), &now, budget)?,
                None => true,
            };
            *last = Some(values.clone());
            Ok(Some(Value::Bool(changed)))
        }
    }
}

pub fn of_cycler(cycler: &Cycler, name: &str, arguments: &Args) -> Result<Option<Value>> {
    arguments.none()?;
    let at = cycler.at.get();
    if name == "reset" {
        cycler.at.set(0);
        return Ok(Some(Value::None));
    }
    cycler.at.set((at + 1) % cycler.values.len().max(1));
    Ok(cycler.values.get(at).cloned())
}
