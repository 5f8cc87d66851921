//! Do templates behave as with Jinja in transformers: each test, filter, method and operator on each kind of value?
//!
//! `tests/data/jinja/cells.json` has Jinja's results. Differences that are built into the engine, and so can't be
//! removed, are listed here.
#![cfg(feature = "chat")]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value as Json;
use smallmind::chat::{ChatTemplate, Message};

use crate::common::data;

/// The text of a template, or `None` for an error.
fn render(template: &str) -> Result<String, String> {
    let now = UNIX_EPOCH + Duration::from_secs(1_721_951_999);
    let template = ChatTemplate::parse("cell", template, BTreeMap::new());
    let template = template.map_err(|error| error.to_string())?;
    let text = template.render(&[Message::new("user", "Hello!")], false, now);
    text.map_err(|error| error.to_string())
}

/// All templates with Jinja's text, or `None` for an error.
fn cells() -> Vec<(String, Option<String>)> {
    let text = fs::read_to_string(data("jinja/cells.json")).unwrap();
    let file: Json = serde_json::from_str(&text).unwrap();
    let mut cells = Vec::new();
    for row in file["rows"].as_array().unwrap() {
        let name = row[0].as_str().unwrap();
        for (value, cell) in file["values"]
            .as_array()
            .unwrap()
            .iter()
            .zip(row[1].as_array().unwrap())
        {
            let template = format!("{{% set V = {} %}}{name}", value.as_str().unwrap());
            cells.push((template, cell.as_str().map(str::to_string)));
        }
    }
    for text in file["texts"].as_array().unwrap() {
        let template = text[0].as_str().unwrap().to_string();
        cells.push((template, text[1].as_str().map(str::to_string)));
    }
    cells
}

/// Templates with Jinja's results.
const TEMPLATES: &[(&str, &str)] = &[
    (
        "{% if (none is iterable) or not ('' is sequence) or not ({} is sequence) or not (strftime_now is callable) %}\
         {{ raise_exception('differs from Jinja') }}{% endif %}{{ messages[0].content }}",
        "Hello!",
    ),
    (
        "{{ 'a-b'.rsplit('-', 1)[0] ~ 'x y'.partition(' ')[2] ~ 'ab'.removeprefix('a') ~ 'ab'.removesuffix('b') }}\
         {{ ('%s' % 'q') ~ ({'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':'))) }}",
        "aybaq{\"a\":2,\"b\":1}",
    ),
    (
        "{%- if tools is iterable and tools | length > 0 %}TOOLS{% endif -%}\
         {%- for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}",
        "user: Hello!",
    ),
    (
        "{% raw %}{{ '%s' % b }}{% endraw %}{{ 'a%sb' % messages[0].role | upper ~ 'x' }} {{ '%s-%s' % (1, 'q % r') }}",
        "{{ '%s' % b }}aUSERbx 1-q % r",
    ),
    (
        "{{ 7 % 4 }}{{ 'x' if 7 % 2 else '%s' % 'y' }}{%- if '%d' % 3 == '3' -%} ok {%- endif -%}{# '%s' % x #}",
        "3xok",
    ),
    (
        "{{ {'a': '%s' % ('%02d' % 2)}['a'] }}{{ '%%' % () }}{{ '%(b)s' % {'b': [1]} }}",
        "02%[1]",
    ),
];

#[test]
fn kinds_methods_and_formats_match_jinja() {
    for (template, expected) in TEMPLATES {
        assert_eq!(render(template).as_deref(), Ok(*expected), "{template}");
    }
    for wrong in ["{{ '%s' % (1, 2) }}", "{{ '%s%s' % 1 }}", "{{ 'a' % 1 }}"] {
        assert!(render(wrong).is_err(), "{wrong}");
    }
}

/// How a template differs from Jinja.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Differs {
    /// It is an error, but Jinja returns a text.
    Fails,
    /// It returns a text, but Jinja has an error.
    Goes,
    /// It returns a different text.
    Other,
}
use Differs::{Fails, Goes, Other};

