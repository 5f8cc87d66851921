//! Do templates behave as Jinja's do in transformers: each test, filter, method and operator on each kind of value?
//!
//! `tests/data/jinja/cells.json` has what Jinja makes of them. Where a template can't give that, it must be an error.
#![cfg(feature = "chat")]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value as Json;
use smallmind::chat::{ChatTemplate, Message};

use crate::common::data;

/// What a template gives: its text, or `None` for an error.
fn render(template: &str) -> Result<String, String> {
    let now = UNIX_EPOCH + Duration::from_secs(1_721_951_999);
    let template = ChatTemplate::parse("cell", template, BTreeMap::new());
    let template = template.map_err(|error| error.to_string())?;
    let text = template.render(&[Message::new("user", "Hello!")], false, now);
    text.map_err(|error| error.to_string())
}

/// All templates with what Jinja gives: its text, or `None` for an error.
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

/// What differs, by a part of the template, and why. All of it is an error.
const DIFFERENCES: [(&str, &str); 12] = [
    ("| striptags", "HTML is not taken apart"),
    ("| pprint", "nothing is laid out for people to read"),
    ("| wordwrap", "nothing is laid out for people to read"),
    ("V.encode()", "there are no bytes"),
    ("V.translate(", "there are no tables of characters"),
    ("{% autoescape", "nothing is escaped"),
    (
        "V = range %}",
        "a function has no text, and Python's is an address",
    ),
    (
        "V.__class__",
        "what has no value has no attributes, not even unsafe ones",
    ),
    ("'{:>{}}'.format", "a format has no fields inside of fields"),
    ("'{0.a}'.format", "a format has no parts of values"),
    ("('a' | safe) +", "nothing is escaped"),
    (
        "{% raw %}",
        "a block that begins at the end of the template has no end",
    ),
];

#[test]
fn every_cell_is_as_in_jinja_or_an_error() {
    let mut wrong = Vec::new();
    let mut used = std::collections::BTreeSet::new();
    let (mut count, mut texts) = (0, 0);
    for (template, expected) in cells() {
        // The address of a function, which is another each time.
        if expected.as_deref() == Some("skip") {
            continue;
        }
        count += 1;
        let found = render(&template);
        match (&expected, &found) {
            (Some(expected), Ok(found)) if expected == found => texts += 1,
            (None, Err(_)) => {}
            _ => {
                let known = DIFFERENCES.iter().find(|(part, _)| template.contains(part));
                match known.filter(|_| expected.is_some() && found.is_err()) {
                    Some((part, _)) => drop(used.insert(part)),
                    None => wrong.push(format!(
                        "{template:?}: expected {expected:?}, found {found:?}"
                    )),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(used.len(), DIFFERENCES.len(), "{used:?}");
    assert!(texts > 8000, "{texts}");
}
