//! The program of an `Elementwise` op: what the op computes, as a text in graph files.
//!
//! ```text
//! t0 = Mul(x0, 0.5); t1 = Tanh(t0); t2 = Add(t1, x1)
//! ```
//!
//! Results are numbered in order, `x0` is the first operand of the op, and the last result is the output of the op.

use std::fmt;

pub use crate::kernels::elementwise_chain::{ChainInput, MOST_INPUTS, Step};
use crate::kernels::functions::Function;
use crate::language::nearest;

/// The most steps of a program.
pub const MOST_STEPS: usize = 64;

/// Steps in order, each of which reads only earlier results.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The steps; the last one computes the output of the op.
    pub steps: Vec<Step>,
}

impl Program {
    /// Reads a program, and checks that each step reads only what exists and that each result but the last is read.
    pub fn parse(text: &str) -> Result<Program, String> {
        let mut steps: Vec<Step> = Vec::new();
        for (number, part) in text.split(';').enumerate() {
            let step = step(number, part.trim())
                .map_err(|problem| format!("step {number} of the program: {problem}"))?;
            steps.push(step);
        }
        if steps.len() > MOST_STEPS {
            let found = steps.len();
            return Err(format!(
                "a program has at most {MOST_STEPS} steps, found {found}"
            ));
        }
        let last = steps.len() - 1;
        let unread = (0..last).find(|&n| {
            !steps
                .iter()
                .any(|step| step.sources.contains(&ChainInput::Result(n)))
        });
        if let Some(unread) = unread {
            return Err(format!("no step of the program reads t{unread}"));
        }
        Ok(Program { steps })
    }

    /// The numbers of the operands that the program reads.
    pub fn inputs(&self) -> impl Iterator<Item = usize> + '_ {
        let sources = self.steps.iter().flat_map(|step| &step.sources);
        sources.filter_map(|source| match source {
            ChainInput::Input(n) => Some(*n),
            _ => None,
        })
    }
}

/// `tn = Function(source, …)`
fn step(number: usize, text: &str) -> Result<Step, String> {
    let shape = || format!("expected t{number} = Function(operand, …), found '{text}'");
    let (result, call) = text.split_once('=').ok_or_else(shape)?;
    if result.trim() != format!("t{number}") {
        return Err(shape());
    }
    let (word, sources) = call.trim().split_once('(').ok_or_else(shape)?;
    let sources = sources.strip_suffix(')').ok_or_else(shape)?;
    let word = word.trim();
    let Some(function) = Function::all().find(|known| known.name() == word) else {
        let known = Function::all().map(Function::name);
        return Err(nearest::unknown("function", word, known));
    };
    let sources: Vec<ChainInput> = sources
        .split(',')
        .map(|text| source(number, text.trim()))
        .collect::<Result<_, _>>()?;
    let (wanted, found) = (function.arity(), sources.len());
    if found != wanted {
        return Err(format!("{word} takes {wanted} operands, found {found}"));
    }
    Ok(Step { function, sources })
}

fn source(step: usize, text: &str) -> Result<ChainInput, String> {
    let numbered = |letter: char| {
        let digits = text.strip_prefix(letter)?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<usize>().ok().filter(|_| plain)
    };
    if let Some(n) = numbered('x') {
        return match n < MOST_INPUTS {
            true => Ok(ChainInput::Input(n)),
            false => Err(format!(
                "there are at most {MOST_INPUTS} operands, found {text}"
            )),
        };
    }
    if let Some(n) = numbered('t') {
        return match n < step {
            true => Ok(ChainInput::Result(n)),
            false => Err(format!("{text} is not computed yet")),
        };
    }
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => Ok(ChainInput::Number(x)),
        _ => Err(format!(
            "expected x0 (an operand), t0 (a result) or a number, found '{text}'"
        )),
    }
}

/// A source in the syntax of programs.
fn written(source: &ChainInput) -> String {
    match source {
        ChainInput::Input(n) => format!("x{n}"),
        ChainInput::Result(n) => format!("t{n}"),
        ChainInput::Number(x) => format!("{x:?}"),
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.steps.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            let word = step.function.name();
            let sources: Vec<String> = step.sources.iter().map(written).collect();
            write!(f, "{separator}t{number} = {word}({})", sources.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_prints_as_it_is_written() {
        let text = "t0 = Mul(x0, -0.5); t1 = GeluTanh(t0); t2 = Add(t1, x1); t3 = Div(t2, 1e-5)";
        let program = Program::parse(text).unwrap();
        assert_eq!(program.to_string(), text);
        assert_eq!(program.inputs().collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn every_function_is_read_by_its_name() {
        for function in Function::all() {
            let operands = ["x0", "x0, x1"][function.arity() - 1];
            let text = format!("t0 = {}({operands})", function.name());
            assert_eq!(Program::parse(&text).unwrap().steps[0].function, function);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("", "expected t0 = Function(operand, …), found ''"),
            ("t1 = Neg(x0)", "expected t0 = Function"),
            ("t0 = Neg(x0", "expected t0 = Function"),
            ("t0 = Mull(x0, x1)", "Mul"),
            ("t0 = Mul(x0)", "Mul takes 2 operands, found 1"),
            ("t0 = Neg(t0)", "t0 is not computed yet"),
            ("t0 = Neg(x8)", "at most 8 operands, found x8"),
            ("t0 = Neg(y)", "found 'y'"),
            ("t0 = Neg(inf)", "found 'inf'"),
            (
                "t0 = Neg(x0); t1 = Neg(x0)",
                "no step of the program reads t0",
            ),
        ];
        for (text, wanted) in cases {
            let error = Program::parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        let long: Vec<String> = (1..70).map(|n| format!("t{n} = Neg(t{})", n - 1)).collect();
        let error = Program::parse(&format!("t0 = Neg(x0); {}", long.join("; "))).unwrap_err();
        assert!(error.contains("at most 64 steps"), "{error}");
    }
}
