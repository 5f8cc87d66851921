//! Arithmetic, as Python has it.

use super::fault::{Budget, Error, Result};
use super::format::percent;
use super::value::Value;
use crate::math::pow_f64;

/// What is told of a number that does not fit: whole numbers have 128 bits.
const TOO_LARGE: &str = "the number is too large";

/// What an operator of two operands gives.
pub fn binary(operator: &str, left: &Value, right: &Value, budget: &Budget) -> Result<Value> {
    if operator == "%"
        && let Value::Text(format) = left
    {
        return percent(format, right, budget).map(Value::text);
    }
    let (left, right) = (left.defined()?, right.defined()?);
    match (left, right) {
        (Value::Markup(_), _) | (_, Value::Markup(_)) => {
            return Err(Error::new(format!(
                "`{operator}` of text that is marked as safe HTML is not known here"
            )));
        }
        (Value::Text(left), Value::Text(right)) if operator == "+" => {
            budget.spend_bytes(left.len() + right.len())?;
            return Ok(Value::text(format!("{left}{right}")));
        }
        (Value::List(left), Value::List(right)) if operator == "+" => {
            budget.spend(left.len() + right.len())?;
            return Ok(Value::list([left.as_slice(), right].concat()));
        }
        (Value::Tuple(left), Value::Tuple(right)) if operator == "+" => {
            budget.spend(left.len() + right.len())?;
            return Ok(Value::tuple([left.as_slice(), right].concat()));
        }
        _ => {}
    }
    if operator == "*" {
        let repeated = match (left.as_int(), right.as_int()) {
            (None, Some(times)) => repeat(left, times, budget)?,
            (Some(times), None) => repeat(right, times, budget)?,
            _ => None,
        };
        if let Some(repeated) = repeated {
            return Ok(repeated);
        }
    }
    if let (Some(left), Some(right)) = (left.as_int(), right.as_int()) {
        return whole(operator, left, right);
    }
    if let (Some(left), Some(right)) = (left.as_float(), right.as_float()) {
        return fractional(operator, left, right).map(Value::Float);
    }
    Err(Error::new(format!(
        "there is no `{operator}` for values of type {} and {}",
        left.kind(),
        right.kind()
    )))
}

/// A text, list or tuple several times.
fn repeat(value: &Value, times: i128, budget: &Budget) -> Result<Option<Value>> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    Ok(match value {
        Value::Text(text) => {
            budget.spend_bytes(text.len().saturating_mul(times))?;
            Some(Value::text(text.repeat(times)))
        }
        Value::List(values) | Value::Tuple(values) => {
            budget.spend(values.len().saturating_mul(times))?;
            let all = std::iter::repeat_n(values.iter(), times);
            let repeated: Vec<Value> = all.flatten().cloned().collect();
            Some(match value {
                Value::List(_) => Value::list(repeated),
                _ => Value::tuple(repeated),
            })
        }
        _ => None,
    })
}

fn whole(operator: &str, left: i128, right: i128) -> Result<Value> {
    let value = match operator {
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        "*" => left.checked_mul(right),
        "/" | "//" | "%" if right == 0 => return Err(Error::new("division by zero")),
        "/" => return Ok(Value::Float(left as f64 / right as f64)),
        "//" => left
            .checked_div_euclid(right)
            .map(|_| floor_division(left, right)),
        "%" => left
            .checked_rem(right)
            .map(|_| left - floor_division(left, right) * right),
        _ if right < 0 => return fractional("**", left as f64, right as f64).map(Value::Float),
        _ => u32::try_from(right)
            .ok()
            .and_then(|right| left.checked_pow(right)),
    };
    value.map(Value::Int).ok_or_else(|| Error::new(TOO_LARGE))
}

fn floor_division(left: i128, right: i128) -> i128 {
    let quotient = left / right;
    let inexact = quotient * right != left;
    quotient - i128::from(inexact && (left < 0) != (right < 0))
}

