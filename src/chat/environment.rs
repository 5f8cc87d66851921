//! The template engine, set up as transformers sets up Jinja for chat templates.

use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind};
use serde_json::Value as Json;

use super::dates::strftime;
use super::jinja;

/// The work that one rendering may do, in units of minijinja's fuel. One unit is about one instruction, or 64 bytes of text
/// and values. A conversation of a thousand messages needs less than half of this.
pub const FUEL: u64 = 400_000;

/// How deeply one rendering may recurse: loops and conditions inside each other, macros that call macros.
const RECURSION: usize = 200;

/// Names that Jinja defines inside macros and the engine does not: they would silently have no value.
const UNKNOWN: [&str; 2] = ["kwargs", "varargs"];

/// The name of the one template of an environment.
pub const TEMPLATE: &str = "chat";

/// An environment for one template. It reads no files: there is no loader, and tags that include or import are errors.
pub fn environment(template: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    // With this setting, errors know which expression they are about.
    environment.set_debug(true);
    jinja::add(&mut environment);
    environment.add_template_owned(TEMPLATE, template.to_string())?;
    let names = environment
        .get_template(TEMPLATE)?
        .undeclared_variables(false);
    match UNKNOWN.iter().find(|name| names.contains(**name)) {
        None => Ok(environment),
        Some(name) => {
            let problem = format!("the variable `{name}` of macros is not supported");
            Err(Error::new(ErrorKind::UndefinedError, problem))
        }
    }
}

/// The function `strftime_now`, for which the time is always `now`.
pub fn strftime_now(now: SystemTime) -> Value {
    Value::from_function(move |format: String| {
        strftime(&format, now).map_err(|field| {
            let message = format!("strftime_now has no field {field}");
            Error::new(ErrorKind::InvalidOperation, message)
        })
    })
}

/// JSON as a value of the engine.
pub fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match number.as_i128() {
            Some(value) => Value::from(value),
            None => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(values) => values.iter().map(value).collect(),
        Json::Object(entries) => Value::from_pairs(
            entries
                .iter()
                .map(|(key, json)| (key.as_str(), value(json))),
        ),
    }
}

/// The template's text with `\n` for every line end, and without the last line end, as Jinja reads it.
pub fn normalized(source: &str) -> String {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    text
}
