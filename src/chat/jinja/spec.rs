//! The options of a format's field: fill, alignment, sign, width and digits, as in `{:*^+8.3f}`.

use minijinja::value::Value;
use minijinja::{Error, State};
use minijinja_contrib::pycompat;

use super::print::text;
use super::values::{Kind, kind, number, pay};

/// The most digits of a field's width.
pub const WIDEST: usize = 4;

/// A field's options.
struct Spec<'a> {
    fill: char,
    /// `<`, `>`, `^`, or `=` for between the sign and the digits.
    align: Option<char>,
    /// The options for signs.
    signs: &'a str,
    width: usize,
    /// The options for digits.
    digits: &'a str,
}

impl Spec<'_> {
    /// `None` for options that only the engine knows.
    fn parse(options: &str) -> Option<Spec<'_>> {
        let is_align = |character: &char| "<>^=".contains(*character);
        let mut characters = options.chars();
        let (first, second) = (characters.next()?, characters.next());
        let (mut fill, mut align, rest) = match (first, second.filter(is_align)) {
            (fill, Some(align)) => (fill, Some(align), characters.as_str()),
            (align, None) if is_align(&align) => (' ', Some(align), options.get(1..)?),
            _ => (' ', None, options),
        };
        let tail = rest.trim_start_matches(['+', '-', ' ', '#']);
        let (signs, tail) = rest.split_at(rest.len() - tail.len());
        let digits = tail.trim_start_matches(|c: char| c.is_ascii_digit());
        let width = tail.get(..tail.len() - digits.len())?;
        if width.starts_with('0') {
            // Zeros have commas too, and come after the sign of the base.
            if align.is_some() || digits.contains([',', '_']) || signs.contains('#') {
                return None;
            }
            (fill, align) = ('0', Some('='));
        }
        if width.len() > WIDEST {
            return None;
        }
        let width = if width.is_empty() {
            0
        } else {
            width.parse().ok()?
        };
        Some(Spec {
            fill,
            align,
            signs,
            width,
            digits,
        })
    }

    /// A text that is filled up to the width.
    fn filled(&self, own: &str, align: char, state: &State) -> Result<String, Error> {
        let missing = self.width.saturating_sub(own.chars().count());
        pay(state, missing.saturating_mul(4))?;
        let fill = |times: usize| self.fill.to_string().repeat(times);
        let digits = own.trim_start_matches(['-', '+', ' ']);
        let (sign, digits) = own.split_at(own.len() - digits.len());
        Ok(match align {
            '<' => own.to_string() + &fill(missing),
            '>' => fill(missing) + own,
            '^' => fill(missing / 2) + own + &fill(missing - missing / 2),
            _ => sign.to_string() + &fill(missing) + digits,
        })
    }

    /// The text of a number before it is filled.
    fn of_number(&self, value: &Value, state: &mut State) -> Result<String, Error> {
        let Spec { signs, digits, .. } = self;
        let (format, value, end) = match (digits.strip_suffix('%'), number(value)) {
            (Some(digits), Some(own)) => (
                format!("{{:{signs}{digits}f}}"),
                Value::from(own * 100.0),
                "%",
            ),
            _ if signs.is_empty() && digits.is_empty() => return text(value, state),
            _ => (format!("{{:{signs}{digits}}}"), value.clone(), ""),
        };
        let format = Value::from(format);
        let own = pycompat::unknown_method_callback(state, &format, "format", &[value])?;
        Ok(text(&own, state)? + end)
    }
}

/// The text of a value in a field with these options; `None` if it is for the engine to make.
pub fn aligned(value: &Value, options: &str, state: &mut State) -> Result<Option<String>, Error> {
    let Some(spec) = Spec::parse(options) else {
        return Ok(None);
    };
    match (kind(value), value.as_str()) {
        (_, Some(own)) if spec.align != Some('=') && spec.signs.is_empty() => {
            let most = match spec.digits.strip_suffix('s').unwrap_or(spec.digits) {
                "" => usize::MAX,
                digits => match digits.strip_prefix('.').map(str::parse) {
                    Some(Ok(most)) => most,
                    _ => return Ok(None),
                },
            };
            let own: String = own.chars().take(most).collect();
            spec.filled(&own, spec.align.unwrap_or('<'), state)
                .map(Some)
        }
        (Kind::Int | Kind::Float, _) => {
            let own = spec.of_number(value, state)?;
            spec.filled(&own, spec.align.unwrap_or('>'), state)
                .map(Some)
        }
        _ => Ok(None),
    }
}
