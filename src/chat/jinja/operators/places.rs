//! Items, slices, and what loops iterate over.

use minijinja::value::{ObjectRepr, Tuple, Value};
use minijinja::{Environment, Error, State};

use crate::chat::jinja::objects::Range;
use crate::chat::jinja::values::{Kind, is_iterable, kind, pay, unlike, values, whole, wrong};

/// Adds the filters.
pub fn add(environment: &mut Environment) {
    environment.add_filter("__getitem__", item);
    environment.add_filter("__slice__", slice);
    environment.add_filter("__iter__", iterated);
}

/// Jinja's `base[key]`. A float is not a place, only a key.
fn item(base: &Value, key: &Value) -> Result<Value, Error> {
    match (kind(base), kind(key)) {
        (Kind::Text | Kind::List | Kind::Tuple | Kind::Range, Kind::Float) => Ok(Value::UNDEFINED),
        _ => base.get_item(key),
    }
}

/// What a loop or an assignment to several names iterates over. A text is the list of its characters.
fn iterated(state: &State, value: Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => {
            pay(state, text.len())?;
            Ok(text.chars().map(Value::from).collect())
        }
        None if is_iterable(&value) => Ok(value),
        None => Err(unlike("something to iterate over", &value)),
    }
}

/// Python's `base[start:stop:step]`; a bound may be none.
fn slice(
    state: &State,
    base: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value, Error> {
    let bound = |value: &Value| match kind(value) {
        Kind::None => Ok(None),
        _ => match whole(value) {
            Some(value) => Ok(Some(value)),
            None => Err(unlike("a whole number", value)),
        },
    };
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return Err(wrong("the step of a slice can't be zero"));
    }
    let places = |length: usize| Places::new(start, stop, step, length);
    if let Some(text) = base.as_str() {
        pay(state, text.len())?;
        let characters: Vec<char> = text.chars().collect();
        let part = places(characters.len()).of(&characters).collect::<String>();
        return Ok(match base.is_safe() {
            true => Value::from_safe_string(part),
            false => Value::from(part),
        });
    }
    if let Some(range) = base.downcast_object_ref::<Range>() {
        let places = places(range.length());
        let at = |place: i128| range.start.saturating_add(range.step.saturating_mul(place));
        return Ok(Value::from_object(Range {
            start: at(places.start),
            stop: at(places.stop),
            step: range.step.saturating_mul(step),
        }));
    }
    let all = match (kind(base), base.as_object()) {
        // A list is not copied; the engine charges for the slice.
        (Kind::List, Some(list)) if list.repr() == ObjectRepr::Seq => {
            let length = list.enumerator_len().unwrap_or(0);
            let places = places(length).all();
            let values = places.map(|place| base.get_item_by_index(place));
            return values.collect::<Result<Value, Error>>();
        }
        (Kind::List | Kind::Tuple, _) => values(base, state)?,
        _ => return Err(unlike("something with slices", base)),
    };
    let part = places(all.len()).of(&all);
    Ok(match kind(base) {
        Kind::Tuple => Value::from(Tuple::from(part.collect::<Vec<Value>>())),
        _ => part.collect(),
    })
}

/// The places of a slice: Python's `slice.indices`.
#[derive(Clone, Copy)]
struct Places {
    start: i128,
    stop: i128,
    step: i128,
}

impl Places {
    fn new(start: Option<i128>, stop: Option<i128>, step: i128, length: usize) -> Places {
        let length = length as i128;
        // The places before the first and after the last that a slice may name.
        let (lowest, highest) = if step < 0 {
            (-1, length - 1)
        } else {
            (0, length)
        };
        let clamped = |place: Option<i128>, default: i128| match place {
            None => default,
            Some(place) if place < 0 => place.saturating_add(length).max(lowest),
            Some(place) => place.min(highest),
        };
        let (first, last) = if step < 0 {
            (highest, lowest)
        } else {
            (lowest, highest)
        };
        Places {
            start: clamped(start, first),
            stop: clamped(stop, last),
            step,
        }
    }

    /// The places in order.
    fn all(self) -> impl Iterator<Item = usize> {
        let Places { start, stop, step } = self;
        let is_inside = move |place: &i128| match step > 0 {
            true => *place < stop,
            false => *place > stop,
        };
        let next = move |place: &i128| place.checked_add(step);
        std::iter::successors(Some(start), next)
            .take_while(is_inside)
            .map_while(|place| usize::try_from(place).ok())
    }

    /// The values at these places.
    fn of<T: Clone>(self, all: &[T]) -> impl Iterator<Item = T> {
        self.all().map_while(|place| all.get(place).cloned())
    }
}
