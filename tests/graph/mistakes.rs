//! Do messages about a wrong graph file say what is wrong and where, all at once, and without harm?

use smallmind::architecture::expand::{Expanded, expand};
use smallmind::architecture::parameters::ConfigJson;
use smallmind::architecture::syntax::parse;
use smallmind::language::diagnostics::Problems;

/// A model file around some params, weights and nodes; the params begin at line 2, the weights at 3, the nodes at 4.
fn model(params: &str, weights: &str, nodes: &str) -> String {
    format!(
        "Model(\nparams: {{{params}}},\nweights: {{{weights}}},\nnodes: [{nodes}],\noutputs: [\"tokens\"])"
    )
}

/// Expands for an empty config.json and a weight file that has every tensor except "absent".
fn load(text: &str) -> Result<Expanded, Problems> {
    let config = ConfigJson::parse("config.json", "{}").unwrap();
    expand(&parse("f", text)?, &config, &|tensor| tensor != "absent")
}

/// The problems of a file, one on each line; empty if there are none.
fn problems(text: &str) -> String {
    let problems = load(text).err();
    problems
        .map(|problems| problems.to_string())
        .unwrap_or_default()
}

#[test]
fn every_mistake_in_the_text_names_its_place() {
    let cases = [
        (
            model("\"a\": Key(fh: [\"x\"])", "", ""),
            "f:2:19: parameter \"a\": unknown field 'fh', did you mean 'hf'?",
        ),
        (
            model("\"a\": 1, \"a\": 2", "", ""),
            "f:2:18: parameter \"a\": 'a' is defined twice",
        ),
        (
            model("\"a\": Key(hf: \"x\")", "", ""),
            "f:2:23: parameter \"a\": expected a list […], found the text \"x\"",
        ),
        (
            model("\"a b\": 1", "", ""),
            "f:2:10: parameter \"a b\": 'a b' can't be a parameter's name: expected letters, digits and _ only",
        ),
        (
            model("\"source\": 1", "", ""),
            "f:2:10: parameter \"source\": 'source' can't be a parameter's name: it has a meaning of its own in expressions",
        ),
        (
            model("\"a\": \"1 +\"", "", ""),
            "f:2:19: parameter \"a\": the expression ends where a value should follow in \"1 +\"",
        ),
        (
            model("", "\"w\": (shape: [1], hf: \"w\", optinal: true)", ""),
            "f:3:38: weight \"w\": unknown field 'optinal', did you mean 'optional'?",
        ),
        (
            model("", "\"w\": (shape: [1])", ""),
            "f:3:16: weight \"w\": the weight needs an 'hf' or 'gguf' tensor name",
        ),
        (
            model("", "\"w\": (hf: \"w\")", ""),
            "f:3:16: weight \"w\": the weight has no 'shape'",
        ),
        (
            model("", "\"w\": (shape: [1], hf: \"w\", optional: 1)", ""),
            "f:3:48: weight \"w\": expected true or false, found the number 1",
        ),
        (
            model(
                "",
                "\"w\": (shape: [1], hf: \"w\"), \"w\": (shape: [1], hf: \"v\")",
                "",
            ),
            "f:3:39: weight \"w\": 'w' is defined twice",
        ),
        (
            model("", "\"w\": (shape: [1], hf: \"w\", or: \"v\")", ""),
            "f:3:11: weight \"w\": unknown weight 'v'",
        ),
        (
            model("", "\"w\": (shape: [1], hf: \"w\", or: Rows(\"v\", 0))", ""),
            "f:3:11: weight \"w\": unknown weight 'v'",
        ),
        (
            model("", "\"w\": (shape: [1], hf: \"w\", or: Rows(\"w\"))", ""),
            "f:3:42: weight \"w\": expected \"weight\", If(\"condition\", \"weight\") or Rows(\"weight\", first row), found Rows(…)",
        ),
        (
            model("", "\"w\": (shape: [1], hf: \"w{i\")", ""),
            "f:3:33: weight \"w\": '{' in \"w{i\" must be followed by the name of a Repeat variable and '}'",
        ),
        (
            model(
                "",
                "\"w\": (shape: [1], hf: \"w{i}\")",
                "Repeat(\"i\", 1, [])",
            ),
            "f:3:11: weight \"w\": the tensor's name contains {i}, so the weight's name must begin with 'i.'",
        ),
        (
            model(
                "",
                "\"layr.w\": (shape: [1], hf: \"w{layr}\")",
                "Repeat(\"layer\", 1, [])",
            ),
            "f:3:11: weight \"layr.w\": unknown Repeat variable 'layr', did you mean 'layer'?",
        ),
        (
            model("", "\"tokens\": (shape: [1], hf: \"w\")", ""),
            "f:3:11: weight \"tokens\": 'tokens' can't be a weight's name",
        ),
        (
            model("", "", "Repaet(\"i\", 1, [])"),
            "f:4:9: unknown statement 'Repaet', did you mean 'Repeat'?",
        ),
        (
            model("", "", "Add(\"x\")"),
            "f:4:9: unknown statement 'Add'; a node is written (\"name\", Add(…), [\"input\", …])",
        ),
        (
            model("", "", "\"x\""),
            "f:4:9: expected a node (\"name\", Op, [\"input\"]), Repeat(…) or If(…), found the text \"x\"",
        ),
        (
            model("", "", "(\"x\", Add)"),
            "f:4:9: expected a node (\"name\", Op, [\"input\", …]), found a tuple",
        ),
        (
            model("", "", "(\"x\", \"Add\", [])"),
            "f:4:15: node \"x\": expected an op: Name or Name(attribute: value), found the text \"Add\"",
        ),
        (
            model("", "", "(\"x\", Add(1, 2), [])"),
            "f:4:22: node \"x\": Add takes one value without a name",
        ),
        (
            model("", "", "(\"x\", Add(a: 1, a: 2), [])"),
            "f:4:25: node \"x\": the attribute 'a' is given twice",
        ),
        (
            model("", "", "(\"x\", Rope(pairs: half), [])"),
            "f:4:27: node \"x\": 'half' is not a value; a text is written \"'half'\"",
        ),
        (
            model("", "", "(\"x\", Add(a: \"1 +* 2\"), [])"),
            "f:4:26: node \"x\": expected a value, found '*' in \"1 +* 2\"",
        ),
        (
            model("", "", "(\"x\", Add, [true])"),
            "f:4:21: node \"x\": expected an input: \"name\", \"\", a number or Num(\"expression\"), found true",
        ),
        (
            model("", "", "(\"\", Add, [])"),
            "f:4:10: node \"\": a node's name can't be empty",
        ),
        (
            model("", "", "([], Add, [])"),
            "f:4:9: a node needs at least one name",
        ),
        (
            model("", "", "([\"x\", \"x\"], Add, [])"),
            "f:4:16: node \"x\": two outputs are named 'x'",
        ),
        (
            model("", "\"w\": (shape: [1], hf: \"w\")", "(\"w\", Add, [])"),
            "f:4:10: node \"w\": 'w' is a weight; a node needs a name of its own",
        ),
        (
            model("\"n\": 1", "", "Repeat(\"n\", 1, [])"),
            "f:4:16: 'n' is already the name of a parameter",
        ),
        (
            model("", "", "Repeat(\"i\", 1, [Repeat(\"i\", 1, [])])"),
            "f:4:32: 'i' is already the variable of a Repeat around this one",
        ),
        (
            model("", "", "Repeat(\"i\", 1)"),
            "f:4:9: expected Repeat(\"variable\", count, [nodes]), found Repeat(…)",
        ),
        (
            model("", "", "If(true, [], [])"),
            "f:4:12: expected an expression in \"double quotes\", found true",
        ),
        (
            model("", "", "If(\"true\", [])"),
            "f:4:9: expected If(\"condition\", [nodes], [nodes]), found If(…)",
        ),
        (
            model("", "\"w\": ([1], hf: \"w\")", ""),
            "f:3:24: Expected comma (either all values in parentheses have names, or none)",
        ),
        (
            "Model(\nnodes: []\n)".to_owned(),
            "f:1:1: Model has no 'outputs'",
        ),
        (
            "Model(\nnodes: [], outputs: []\n)".to_owned(),
            "f:2:21: a model needs at least one output",
        ),
        (
            "Model(\nnods: [], outputs: [\"tokens\"], nodes: [])".to_owned(),
            "f:2:1: unknown field 'nods', did you mean 'nodes'?",
        ),
        (
            "Rule(nodes: [], outputs: [\"tokens\"])".to_owned(),
            "f:1:1: expected Model(…), found Rule(…)",
        ),
        (
            "Model(\nnodes: [\n(\"x\", Add, [\"y\"],\n], outputs: [])".to_owned(),
            "f:4:1: ",
        ),
        (
            format!(
                "Model(nodes: [(\"{}\", Add, [])], outputs: [\"tokens\"])",
                "x".repeat(300)
            ),
            "f:1:16: ",
        ),
    ];
    let mut wrong = String::new();
    for (text, expected) in cases {
        let found = problems(&text);
        if !found.starts_with(expected) {
            wrong += &format!("\n{text}\nexpected {expected}\nfound    {found}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_mistake_in_the_meaning_names_its_place() {
    let w = |shape: &str| {
        model(
            "",
            &format!("\"w\": (shape: [{shape}], hf: \"w\")"),
            "(\"x\", Add, [\"w\"])",
        )
    };
    let cases = [
        (
            model("\"a\": Key(hf: [\"p.q\", \"r\"])", "", ""),
            "f:2:10: parameter \"a\": no value in config.json: none of 'p.q', 'r' is there, and it has no default",
        ),
        (
            model("\"a\": Key(gguf: [\"p\"])", "", ""),
            "f:2:10: parameter \"a\": no value in config.json: no 'hf' path, and it has no default",
        ),
        (
            model("\"a\": \"b\", \"b\": \"c\", \"c\": \"b + 1\"", "", ""),
            "f:2:20: parameter \"b\": parameters depend on each other: b → c → b",
        ),
        (
            model("\"a\": 7, \"b\": \"a / 2\"", "", ""),
            "f:2:26: parameter \"b\": the integer division 7 / 2 is not exact in \"a / 2\"",
        ),
        (
            model("\"a\": \"has('w')\"", "", ""),
            "f:2:16: parameter \"a\": unknown weight 'w' in \"has('w')\"",
        ),
        (
            model("", "", "(\"x\", Add, [\"tokenz\"])"),
            "f:4:21: node \"x\": unknown name 'tokenz', did you mean 'tokens'?",
        ),
        (
            model("", "", "(\"x\", Add(a: \"wdth\"), [])"),
            "f:4:23: node \"x\": unknown parameter 'wdth'",
        ),
        (
            model("", "", "(\"x\", Add, [Num(\"'a'\")])"),
            "f:4:21: node \"x\": a literal must be a number, found a string",
        ),
        (
            model("", "", "If(\"1\", [], [])"),
            "f:4:13: \"1\" must be true or false, found an integer",
        ),
        (
            model("", "", "Repeat(\"i\", -1, [])"),
            "f:4:21: Repeat needs an integer from 0 to 4096, found -1",
        ),
        (
            model("", "", "Repeat(\"i\", 1000000000000000000, [])"),
            "f:4:21: Repeat needs an integer from 0 to 4096, found 1000000000000000000",
        ),
        (
            model("", "", "Repeat(\"i\", \"2.0\", [])"),
            "f:4:21: Repeat needs an integer from 0 to 4096, found 2.0",
        ),
        (
            model("", "", "Repeat(\"i\", 3, [(\"x\", Add, [\"y\"])])"),
            "f:4:37: node \"i.0/x\": unknown name 'y'",
        ),
        (
            model(
                "",
                "",
                "Repeat(\"i\", 3, [(\"x\", Add(a: \"1 / (1 - i)\"), [])])",
            ),
            "f:4:41: node \"i.1/x\": 1 / 0: division by zero in \"1 / (1 - i)\"",
        ),
        (
            model(
                "",
                "\"i.w\": (shape: [1], hf: \"{i}\")",
                "Repeat(\"i\", 3, []), (\"x\", Add, [\"i.w\"])",
            ),
            "f:4:41: node \"x\": the weight 'i.w' exists only inside Repeat(\"i\", …)",
        ),
        (
            model(
                "",
                "\"w\": (shape: [1], gguf: \"w\")",
                "(\"x\", Add, [\"w\"])",
            ),
            "f:4:21: node \"x\": the weight 'w' has no 'hf' tensor name",
        ),
        (
            model(
                "",
                "\"w\": (shape: [1], hf: \"absent\", or: Rows(\"v\", \"0 - 1\")), \"v\": (shape: [1], hf: \"v\")",
                "(\"x\", Add, [\"w\"])",
            ),
            "f:3:57: weight \"w\": the first row must be an integer from 0 to 2147483648, found -1 in \"0 - 1\"",
        ),
        (
            model(
                "",
                "\"w\": (shape: [2, 3], hf: \"absent\", or: Rows(\"v\", 3)), \"v\": (shape: [4, 3], hf: \"v\")",
                "(\"x\", Add, [\"w\"])",
            ),
            "f:3:60: weight \"w\": [2, 3] can't be rows 3 to 5 of \"v\" [4, 3]",
        ),
        (
            model(
                "",
                "\"w\": (shape: [2, 3], hf: \"absent\", or: Rows(\"v\", 1)), \"v\": (shape: [4, 2], hf: \"v\")",
                "(\"x\", Add, [\"w\"])",
            ),
            "f:3:60: weight \"w\": [2, 3] can't be rows 1 to 3 of \"v\" [4, 2]",
        ),
        (
            w("0"),
            "f:3:25: weight \"w\": a dimension must be an integer from 1 to 2147483648, found 0",
        ),
        (
            w("-1"),
            "f:3:25: weight \"w\": a dimension must be an integer from 1 to 2147483648, found -1",
        ),
        (
            w("1000000000000000000"),
            "f:3:25: weight \"w\": a dimension must be an integer from 1 to 2147483648, found 1000000000000000000",
        ),
        (
            w("1.5"),
            "f:3:25: weight \"w\": a dimension must be an integer from 1 to 2147483648, found 1.5",
        ),
        (
            w("2147483648, 2147483648"),
            "f:3:11: weight \"w\": expected a weight of at most 1099511627776 elements, found [2147483648, 2147483648]",
        ),
        (
            w("1, 1, 1, 1, 1, 1, 1, 1, 1"),
            "f:3:11: weight \"w\": expected a weight of at most 8 dimensions",
        ),
        (
            "Model(nodes: [(\"logit\", Add, [])],\noutputs: [\"logits\"])".to_owned(),
            "f:2:11: unknown name 'logits', did you mean 'logit'?",
        ),
        (
            "Model(nodes: [], outputs: [\"tokens\"],\nrequire: [(\"1 > 2\", \"order is lost\")])"
                .to_owned(),
            "f:2:13: order is lost (\"1 > 2\" does not hold)",
        ),
    ];
    let mut wrong = String::new();
    for (text, expected) in cases {
        let found = problems(&text);
        if !found.starts_with(expected) || found.lines().count() != 1 {
            wrong += &format!("\n{text}\nexpected {expected}\nfound    {found}\n");
        }
    }
    assert!(wrong.is_empty(), "one mistake, one problem:{wrong}");
}

#[test]
fn all_problems_are_reported_at_once_in_their_order() {
    let text = model(
        "\"a\": Key(hf: [\"missing\"]), \"b\": \"a + 1\", \"c\": \"1 / 0\"",
        "\"w\": (shape: [0, \"b\"], hf: \"w\")",
        "(\"x\", Add(k: \"1 / 0\"), [\"nothing\", \"w\"]), If(\"b > 1\", [(\"y\", Add, [])], []), (\"z\", Add, [\"y\"])",
    );
    let places: Vec<_> = load(&text)
        .unwrap_err()
        .problems
        .iter()
        .map(|problem| problem.line)
        .collect();
    assert_eq!(
        places,
        [2, 2, 3, 4, 4],
        "what depends on a missing value is not reported again"
    );
}

#[test]
fn small_files_that_ask_for_too_much_are_refused() {
    let nested = (0..4).fold("(\"x\", Add, [])".to_owned(), |inner, depth| {
        format!("Repeat(\"v{depth}\", 4096, [{inner}])")
    });
    assert!(problems(&model("", "", &nested)).contains("the graph has more than"));
    let empty = (0..4).fold(String::new(), |inner, depth| {
        format!("Repeat(\"v{depth}\", 4096, [{inner}])")
    });
    assert!(problems(&model("", "", &empty)).contains("the graph has more than"));
    let chain: String = (0..100)
        .map(|i| format!("\"p{i}\": \"p{} + 1\", ", i + 1))
        .collect();
    assert!(
        problems(&model(&format!("{chain}\"p100\": 1"), "", ""))
            .contains("parameters, each of which depends on the next")
    );
    let doubling: String = (0..60)
        .map(|i| format!("\"p{}\": [\"p{i}\", \"p{i}\"], ", i + 1))
        .collect();
    assert!(problems(&model(&format!("\"p0\": 1, {doubling}"), "", "")).contains("a list of"));
    let long = " ".repeat(5 << 20);
    assert!(problems(&long).contains("longer than"));
}
