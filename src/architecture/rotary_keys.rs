//! What transformers 5 turns a config.json's rotary settings into before a model sees them: one record, `rope_parameters`,
//! whichever of the names that config files used over time the settings have.
//!
//! A `rope_scaling` that says anything replaces `rope_parameters`. If `rope_parameters` has a record for each type of layer,
//! only the record of `full_attention` changes. A record's `type` is its `rope_type`. (`convert_rope_params_to_dict` and
//! `standardize_rope_params` in transformers' `modeling_rope_utils.py`, and Gemma 3's configuration.)

use std::collections::BTreeMap;

use crate::language::value::Value;

/// The record of version 5.
const PARAMETERS: &str = "rope_parameters";
/// The record of version 4.
const SCALING: &str = "rope_scaling";
/// The layers that a record of version 4 is about.
const FULL: &str = "full_attention";
/// The kind of scaling, and its name in old files.
const KIND: (&str, &str) = ("rope_type", "type");

type Fields = BTreeMap<String, Value>;

/// Converts the settings of a config.json to version 5's form. Paths into `rope_scaling` stay valid.
pub(super) fn standardize(root: &mut Fields) {
    for record in [PARAMETERS, SCALING] {
        if let Some(Value::Record(fields)) = root.get_mut(record) {
            name_kinds(fields);
        }
    }
    let Some(Value::Record(scaling)) = root.get(SCALING).filter(|value| !is_empty(value)) else {
        return;
    };
    let scaling = scaling.clone();
    match root.get_mut(PARAMETERS) {
        Some(Value::Record(parameters)) if merges(parameters, &scaling) => {
            let full = parameters.entry(FULL.to_owned());
            match full.or_insert_with(|| Value::Record(Fields::new())) {
                Value::Record(full) => full.extend(scaling),
                other => *other = Value::Record(scaling),
            }
        }
        _ => {
            root.insert(PARAMETERS.to_owned(), Value::Record(scaling));
        }
    }
}

/// The path to which [`standardize`] moves the value at `path` of a file with these fields.
pub(super) fn standard_path(root: &Fields, path: &str) -> String {
    let Some((record, rest)) = path.split_once('.') else {
        return path.to_owned();
    };
    if record != PARAMETERS && record != SCALING {
        return path.to_owned();
    }
    let rest = match rest.strip_suffix(KIND.1) {
        Some(before) if before.is_empty() || before.ends_with('.') => format!("{before}{}", KIND.0),
        _ => rest.to_owned(),
    };
    let merged = record == SCALING
        && match (root.get(PARAMETERS), root.get(SCALING)) {
            (Some(Value::Record(parameters)), Some(Value::Record(scaling))) => {
                merges(parameters, scaling)
            }
            _ => false,
        };
    match merged {
        true => format!("{PARAMETERS}.{FULL}.{rest}"),
        false => format!("{PARAMETERS}.{rest}"),
    }
}

/// Whether the `rope_parameters` of a file with these fields have no effect because `rope_scaling` replaces them.
pub(super) fn is_replaced(root: &Fields, path: &str) -> bool {
    let parameters = path.split('.').next() == Some(PARAMETERS);
    let (Some(Value::Record(old)), Some(Value::Record(new))) =
        (root.get(PARAMETERS), root.get(SCALING))
    else {
        return false;
    };
    parameters && !new.is_empty() && !merges(old, new)
}

/// Whether a `rope_scaling` changes only a part of `rope_parameters` instead of replacing them.
fn merges(parameters: &Fields, scaling: &Fields) -> bool {
    has_records(parameters) && !has_records(scaling)
}

fn has_records(fields: &Fields) -> bool {
    fields
        .values()
        .any(|value| matches!(value, Value::Record(_)))
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Record(fields) if fields.is_empty())
}

/// Renames each record's kind to today's name.
fn name_kinds(fields: &mut Fields) {
    let (name, old) = KIND;
    if fields.get(name).is_none_or(|kind| *kind == Value::Null)
        && let Some(kind) = fields.get(old).cloned()
    {
        fields.insert(name.to_owned(), kind);
    }
    for value in fields.values_mut() {
        if let Value::Record(fields) = value {
            name_kinds(fields);
        }
    }
}
