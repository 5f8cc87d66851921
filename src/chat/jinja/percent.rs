//! Python's `format % value`.

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, State, filters};

use super::fields::of_percent;
use super::values::{Kind, entries, kind, unlike, values, wrong};

/// The format with a value, or with the values of a tuple or map.
pub fn percent(format: &str, operand: &Value, state: &mut State) -> Result<Value, Error> {
    let mut given = vec![Value::from(format)];
    match kind(operand) {
        Kind::Tuple => given.extend(values(operand, state)?),
        Kind::Namespace if format.contains("%(") => return Err(unlike("a map", operand)),
        Kind::Dict if format.contains("%(") => {
            let mut named = Vec::new();
            for entry in entries(operand, state)? {
                let key = entry.get_item_by_index(0)?;
                if let Some(key) = key.as_str() {
                    named.push((key.to_string(), entry.get_item_by_index(1)?));
                }
            }
            given.push(named.into_iter().collect::<Kwargs>().into());
        }
        _ => given.push(operand.clone()),
    }
    let has_names = format.contains("%(");
    // What has items may go without a field, except for tuples.
    match (kind(operand), check_fields(format, given.len() - 1)) {
        (_, Ok(())) => {}
        (Kind::List | Kind::Dict | Kind::Range | Kind::Undefined, _) => given.truncate(1),
        (_, Err(error)) => return Err(error),
    }
    if let (Some((own, values)), false) = (given.split_first_mut(), has_names) {
        *own = Value::from(of_percent(format, values, state)?);
    }
    Value::from_function(filters::format).call(state, &given)
}

/// Fails if there are more values than fields.
pub fn check_fields(format: &str, given: usize) -> Result<(), Error> {
    let fields = format.replace("%%", "").matches(['%', '*']).count();
    match given > fields {
        true => Err(wrong("the format has fewer fields than there are values")),
        false => Ok(()),
    }
}
