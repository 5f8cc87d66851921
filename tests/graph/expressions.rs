//! Do expressions have the right values, and do wrong expressions say where they are wrong?

use std::collections::BTreeMap;

use proptest::prelude::*;
use smallmind::language::evaluate::{Failure, Scope};
use smallmind::language::expression::Expression;
use smallmind::language::value::Value;

/// Parameters by name; the only weight is 'bias', and the file has it.
struct Names(BTreeMap<&'static str, Value>);

impl Scope for Names {
    fn value(&self, name: &str) -> Result<Option<&Value>, Failure> {
        Ok(self.0.get(name))
    }

    fn has(&self, weight: &str) -> Result<bool, String> {
        match weight {
            "bias" => Ok(true),
            _ => Err(format!("unknown weight '{weight}'")),
        }
    }

    fn names(&self) -> Vec<&str> {
        self.0.keys().copied().collect()
    }
}

fn names() -> Names {
    let text = |text: &str| Value::Str(text.to_owned());
    let rope = BTreeMap::from([("theta".to_owned(), Value::Float(1e4))]);
    Names(BTreeMap::from([
        ("width", Value::Int(64)),
        ("heads", Value::Int(4)),
        ("eps", Value::Float(1e-5)),
        ("act", text("silu")),
        ("big", Value::Int(i64::MAX)),
        ("none", Value::Null),
        ("empty", Value::Null),
        ("rope", Value::Record(rope)),
        ("types", Value::List(vec![text("full"), text("sliding")])),
    ]))
}

/// The value, or "offset: message".
fn evaluate(text: &str) -> Result<Value, String> {
    let describe = |error: smallmind::language::expression::ExpressionError| {
        format!("{}: {}", error.offset, error.message)
    };
    let expression = Expression::parse(text).map_err(describe)?;
    expression
        .evaluate(&names())
        .map_err(|failure| match failure {
            Failure::Here(error) => describe(error),
            Failure::Elsewhere => "elsewhere".to_owned(),
        })
}

#[test]
fn every_item_of_the_grammar_has_its_value() {
    let int = Value::Int;
    let yes = Value::Bool(true);
    for (text, value) in [
        ("1 + 2 * 3 - 4", int(3)),
        ("(1 + 2) * 3", int(9)),
        ("width / heads", int(16)),
        ("2 - -3", int(5)),
        ("-7 % 3", int(2)),
        ("8 / 2 / 2", int(2)),
        ("1e-5 == eps", yes.clone()),
        ("1.5 * 2", Value::Float(3.0)),
        ("1 / 4.0", Value::Float(0.25)),
        ("'it''s'", Value::Str("it's".into())),
        ("act == 'silu'", yes.clone()),
        ("width != 64 or heads <= 4 and not heads > 4", yes.clone()),
        ("not false and false", Value::Bool(false)),
        ("not 1 == 2", yes.clone()),
        ("rope.theta >= 10000", yes.clone()),
        ("types[heads - 3]", Value::Str("sliding".into())),
        ("'full' in types and 'theta' in rope", yes.clone()),
        ("act in ['gelu', 'relu',]", Value::Bool(false)),
        ("[1, 2][1]", int(2)),
        ("act == 'gelu' ? 1 : act == 'silu' ? 2 : 3", int(2)),
        ("true ? 1 : 1 / 0", int(1)),
        ("false and 1 / 0 == 1 or true", yes.clone()),
        ("min(3, 1, 2) + max(1, 2)", int(3)),
        ("sqrt(width)", Value::Float(8.0)),
        ("pow(2, 10)", int(1024)),
        ("pow(2, -2)", Value::Float(0.25)),
        ("pow(1.5, 3)", Value::Float(3.375)),
        (
            "floor(1e6 * pow(2.0, 0.3)) + floor(1e6 * pow(2.0, -0.3))",
            int(1231144 + 812252),
        ),
        ("pow(width, 0.5) * pow(width, -0.5)", Value::Float(1.0)),
        ("floor(-1.5)", int(-2)),
        ("len(types)", int(2)),
        ("has('bias')", yes.clone()),
        ("range(3) == [0, 1, 2] and range(0) == []", yes.clone()),
        ("[i * heads for i in range(3)][2]", int(8)),
        (
            "[types[i] == 'full' for i in [1, 0]] == [false, true]",
            yes.clone(),
        ),
        ("[[1, 2][0] for heads in [] ] == []", yes.clone()),
        (
            "empty == none and not (heads == none) and act != none",
            yes.clone(),
        ),
        ("[1, 2] == [1, 2.0]", yes),
    ] {
        assert_eq!(evaluate(text), Ok(value), "{text}");
    }
}

#[test]
fn every_mistake_says_what_and_where() {
    for (text, error) in [
        ("width / 5", "6: the integer division 64 / 5 is not exact"),
        ("width / (heads - 4)", "6: 64 / 0: division by zero"),
        ("1 % 0", "2: 1 % 0: division by zero"),
        ("big + 1", "4: 9223372036854775807 + 1 overflows"),
        ("big * 2", "4: 9223372036854775807 * 2 overflows"),
        ("pow(10, 19)", "0: pow(10, 19) overflows"),
        (
            "99999999999999999999",
            "0: the number 99999999999999999999 is too large",
        ),
        ("1e999", "0: the number 1e999 is too large"),
        ("1.0 / 0", "4: 1.0 / 0 is not a finite number"),
        ("sqrt(-1)", "0: sqrt(-1) is not a finite number"),
        ("floor(1e300)", "0: floor(1e300) overflows"),
        (
            "pow(-2.0, 0.3)",
            "0: pow(-2.0, 0.3): the exponent of a negative number must be a whole number up to 1024",
        ),
        (
            "1 + widht",
            "4: unknown parameter 'widht', did you mean 'width'? (write texts in 'single quotes')",
        ),
        (
            "true ? adjacent : half",
            "7: unknown parameter 'adjacent' (write texts in 'single quotes')",
        ),
        (
            "rope.tehta",
            "4: unknown field 'tehta', did you mean 'theta'?",
        ),
        ("act.x", "3: '.x' of a string, which has no fields"),
        ("types[-1]", "5: the index -1 is negative"),
        ("types[2]", "5: the index 2 is outside a list of 2"),
        (
            "types[1.0]",
            "5: an index must be an integer, found a float",
        ),
        ("width[0]", "5: indexing an integer, which is not a list"),
        ("1 == 'a'", "2: can't compare an integer with a string"),
        ("'a' < 'b'", "4: '<' between a string and a string"),
        ("'a' + 'b'", "4: '+' between a string and a string"),
        ("1.5 % 2", "4: '%' is for integers"),
        ("not 1", "4: 'not' needs a boolean, found an integer"),
        ("1 ? 2 : 3", "0: '?' needs a boolean, found an integer"),
        ("has('bais')", "0: unknown weight 'bais'"),
        (
            "has(1)",
            "0: 'has' needs the name of a weight in quotes, found an integer",
        ),
        ("sqr(2)", "0: unknown function 'sqr', did you mean 'sqrt'?"),
        ("sqrt(1, 2)", "0: sqrt takes 1 argument(s), found 2"),
        ("min(1)", "0: min takes at least 2 argument(s), found 1"),
        (
            "1 < 2 < 3",
            "6: comparisons don't chain: join them before '<' with 'and'",
        ),
        ("width = 64", "6: '=' is not a comparison; write '=='"),
        ("1 +", "3: the expression ends where a value should follow"),
        ("", "0: the expression ends where a value should follow"),
        ("(1", "2: the expression ends where ')' should follow"),
        ("1 2", "2: expected an operator or the end, found '2'"),
        ("true ? 1", "8: the expression ends where ':' should follow"),
        ("'abc", "0: a text without its closing quote"),
        ("1.x", "2: expected a digit, found 'x'"),
        (
            "12ab",
            "2: expected an operator after the number, found 'a'",
        ),
        (
            "[i for i in 3]",
            "12: 'for' iterates over a list, found an integer; range(n) is [0, …, n - 1]",
        ),
        (
            "[[i for i in types] for j in types]",
            "20: a list made by 'for' inside another",
        ),
        (
            "[i for 3 in types]",
            "7: expected a variable's name after 'for', found '3'",
        ),
        (
            "range(4097)",
            "0: range needs an integer from 0 to 4096, found 4097",
        ),
        (
            "[range(4096) for i in range(4096)]",
            "0: a list of more than 65536 values",
        ),
        (
            "[i for k in types]",
            "1: unknown parameter 'i' (write texts in 'single quotes')",
        ),
        ("none + 1", "5: '+' between none and an integer"),
        ("or", "0: expected a value, found 'or'"),
        ("\"x\"", "0: expected a value, found '\"'"),
    ] {
        assert_eq!(evaluate(text), Err(error.to_owned()), "{text}");
    }
}

#[test]
fn deep_and_long_expressions_are_refused_without_overflowing_the_stack() {
    let deep = [
        "(".repeat(4000),
        "-".repeat(4000) + "1",
        "not ".repeat(1000) + "true",
        "1".to_owned() + &"+1".repeat(2000),
        "[".repeat(4000),
        "true ? 1 : ".repeat(300) + "1",
        "rope".to_owned() + &".a".repeat(2000),
        "min(1, ".repeat(500),
    ];
    for text in deep {
        let error = evaluate(&text).unwrap_err();
        assert!(error.contains("more than 48 operators deep"), "{error}");
    }
    assert!(
        evaluate(&" ".repeat(5000))
            .unwrap_err()
            .contains("longer than 4096")
    );
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        let _ = evaluate(&text);
    }

    #[test]
    fn no_row_of_words_makes_it_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "1", "2.5", "width", "big", "'a'", "types", "rope", "true", "+", "-", "*", "/", "%", "(", ")", "[",
                "]", ".", ",", "?", ":", "==", "<", "in", "and", "or", "not", "min(", "pow(", "sqrt(", "floor(", "é",
            ]),
            0..24,
        ),
    ) {
        let _ = evaluate(&words.join(" "));
    }

    #[test]
    fn a_printed_value_means_itself(number in any::<f64>(), text in "\\PC{0,20}", whole in 0..i64::MAX) {
        prop_assume!(number.is_finite());
        for value in [Value::Float(number), Value::Str(text), Value::Int(whole)] {
            prop_assert_eq!(evaluate(&value.to_string()), Ok(value));
        }
    }
}