/// The differences: a part of the template, how it differs, and why.
const DIFFERENCES: &[(&str, Differs, &str)] = &[
    (
        "'{:>{}}'.format",
        Fails,
        "a format has no fields inside of fields",
    ),
    ("'{:0>5}|", Fails, "truth values are not numbers"),
    (
        "'%-05d|",
        Fails,
        "truth values are not numbers, and those with a point are not whole",
    ),
    ("('a' | safe) +", Other, "nothing is escaped"),
    (
        "{% raw %}",
        Fails,
        "a block that begins at the end of the template has no end",
    ),
    (
        "{% else %}{% set y",
        Other,
        "what is set where a loop has no turns stays set",
    ),
    ("'%r' % V", Fails, "`%` has no quotes"),
    ("'%d' % V", Fails, "numbers with a point are not whole"),
    ("'%(a)s' % V", Goes, "namespaces are maps"),
    ("'%s' % V", Other, "namespaces are written as maps"),
    ("%r' | format(", Fails, "`%` has no quotes"),
    ("!r:>8}'.format", Fails, "`format` has no conversions"),
    ("| pprint", Fails, "nothing is laid out for people to read"),
    (
        "| wordwrap",
        Fails,
        "nothing is laid out for people to read",
    ),
    ("| urlencode", Fails, "nothing is written for the web"),
    ("| xmlattr", Fails, "nothing is written for the web"),
    (
        "| filesizeformat",
        Fails,
        "nothing is laid out for people to read",
    ),
    ("| abs", Fails, "truth values are not numbers"),
    ("{{ -V }}", Fails, "truth values are not numbers"),
    ("{{ +V }}", Fails, "there is no such sign"),
    ("V.encode()", Fails, "there are no bytes"),
    ("V.translate(", Fails, "there are no tables of characters"),
    ("V.expandtabs()", Fails, "the method is not there"),
    ("V.isdecimal()", Fails, "the method is not there"),
    ("V.isidentifier()", Fails, "the method is not there"),
    ("V.isprintable()", Fails, "the method is not there"),
    ("V.istitle()", Fails, "the method is not there"),
    (
        "varargs",
        Fails,
        "a macro does not know the arguments that it has no names for",
    ),
    ("{% set a, b = V %}", Fails, "texts are not taken apart"),
    (
        "V = range %}",
        Fails,
        "a function has no text, and Python's is an address",
    ),
    (
        "nowhere %}{{ V.__class__ }}",
        Fails,
        "what has no value has no attributes, not even unsafe ones",
    ),
    (
        "{% for",
        Goes,
        "a loop over none has no turns, and one over a namespace has",
    ),
    (" < ", Goes, "values of different types have an order"),
    (" <= ", Goes, "values of different types have an order"),
    (" > ", Goes, "values of different types have an order"),
    (" >= ", Goes, "values of different types have an order"),
    ("V in 'ab'", Goes, "anything may be asked of anything"),
    (" in V }}", Goes, "anything may be asked of anything"),
    ("{{ V[", Goes, "none, and the entries of a map, have slices"),
    ("V * 'x'", Goes, "a number with a point may repeat a text"),
    ("V * 2", Goes, "ranges and the entries of a map are lists"),
    ("V + [1]", Goes, "ranges and the entries of a map are lists"),
    ("range(3) %}{{ V[", Other, "a slice of a range is a list"),
    (".items() %}{{ V", Other, "the entries of a map have places"),
    (
        "loop.length",
        Other,
        "in a loop over a text, its length is not known",
    ),
    (
        " ~ ",
        Other,
        "numbers and namespaces are joined to texts as the engine writes them",
    ),
    ("| format(V)", Other, "namespaces are written as maps"),
    ("'{}'.format(V)", Other, "namespaces are written as maps"),
    (
        "{% raw %}\n",
        Other,
        "the line end after the tag is trimmed",
    ),
    ("c.current", Other, "a cycler does not tell where it is"),
    (
        "\\U0001F600",
        Other,
        "characters have no names of eight digits",
    ),
    ("[1.0]", Other, "a number with a point may be a place"),
    ("self is defined", Other, "there are no blocks"),
];

/// The smallest number of cells that must be the same as in Jinja.
const EQUAL: usize = 14_435;

#[test]
fn cells_are_as_in_jinja_or_known_to_differ() {
    let mut wrong = Vec::new();
    let mut used = vec![0; DIFFERENCES.len()];
    let mut equal = 0;
    for (template, expected) in cells() {
        // The address of a function, which is different each time.
        if expected.as_deref() == Some("skip") {
            continue;
        }
        let found = render(&template);
        let differs = match (&expected, &found) {
            (Some(expected), Ok(found)) if expected == found => None,
            (None, Err(_)) => None,
            (Some(_), Err(_)) => Some(Fails),
            (None, Ok(_)) => Some(Goes),
            (Some(_), Ok(_)) => Some(Other),
        };
        let Some(differs) = differs else {
            equal += 1;
            continue;
        };
        let known = DIFFERENCES
            .iter()
            .position(|(part, how, _)| *how == differs && template.contains(part));
        match known {
            Some(known) => used[known] += 1,
            None => wrong.push(format!(
                "{differs:?} {template:?}: expected {expected:?}, found {found:?}"
            )),
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    for ((part, how, _), used) in DIFFERENCES.iter().zip(&used) {
        assert!(*used > 0, "nothing differs by {part:?} {how:?}");
    }
    assert!(equal >= EQUAL, "{equal}");
}
