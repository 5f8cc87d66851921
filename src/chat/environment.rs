//! What templates may call: Jinja as transformers sets it up for chat templates.

use std::io;
use std::time::SystemTime;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::dates::strftime;

/// The work that one rendering may do, in minijinja's fuel: about as many instructions, or 64 times as many bytes of
/// text and values. A conversation of a thousand messages takes less than half.
pub const FUEL: u64 = 400_000;

/// Recursion that one rendering may do: loops and conditions inside each other, macros that call macros.
const RECURSION: usize = 200;

/// The template called `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// An environment for one template. It reads no files: there is no loader, and tags that include or import are errors.
pub fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    // Errors then know the expression that they are about.
    environment.set_debug(true);
    environment.add_filter("tojson", to_json);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<Value, Error> {
            let error = Error::new(ErrorKind::InvalidOperation, "raise_exception");
            Err(error.with_source(Refusal(message)))
        },
    );
    Ok(environment)
}

/// The function `strftime_now`, for which it is always `now`.
pub fn strftime_now(now: SystemTime) -> Value {
    Value::from_function(move |format: String| {
        strftime(&format, now).map_err(|field| {
            let message = format!("strftime_now has no field {field}");
            Error::new(ErrorKind::InvalidOperation, message)
        })
    })
}

/// JSON as Python's `json.dumps(value, ensure_ascii=False)` writes it: `", "` and `": "` between values, nothing escaped
/// for HTML. Takes `indent`, in spaces.
fn to_json(state: &State, value: &Value, arguments: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = arguments.get("indent")?;
    let ensure_ascii: Option<bool> = arguments.get("ensure_ascii")?;
    arguments.assert_all_used()?;
    if ensure_ascii == Some(true) || indent.is_some_and(|indent| indent > 16) {
        let message = "tojson keeps characters beyond ASCII, and indents by at most 16 spaces";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let left = state.fuel_levels().map_or(0, |(_, left)| left);
    let mut out = Bounded {
        bytes: Vec::new(),
        room: usize::try_from(left.saturating_mul(BYTES_PER_FUEL)).unwrap_or(usize::MAX),
    };
    let written = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
        Some(indent) => {
            let spaces = " ".repeat(indent);
            let pretty = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, pretty))
        }
    };
    written.map_err(|error| match error.is_io() {
        true => Error::from(ErrorKind::OutOfFuel),
        false => Error::new(ErrorKind::BadSerialization, error.to_string()),
    })?;
    state.consume_fuel(out.bytes.len() as u64 / BYTES_PER_FUEL)?;
    String::from_utf8(out.bytes)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// Bytes of JSON for one fuel. A value may hold another many times over, so that its JSON can be far larger than itself.
const BYTES_PER_FUEL: u64 = 4;

/// A writer of `room` bytes at most.
struct Bounded {
    bytes: Vec<u8>,
    room: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.room - self.bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line, with a space after each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
