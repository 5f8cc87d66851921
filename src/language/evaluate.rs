//! Expressions over parameters: their evaluation.
//!
//! Integers stay integers and are checked: an overflow or an inexact division is an error. If one of two numbers is a float,
//! the result is a float, which must be finite. Only the needed arm of a conditional, and only the needed side of `and` and
//! `or`, is evaluated. The results are the same on every machine: no function of the platform's C library is called.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::diagnostics::unknown;
use super::expression::{Expression, ExpressionError, Function, Kind, Node, Operator};
use super::value::{LARGEST_LIST, Value};
use crate::math::pow_f64;

/// The most values in a list that `range` makes or that `for` iterates over.
const LONGEST_RANGE: i64 = 4096;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Something is wrong with the expression itself.
    Here(ExpressionError),
    /// The expression uses a parameter that has no value; the problem is reported where the parameter is declared.
    Elsewhere,
}

/// What names mean at the place of an expression.
pub trait Scope {
    /// The value of a parameter or variable; `None` if nothing has that name.
    fn value(&self, name: &str) -> Result<Option<&Value>, Failure>;
    /// Whether the weight file contains the weight; an error if no such weight is declared.
    fn has(&self, weight: &str) -> Result<bool, String>;
    /// Every name that has a value, for suggesting the nearest one.
    fn names(&self) -> Vec<&str>;
}

type Evaluated<'s> = Result<Cow<'s, Value>, Failure>;

impl Expression {
    /// The expression's value in a scope.
    pub fn evaluate(&self, scope: &dyn Scope) -> Result<Value, Failure> {
        Ok(evaluate(&self.root, scope)?.into_owned())
    }
}

fn fail<T>(node: &Node, message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Here(ExpressionError {
        offset: node.offset,
        message: message.into(),
    }))
}

fn evaluate<'s>(node: &Node, scope: &'s dyn Scope) -> Evaluated<'s> {
    let value = match &node.kind {
        Kind::Constant(value) => value.clone(),
        Kind::Name(name) => match scope.value(name)? {
            Some(value) => return Ok(Cow::Borrowed(value)),
            None => {
                let message = unknown("parameter", name, scope.names());
                return fail(node, format!("{message} (write texts in 'single quotes')"));
            }
        },
        Kind::Field(of, name) => return field(node, evaluate(of, scope)?, name),
        Kind::Index(of, index) => {
            let (of, index) = (evaluate(of, scope)?, evaluate(index, scope)?);
            return element(node, of, &index);
        }
        Kind::Negate(of) => match evaluate(of, scope)?.as_ref() {
            Value::Int(value) => match value.checked_neg() {
                Some(value) => Value::Int(value),
                None => return fail(node, format!("-({value}) overflows")),
            },
            Value::Float(value) => Value::Float(-value),
            other => return fail(node, format!("'-' before {}", other.kind())),
        },
        Kind::Not(of) => Value::Bool(!boolean(of, scope, "'not'")?),
        Kind::Binary(Operator::And, left, right) => {
            Value::Bool(boolean(left, scope, "'and'")? && boolean(right, scope, "'and'")?)
        }
        Kind::Binary(Operator::Or, left, right) => {
            Value::Bool(boolean(left, scope, "'or'")? || boolean(right, scope, "'or'")?)
        }
        Kind::Binary(operator, left, right) => {
            let (left, right) = (evaluate(left, scope)?, evaluate(right, scope)?);
            match binary(*operator, &left, &right) {
                Ok(value) => value,
                Err(message) => return fail(node, message),
            }
        }
        Kind::Conditional(parts) => {
            let [condition, yes, no] = parts.as_ref();
            let chosen = if boolean(condition, scope, "'?'")? {
                yes
            } else {
                no
            };
            return evaluate(chosen, scope);
        }
        Kind::Call(function, arguments) => {
            let mut values = Vec::with_capacity(arguments.len());
            for argument in arguments {
                values.push(evaluate(argument, scope)?);
            }
            match call(*function, &values, scope) {
                Ok(value) => value,
                Err(message) => return fail(node, message),
            }
        }
        Kind::List(items) => {
            let mut values = Vec::with_capacity(items.len());
            for item in items {
                values.push(evaluate(item, scope)?.into_owned());
            }
            match Value::list(values) {
                Ok(value) => value,
                Err(message) => return fail(node, message),
            }
        }
        Kind::ListFor { variable, parts } => list_for(node, variable, parts, scope)?,
    };
    Ok(Cow::Owned(value))
}