fn fractional(operator: &str, left: f64, right: f64) -> Result<f64> {
    Ok(match operator {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "**" if left == 0.0 && right < 0.0 => {
            return Err(Error::new("zero can't have a negative power"));
        }
        "**" if left < 0.0 && right.fract() != 0.0 => {
            return Err(Error::new(
                "a negative number has no power that is a fraction",
            ));
        }
        "**" => power(left, right)?,
        _ if right == 0.0 => return Err(Error::new("division by zero")),
        "/" => left / right,
        "%" => modulo(left, right),
        _ => {
            let quotient = (left - modulo(left, right)) / right;
            let floor = quotient.floor();
            if quotient - floor > 0.5 {
                floor + 1.0
            } else {
                floor
            }
        }
    })
}

/// The remainder with the sign of the divisor.
fn modulo(left: f64, right: f64) -> f64 {
    let rest = left % right;
    match rest != 0.0 && (rest < 0.0) != (right < 0.0) {
        true => rest + right,
        false if rest == 0.0 => 0.0_f64.copysign(right),
        false => rest,
    }
}

/// A power. One whose exponent is whole and small is as exact as multiplying is.
fn power(base: f64, exponent: f64) -> Result<f64> {
    const MOST_PRODUCTS: f64 = 1024.0;
    let value = if exponent.fract() == 0.0 && exponent.abs() <= MOST_PRODUCTS {
        let product = (0..exponent.abs() as u32).fold(1.0, |product, _| product * base);
        if exponent < 0.0 {
            1.0 / product
        } else {
            product
        }
    } else if base == 0.0 {
        0.0
    } else if exponent == 0.5 {
        base.sqrt()
    } else {
        let odd = exponent % 2.0 != 0.0;
        let value = pow_f64(base.abs(), exponent);
        if base < 0.0 && odd { -value } else { value }
    };
    match value.is_infinite() && base.is_finite() && exponent.is_finite() {
        true => Err(Error::new(TOO_LARGE)),
        false => Ok(value),
    }
}

/// What a sign gives.
pub fn signed(sign: &str, value: &Value) -> Result<Value> {
    let negative = sign == "-";
    match value.defined()? {
        Value::Float(value) if negative => Ok(Value::Float(-value)),
        Value::Float(value) => Ok(Value::Float(*value)),
        other => match other.as_int() {
            Some(value) if negative => Ok(Value::Int(-value)),
            Some(value) => Ok(Value::Int(value)),
            None => Err(Error::new(format!(
                "there is no `{sign}` for a value of type {}",
                other.kind()
            ))),
        },
    }
}

/// A number rounded to so many digits after the point, half to even, as Python's `round` does it.
pub fn rounded(value: &Value, digits: i128) -> Result<Value> {
    match value {
        Value::Float(value) if value.is_finite() => {
            let digits = digits.clamp(-400, 400);
            let spelled = match usize::try_from(digits) {
                Ok(digits) => format!("{value:.digits$}"),
                Err(_) => {
                    let factor = power(10.0, -digits as f64)?;
                    format!("{}", (value / factor).round_ties_even() * factor)
                }
            };
            Ok(Value::Float(spelled.parse().unwrap_or(*value)))
        }
        Value::Float(value) => Ok(Value::Float(*value)),
        other => {
            let Some(value) = other.as_int() else {
                return Err(Error::new(format!(
                    "a value of type {} can't be rounded",
                    other.kind()
                )));
            };
            let places = u32::try_from(-digits).ok().filter(|places| *places > 0);
            let Some(places) = places else {
                return Ok(Value::Int(value));
            };
            let Some(unit) = 10i128.checked_pow(places) else {
                return Ok(Value::Int(0));
            };
            let down = floor_division(value, unit) * unit;
            let up = match (value - down).cmp(&(unit - (value - down))) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Greater => true,
                std::cmp::Ordering::Equal => down / unit % 2 != 0,
            };
            Ok(Value::Int(if up { down + unit } else { down }))
        }
    }
}
