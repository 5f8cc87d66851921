//! Do chat templates render the same text as in transformers, and are hostile templates harmless?
#![cfg(feature = "chat")]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use smallmind::chat::{ChatTemplate, Message, TemplateError};
use smallmind::text::known_templates::KNOWN_TEMPLATES;

use crate::common::data;

/// The time that `tests/data/chat/render.py` uses.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_721_951_999)
}

fn parse(text: &str) -> Result<ChatTemplate, TemplateError> {
    let token = |name: &str, text: &str| (name.to_string(), text.to_string());
    let tokens = BTreeMap::from([token("bos_token", "<s>"), token("eos_token", "</s>")]);
    ChatTemplate::parse("test.jinja", text, tokens)
}

fn render(text: &str) -> Result<String, TemplateError> {
    parse(text)?.render(&[Message::new("user", "Hello!")], true, now())
}

fn message(text: &str) -> String {
    render(text).unwrap_err().to_string()
}

fn read(name: &str) -> String {
    fs::read_to_string(data("chat").join(name)).unwrap()
}

fn read_json(name: &str) -> Json {
    serde_json::from_str(&read(name)).unwrap()
}

/// The texts that a template makes of the conversations, with and without the beginning of the answer.
fn texts(template: &ChatTemplate) -> Json {
    let conversations: Vec<Vec<Message>> =
        serde_json::from_value(read_json("conversations.json")).unwrap();
    let mut texts = Vec::new();
    for messages in &conversations {
        for prompt in [true, false] {
            texts.push(match template.render(messages, prompt, now()) {
                Ok(text) => Json::String(text),
                Err(TemplateError::Refused { message, .. }) => json!({ "refused": message }),
                Err(error) => panic!("{}: {error}", template.file()),
            });
        }
    }
    texts.into()
}

/// The templates of `tests/data/chat`, by name.
fn published() -> Vec<(String, ChatTemplate)> {
    let files = fs::read_dir(data("chat")).unwrap();
    let names = files.filter_map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".jinja").map(str::to_string)
    });
    names
        .map(|name| {
            let template = parse(&read(&format!("{name}.jinja"))).unwrap();
            (name, template)
        })
        .collect()
}

#[test]
fn the_texts_match_jinja() {
    let published = published();
    assert!(published.len() >= 13);
    for (name, template) in published {
        assert_eq!(
            texts(&template),
            read_json(&format!("{name}.json")),
            "{name}"
        );
    }
}

#[test]
fn tools_and_other_variables_match_the_texts_of_jinja() {
    let expected = read_json("with_tools.out.json");
    let all = read_json("with_tools.json");
    for (name, template) in published() {
        let mut expected = expected[&name].as_array().unwrap().iter();
        for variables in all.as_array().unwrap() {
            for prompt in [true, false] {
                let mut variables = variables.as_object().unwrap().clone();
                variables.insert("add_generation_prompt".to_string(), prompt.into());
                let found = template.render_with(&variables, now());
                let found = found.map_or(Json::Null, Json::String);
                assert_eq!(Some(&found), expected.next(), "{name}, {variables:?}");
            }
        }
    }
}