/// The names of `outer`, shadowed by one variable.
struct Inner<'a> {
    outer: &'a dyn Scope,
    variable: &'a str,
    value: Value,
}

impl Scope for Inner<'_> {
    fn value(&self, name: &str) -> Result<Option<&Value>, Failure> {
        if name == self.variable {
            Ok(Some(&self.value))
        } else {
            self.outer.value(name)
        }
    }

    fn has(&self, weight: &str) -> Result<bool, String> {
        self.outer.has(weight)
    }

    fn names(&self) -> Vec<&str> {
        let mut names = self.outer.names();
        names.push(self.variable);
        names
    }
}

/// The element for each value of a list, in order.
fn list_for(
    node: &Node,
    variable: &str,
    parts: &[Node; 2],
    scope: &dyn Scope,
) -> Result<Value, Failure> {
    let [element, over] = parts;
    let over = match evaluate(over, scope)?.into_owned() {
        Value::List(items) => items,
        other => {
            let kind = other.kind();
            return fail(
                over,
                format!("'for' iterates over a list, found {kind}; range(n) is [0, …, n - 1]"),
            );
        }
    };
    if over.len() > LONGEST_RANGE as usize {
        let message = format!(
            "a list of {} values; 'for' accepts at most {LONGEST_RANGE}",
            over.len()
        );
        return fail(node, message);
    }
    let mut values = Vec::with_capacity(over.len());
    let mut scalars = 0_usize;
    for value in over {
        let inner = Inner {
            outer: scope,
            variable,
            value,
        };
        let value = evaluate(element, &inner)?.into_owned();
        scalars = scalars.saturating_add(value.measure().0);
        if scalars > LARGEST_LIST {
            return fail(node, format!("a list of more than {LARGEST_LIST} values"));
        }
        values.push(value);
    }
    Value::list(values).or_else(|message| fail(node, message))
}

fn boolean(node: &Node, scope: &dyn Scope, user: &str) -> Result<bool, Failure> {
    match evaluate(node, scope)?.as_ref() {
        Value::Bool(value) => Ok(*value),
        other => fail(
            node,
            format!("{user} needs a boolean, found {}", other.kind()),
        ),
    }
}

fn field<'s>(node: &Node, of: Cow<'s, Value>, name: &str) -> Evaluated<'s> {
    let missing = |fields: &BTreeMap<String, Value>| {
        fail(
            node,
            unknown("field", name, fields.keys().map(String::as_str)),
        )
    };
    match of {
        Cow::Borrowed(Value::Record(fields)) => match fields.get(name) {
            Some(value) => Ok(Cow::Borrowed(value)),
            None => missing(fields),
        },
        Cow::Owned(Value::Record(mut fields)) => match fields.remove(name) {
            Some(value) => Ok(Cow::Owned(value)),
            None => missing(&fields),
        },
        other => fail(
            node,
            format!("'.{name}' of {}, which has no fields", other.kind()),
        ),
    }
}

fn element<'s>(node: &Node, of: Cow<'s, Value>, index: &Value) -> Evaluated<'s> {
    let length = match of.as_ref() {
        Value::List(items) => items.len(),
        other => {
            return fail(
                node,
                format!("indexing {}, which is not a list", other.kind()),
            );
        }
    };
    let Value::Int(index) = *index else {
        return fail(
            node,
            format!("an index must be an integer, found {}", index.kind()),
        );
    };
    let at = usize::try_from(index).ok().filter(|at| *at < length);
    let found = at.and_then(|at| match of {
        Cow::Borrowed(Value::List(items)) => items.get(at).map(Cow::Borrowed),
        Cow::Owned(Value::List(items)) => items.into_iter().nth(at).map(Cow::Owned),
        _ => None,
    });
    match found {
        Some(value) => Ok(value),
        None if index < 0 => fail(node, format!("the index {index} is negative")),
        None => fail(
            node,
            format!("the index {index} is outside a list of {length}"),
        ),
    }
}

