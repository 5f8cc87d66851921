//! Values of parameters, attributes and expressions.

use std::collections::BTreeMap;
use std::fmt;

/// The value of a parameter, an attribute or an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `none`: an attribute that stays absent, or JSON's null inside a list; elsewhere a null counts as absent.
    Null,
    /// A whole number, written without a point or an exponent.
    Int(i64),
    /// A number written with a point or an exponent; finite.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Str(String),
    /// Values in order.
    List(Vec<Value>),
    /// Named values.
    Record(BTreeMap<String, Value>),
}

/// How many scalars a list made from expressions may contain, counting those in nested lists.
pub(super) const LARGEST_LIST: usize = 1 << 16;
/// How deep a list made from expressions may be nested, counting the levels that it takes from a configuration file.
const DEEPEST_LIST: usize = 160;

impl Value {
    /// What the value is, for messages: "an integer", "a list", …
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "none",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a boolean",
            Value::Str(_) => "a string",
            Value::List(_) => "a list",
            Value::Record(_) => "a record",
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer or float as a float, if it is a number.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(value) => Some(value),
            _ => None,
        }
    }

    /// A list, unless it contains so many scalars that only a file made to exhaust memory could ask for it.
    pub fn list(items: Vec<Value>) -> Result<Value, String> {
        let list = Value::List(items);
        let (size, depth) = list.measure();
        if size > LARGEST_LIST {
            return Err(format!(
                "a list of {size} values; at most {LARGEST_LIST} are allowed"
            ));
        }
        if depth > DEEPEST_LIST {
            return Err(format!("lists nested more than {DEEPEST_LIST} deep"));
        }
        Ok(list)
    }

    /// How many scalars the value contains (a string counts as one for each 32 bytes or part of them, a container as one for
    /// itself), and how deep its containers are nested.
    pub fn measure(&self) -> (usize, usize) {
        fn sum<'a>(values: impl Iterator<Item = &'a Value>) -> (usize, usize) {
            let mut total = (1, 0);
            for (size, depth) in values.map(Value::measure) {
                total = (size.saturating_add(total.0), depth.max(total.1));
            }
            (total.0, total.1 + 1)
        }
        match self {
            Value::List(items) => sum(items.iter()),
            Value::Record(fields) => sum(fields.values()),
            Value::Str(text) => (1 + text.len() / 32, 0),
            _ => (1, 0),
        }
    }
}

/// Numbers, booleans, strings and lists print as the expression that evaluates to them.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => write!(f, "none"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value:?}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Str(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Value::List(items) => {
                write!(f, "[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{item}")?;
                }
                write!(f, "]")
            }
            Value::Record(fields) => {
                write!(f, "{{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{name}: {value}")?;
                }
                write!(f, "}}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_doubles_is_refused_before_it_fills_memory() {
        let mut list = Value::Int(1);
        let mut doublings = 0;
        while let Ok(next) = Value::list(vec![list.clone(), list.clone()]) {
            list = next;
            doublings += 1;
        }
        assert_eq!(doublings, 15);
    }
}