#[test]
fn known_templates_match_the_texts_of_jinja() {
    let expected = read_json("known.json");
    let expected = expected.as_object().unwrap();
    assert_eq!(KNOWN_TEMPLATES.len(), expected.len());
    for known in KNOWN_TEMPLATES {
        let file = format!(
            "{}/src/text/templates/{}.jinja",
            env!("CARGO_MANIFEST_DIR"),
            known.name
        );
        let template = parse(&fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(texts(&template), expected[known.name], "{}", known.name);
    }
}

#[test]
fn errors_name_line_and_expression() {
    let undefined = message("a\n{% if x %}\n{% endif %}{{ messages[3].content.nothing }}");
    for part in [
        "test.jinja, line 3 of the template, at `",
        "`messages[3]` is undefined",
    ] {
        assert!(undefined.contains(part), "{undefined}");
    }
    let refused = message("\n\n{{ raise_exception('no ' + messages[0].role) }}");
    for part in [
        "test.jinja, line 3 of the template, at `raise_exception(",
        ": the template refuses the messages: no user",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    // What the author wrote, although the engine reads a filter in place of the operator.
    let operator = message("\n{{ messages | length\n + 'a' }}");
    for part in [
        "test.jinja, line 3 of the template, at `messages | length + 'a'`",
        "values of type int and str",
    ] {
        assert!(operator.contains(part), "{operator}");
    }
    let syntax = message("\n{% for x of messages %}");
    assert!(
        syntax.starts_with("test.jinja, line 2 of the template"),
        "{syntax}"
    );
    let date = message("{{ strftime_now('%d %Q') }}");
    assert!(date.contains("strftime_now has no field %Q"), "{date}");
}

#[test]
fn a_template_reads_no_files() {
    for tag in [
        "{% include 'Cargo.toml' %}",
        "{% import 'Cargo.toml' as x %}",
        "{% extends 'Cargo.toml' %}",
    ] {
        assert!(
            matches!(render(tag), Err(TemplateError::Failed { .. })),
            "{tag}"
        );
    }
}

#[test]
fn work_without_end_is_stopped() {
    let loops = "{% for x in range(100000) %}".repeat(5) + &"{% endfor %}".repeat(5);
    let doubled = "{% set ns = namespace(x='abc') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}";
    let shared = "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}\
                  {{ ns.x | tojson }}";
    let each = |what: &str| {
        format!(
            "{{% set t = 'abcd' * 1000000 %}}{{% for i in range(100000) %}}{{{{ {what} }}}}{{% endfor %}}"
        )
    };
    let calls = [
        "range(100000) | reverse | first",
        "range(100000) | list | last",
        "t | length",
        "t | replace('a', 'b') | length",
        "t.find('x')",
        "(t, t) | join | length",
        "'%s' % t | length",
    ];
    let templates = [loops.as_str(), doubled, shared, "{{ 'a' * 100000000000 }}"].map(String::from);
    for template in calls.map(each).into_iter().chain(templates) {
        let error = render(&template).unwrap_err();
        assert!(
            matches!(error, TemplateError::TooMuchWork { .. }),
            "{error}"
        );
    }
    let recursive = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    assert!(message(recursive).contains("recursion"));
}

/// A conversation of a thousand messages needs less than half of the work that a template may do.
#[test]
fn long_conversations_leave_work_over() {
    let message = |place: usize| {
        let role = ["user", "assistant"][place % 2];
        Message::new(role, format!("Message {place} of a long conversation."))
    };
    let messages: Vec<Message> = (0..2000).map(message).collect();
    for (name, template) in published() {
        let text = template.render(&messages, true, now());
        assert!(
            text.is_ok_and(|text| text.contains("Message 1999")),
            "{name}"
        );
    }
}

#[test]
fn values_nested_as_deeply_as_work_allows_are_taken_apart_again() {
    let (open, close) = ("[".repeat(30), "]".repeat(30));
    let mut rendered = 0;
    for end in [
        "",
        "{{ ns.x }}",
        "{{ ns.x | tojson }}",
        "{{ ns.x == [ns.x] }}",
    ] {
        for times in [10, 500, 2000, 4000, 100_000] {
            let template = format!(
                "{{% set ns = namespace(x=[]) %}}{{% for i in range({times}) %}}\
                 {{% set ns.x = {open}ns.x{close} %}}{{% endfor %}}{end}"
            );
            match render(&template) {
                Ok(_) => rendered += 1,
                Err(TemplateError::TooMuchWork { .. }) => {}
                Err(error) => assert!(error.to_string().contains("recursion"), "{error}"),
            }
        }
    }
    assert!(rendered >= 7, "{rendered}");
}

#[test]
fn long_templates_are_read_or_refused() {
    let chain = "{%if x%}".to_string() + &"{%elif x%}".repeat(10_000) + "{%endif%}";
    assert_eq!(render(&chain).unwrap(), "");
    let too_long = " ".repeat((128 << 10) + 1);
    assert!(matches!(
        render(&too_long),
        Err(TemplateError::TooLong { .. })
    ));
}

#[test]
fn generation_tags_keep_lines_and_whitespace() {
    assert_eq!(
        render("a\n  {%- generation -%}\n b {% endgeneration %}\nc{{ '{% generations %}' }}")
            .unwrap(),
        "ab c{% generations %}"
    );
    assert!(message("{% generation %}\n\n{{ 1.x() }}{%+ endgeneration %}").contains("line 3"));
}