fn finite(value: f64, what: impl FnOnce() -> String) -> Result<Value, String> {
    match value.is_finite() {
        true => Ok(Value::Float(value)),
        false => Err(format!("{} is not a finite number", what())),
    }
}

fn binary(operator: Operator, left: &Value, right: &Value) -> Result<Value, String> {
    let sign = operator.sign();
    match operator {
        Operator::Equal => Ok(Value::Bool(equal(left, right)?)),
        Operator::NotEqual => Ok(Value::Bool(!equal(left, right)?)),
        Operator::In => match right {
            Value::List(items) => Ok(Value::Bool(
                items.iter().any(|item| equal(left, item) == Ok(true)),
            )),
            Value::Record(fields) => match left {
                Value::Str(name) => Ok(Value::Bool(fields.contains_key(name))),
                other => Err(format!(
                    "a record's fields are strings, not {}",
                    other.kind()
                )),
            },
            other => Err(format!(
                "'in' needs a list or a record, found {}",
                other.kind()
            )),
        },
        Operator::Less | Operator::LessEqual | Operator::Greater | Operator::GreaterEqual => {
            let order = match (left, right) {
                (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
                _ => match (left.as_number(), right.as_number()) {
                    (Some(left), Some(right)) => left.partial_cmp(&right),
                    _ => None,
                },
            };
            let Some(order) = order else {
                let (left, right) = (left.kind(), right.kind());
                return Err(format!("'{sign}' between {left} and {right}"));
            };
            Ok(Value::Bool(match operator {
                Operator::Less => order.is_lt(),
                Operator::LessEqual => order.is_le(),
                Operator::Greater => order.is_gt(),
                _ => order.is_ge(),
            }))
        }
        _ => arithmetic(operator, left, right),
    }
}

/// Numbers are equal by value, and `none` equals only itself; otherwise both sides must be of one kind.
fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(left == right),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
            Ok(left.as_number() == right.as_number())
        }
        (Value::Null, _) | (_, Value::Null) => Ok(left == right),
        (Value::List(lefts), Value::List(rights)) => Ok(lefts.len() == rights.len()
            && lefts
                .iter()
                .zip(rights)
                .all(|(left, right)| equal(left, right) == Ok(true))),
        _ if left.kind() == right.kind() => Ok(left == right),
        _ => Err(format!(
            "can't compare {} with {}",
            left.kind(),
            right.kind()
        )),
    }
}

fn arithmetic(operator: Operator, left: &Value, right: &Value) -> Result<Value, String> {
    let sign = operator.sign();
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        let (left, right) = (*left, *right);
        if right == 0 && matches!(operator, Operator::Divide | Operator::Remainder) {
            return Err(format!("{left} {sign} 0: division by zero"));
        }
        if operator == Operator::Divide && left.checked_rem(right).is_some_and(|rest| rest != 0) {
            return Err(format!(
                "the integer division {left} / {right} is not exact"
            ));
        }
        let result = match operator {
            Operator::Add => left.checked_add(right),
            Operator::Subtract => left.checked_sub(right),
            Operator::Multiply => left.checked_mul(right),
            Operator::Divide => left.checked_div(right),
            _ => left.checked_rem_euclid(right),
        };
        return match result {
            Some(value) => Ok(Value::Int(value)),
            None => Err(format!("{left} {sign} {right} overflows")),
        };
    }
    let (Some(a), Some(b)) = (left.as_number(), right.as_number()) else {
        return Err(format!(
            "'{sign}' between {} and {}",
            left.kind(),
            right.kind()
        ));
    };
    let result = match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        _ => return Err("'%' is for integers".to_owned()),
    };
    finite(result, || format!("{left} {sign} {right}"))
}

