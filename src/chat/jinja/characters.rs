//! The methods of texts that deal with codes of characters: `encode` and `translate`.

use minijinja::value::Value;
use minijinja::{Error, State};

use super::arguments::{Args, text};
use super::values::{Kind, kind, pay, unlike, whole, wrong};

/// Python's `encode`.
pub fn encode(own: &str, arguments: &Args) -> Result<Value, Error> {
    let [encoding, errors] = arguments.bind(["encoding", "errors"], 0)?;
    let encoding = encoding.as_ref().map_or(Ok("utf-8"), text)?;
    errors.as_ref().map_or(Ok(""), text)?;
    match encoding.to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => Ok(Value::from_bytes(own.as_bytes().to_vec())),
        "ascii" if own.is_ascii() => Ok(Value::from_bytes(own.as_bytes().to_vec())),
        _ => Err(wrong("texts can only be encoded as UTF-8")),
    }
}

/// Python's `translate`, with a map from codes of characters to what replaces them.
pub fn translate(own: &str, arguments: &Args, state: &State) -> Result<String, Error> {
    let table = arguments.one()?;
    if kind(&table) != Kind::Dict {
        return Err(unlike("a map", &table));
    }
    let mut out = String::with_capacity(own.len());
    for character in own.chars() {
        let other = table.get_item(&Value::from(u32::from(character)))?;
        match (kind(&other), other.as_str(), whole(&other)) {
            (Kind::Undefined, ..) => out.push(character),
            (Kind::None, ..) => {}
            (_, Some(text), _) => {
                state.consume_fuel(1)?;
                pay(state, text.len())?;
                out.push_str(text);
            }
            (_, _, Some(code)) => {
                let code = u32::try_from(code).ok().and_then(char::from_u32);
                out.push(code.ok_or_else(|| wrong("this is not the code of a character"))?);
            }
            _ => return Err(unlike("a text, the code of a character, or none", &other)),
        }
    }
    Ok(out)
}