fn call(function: Function, values: &[Cow<Value>], scope: &dyn Scope) -> Result<Value, String> {
    let name = function.name();
    let number = |value: &Value| match value.as_number() {
        Some(number) => Ok(number),
        None => Err(format!("{name} of {}, which is not a number", value.kind())),
    };
    match (function, values) {
        (Function::Has, [weight]) => match weight.as_ref() {
            Value::Str(weight) => scope.has(weight).map(Value::Bool),
            other => Err(format!(
                "'has' needs the name of a weight in quotes, found {}",
                other.kind()
            )),
        },
        (Function::Len, [value]) => match value.as_ref() {
            Value::List(items) => i64::try_from(items.len())
                .map(Value::Int)
                .map_err(|error| error.to_string()),
            other => Err(format!("len of {}, which is not a list", other.kind())),
        },
        (Function::Range, [count]) => match count.as_ref() {
            Value::Int(count @ 0..=LONGEST_RANGE) => {
                Value::list((0..*count).map(Value::Int).collect())
            }
            other => Err(format!(
                "range needs an integer from 0 to {LONGEST_RANGE}, found {other}"
            )),
        },
        (Function::Sqrt, [value]) => finite(number(value)?.sqrt(), || format!("sqrt({value})")),
        (Function::Floor, [value]) => match value.as_ref() {
            Value::Int(value) => Ok(Value::Int(*value)),
            other => {
                let floor = number(other)?.floor();
                // 2^63 is exact in f64, and every float below it fits.
                match (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&floor) {
                    true => Ok(Value::Int(floor as i64)),
                    false => Err(format!("floor({value}) overflows")),
                }
            }
        },
        (Function::Pow, [base, exponent]) => power(base, exponent),
        (Function::Min | Function::Max, [first, others @ ..]) => {
            let mut best = first.as_ref();
            number(best)?;
            for value in others {
                number(value)?;
                let less = binary(Operator::Less, value, best)?.as_bool() == Some(true);
                let greater = binary(Operator::Greater, value, best)?.as_bool() == Some(true);
                if if function == Function::Min {
                    less
                } else {
                    greater
                } {
                    best = value;
                }
            }
            Ok(best.clone())
        }
        _ => Err(format!("{name} does not take {} argument(s)", values.len())),
    }
}

/// Integer and half-integer exponents are computed by multiplication and square root, others by our own functions: all of
/// them round the same way everywhere.
fn power(base: &Value, exponent: &Value) -> Result<Value, String> {
    let what = || format!("pow({base}, {exponent})");
    let (Some(x), Some(y)) = (base.as_number(), exponent.as_number()) else {
        return Err(format!("pow of {} and {}", base.kind(), exponent.kind()));
    };
    if let (Value::Int(base), Value::Int(exponent @ 0..)) = (base, exponent) {
        let exponent = u32::try_from(*exponent).ok();
        return match exponent.and_then(|exponent| base.checked_pow(exponent)) {
            Some(value) => Ok(Value::Int(value)),
            None => Err(format!("{} overflows", what())),
        };
    }
    if y == 0.5 || y == -0.5 {
        let root = x.sqrt();
        return finite(if y < 0.0 { 1.0 / root } else { root }, what);
    }
    if y.floor() != y || y.abs() > 1024.0 {
        if x < 0.0 {
            return Err(format!(
                "{}: the exponent of a negative number must be a whole number up to 1024",
                what()
            ));
        }
        return finite(pow_f64(x, y), what);
    }
    let mut result = 1.0;
    let mut square = x;
    let mut left = y.abs() as u32;
    while left > 0 {
        if left % 2 == 1 {
            result *= square;
        }
        square *= square;
        left /= 2;
    }
    finite(if y < 0.0 { 1.0 / result } else { result }, what)
}
