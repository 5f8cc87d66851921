//! Examples of rewritten templates.

use super::rewritten;

/// The text that the engine reads.
fn text(template: &str) -> String {
    let (text, _) = rewritten(template);
    assert_eq!(text.lines().count(), template.lines().count(), "{template}");
    text
}

/// Checks that a template stays as it is.
fn stays(template: &str) {
    assert_eq!(text(template), template);
}

#[test]
fn operators_become_filters_and_bind_as_before() {
    for (template, expected) in [
        ("{{ a < 1 }}", "{{ a | __lt__(1) }}"),
        ("{{ a + 'b' - c }}", "{{ a | __add__('b') | __sub__(c) }}"),
        ("{{ a ~ b ~ c }}", "{{ a | __concat__(b, c) }}"),
        (
            "{{ a * b ** c / d }}",
            "{{ a | __mul__(b ** c) | __truediv__(d) }}",
        ),
        ("{{ a ** b % c }}", "{{ (a ** b) | __mod__(c) }}"),
        ("{{ a + b * c }}", "{{ a | __add__(b | __mul__(c)) }}"),
        ("{{ (a + b).c }}", "{{ (a | __add__(b)).c }}"),
        ("{{ a | f + b }}", "{{ a | f | __add__(b) }}"),
        ("{{ a is none + b }}", "{{ a is none | __add__(b) }}"),
        ("{{ -a.b | f }}", "{{ a.b | __neg__ | f }}"),
        ("{{ +1 }}", "{{ 1 | __pos__ }}"),
        ("{{ a[1:].b }}", "{{ (a | __slice__(1, none, none)).b }}"),
        ("{{ a[:b:-1] }}", "{{ a | __slice__(none, b, -1) }}"),
        ("{{ a[b][0] }}", "{{ (a | __getitem__(b))[0] }}"),
        ("{{ not a in b }}", "{{ not a | __in__(b) }}"),
        ("{{ a not in b and c }}", "{{ a | __not_in__(b) and c }}"),
        ("{{ 1 < a == b }}", "{{ 1 | __compare__('<', a, '==', b) }}"),
        ("{{ '%s' % a }}", "{{ '%s' | __mod__(a) }}"),
        (
            "{{ f(a + 1, *b, c=d < e) }}",
            "{{ f(a | __add__(1), *b, c=d | __lt__(e)) }}",
        ),
        (
            "{{ {a: b ~ c}[d] }}",
            "{{ {a: b | __concat__(c)} | __getitem__(d) }}",
        ),
        (
            "{{ x if a > b else y + z }}",
            "{{ x if a | __gt__(b) else y | __add__(z) }}",
        ),
        ("{%- if a<b -%}", "{%- if a | __lt__(b) -%}"),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
}

#[test]
fn what_cannot_differ_stays() {
    for template in [
        "{{ 1 < 2 }}{{ 'a' ~ 'b' }}{{ 1 + 2 }}{{ 7 % 4 }}{{ -1 }}{{ 'a' in 'ab' }}",
        "{{ a == b }}{{ a != b == c }}{{ a / b // c }}{{ a ** b }}{{ a and b or not c }}",
        "{{ a[0] }}{{ a[-1]['b'].c }}{{ a.b(c)[\"d\"] }}",
        "{{ a in [b, c] }}{{ a not in ('b', 'c') }}",
        "{{ a | f(b) is divisibleby 3 }}{{ [a, (b, c), {d: e}] }}",
        "{% for a, b in [1, 2] %}{% if a is defined %}{% set c = d.e %}{% endif %}{% endfor %}",
        "{{ '\\n\\x41\\u00e9' }}",
    ] {
        stays(template);
    }
}

#[test]
fn text_comments_and_raw_blocks_stay() {
    stays("a < b {# a < b {{ a < b }} #} { a < b } }} %}");
    stays("{{ 'a < b {{ a < b }} %}' }}{{ \"a \\\" < b\" }}");
    stays("{%- raw -%}{{ a < b }}{% if a < b %}{%- endraw %}");
    assert_eq!(
        text("{% raw %}\n{{ a < b }}{% endraw %}{{ a < b }}"),
        "{% raw +%}\n{{ a < b }}{% endraw %}{{ a | __lt__(b) }}"
    );
    assert_eq!(text("a{% raw %}"), "a{% raw %}{% endraw %}");
}

#[test]
fn what_cannot_be_read_stays() {
    for template in [
        "{{ a < }}",
        "{{ a < b c }}",
        "{{ (a < b }}",
        "{{ a ? b < c }}",
        "{{ a + not (b < c) }}",
        "{{ 'a < b }}{{ a < b }}",
        "{{ a[b < c:d:e:f] }}",
        "{% if %}{% for a of b < c %}",
        "{# a < b",
    ] {
        stays(template);
    }
    let nested = |depth: usize| {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        format!("{{{{ {open}a < b{close} }}}}")
    };
    assert!(text(&nested(20)).contains("__lt__"));
    stays(&nested(40));
    stays(&nested(40_000));
    let signs = "-".repeat(40_000);
    stays(&format!("{{{{ {signs}a }}}}"));
}

#[test]
fn lines_stay() {
    let template =
        "{{ n0 +\n n1\n  < n2\n[\nn3\n:\n] not\n in n4\n}}\n{% for n5\n in n6 %}{{ -\nn7 }}\n{{ n8";
    let written = text(template);
    let line = |text: &str, name: &str| text.lines().position(|line| line.contains(name));
    for name in ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"] {
        assert_eq!(
            line(&written, name),
            line(template, name),
            "{name}: {written}"
        );
    }
}

#[test]
fn statements_get_the_meaning_that_they_have_in_jinja() {
    for (template, expected) in [
        (
            "{% for a in b if a < c recursive %}",
            "{% for a in b | __iter__ if a | __lt__(c) recursive %}",
        ),
        (
            "{% for a in b or c %}",
            "{% for a in (b or c) | __iter__ %}",
        ),
        ("{% set a, b = c %}", "{% set a, b = c | __iter__ %}"),
        ("{% set a = b, c < d %}", "{% set a = b, c | __lt__(d) %}"),
        ("{% with a = b < c %}", "{% with a = b | __lt__(c) %}"),
        (
            "{% call(a) f(b < c) %}{% endcall %}",
            "{% call(a) f(b | __lt__(c)) %}{% endcall %}",
        ),
        (
            "{% macro f(a=b < c) %}{% endmacro %}",
            "{% macro f(a=b | __lt__(c)) %}{% endmacro %}",
        ),
        (
            "{% macro f(a) %}{{ varargs }}{%- endmacro -%}",
            "{% macro f(a, varargs=none) %}{{ varargs }}{%- endmacro %}{% set f = f | __others__ -%}",
        ),
        (
            "{% for a in [] %}{% else -%}{% set b = 1 %}{%- endfor %}",
            "{% for a in [] %}{% else %}{% with -%}{% set b = 1 %}{%- endwith %}{%  endfor %}",
        ),
        (
            "{% generation %}{% endgeneration -%}",
            "{% if true %}{% endif -%}",
        ),
    ] {
        assert_eq!(text(template), expected, "{template}");
    }
    stays("{% for a in [] %}{% else %}{% break %}{% set b = 1 %}{% endfor %}");
    stays("{% if a %}{% else %}{% set b = 1 %}{% endif %}");
}

#[test]
fn escapes_become_those_of_the_engine() {
    assert_eq!(
        text(r"{{ '\U0001F600\a\/' 'b' }}"),
        r"{{ '😀\x07\\/' 'b' }}"
    );
    assert_eq!(text(r#"{{ "\U00000022\U0000000A" }}"#), r#"{{ "\"\n" }}"#);
    stays(r"{{ '\\U0001F600' }}{{ '\U00' }}");
}

#[test]
fn a_part_of_the_text_stands_for_a_part_of_the_template() {
    let template = "é{{ a.b < c }}{% for x in y %}";
    let (text, origins) = rewritten(template);
    for (part, expected) in [
        ("é", "é"),
        ("a.b", "a.b"),
        ("b | __lt__(c)", "a.b < c"),
        ("__lt__(c)", "a.b < c"),
        ("c", "c"),
        ("y | __iter__", "y"),
        ("for x", "for x"),
    ] {
        let start = text.find(part).unwrap();
        let origin = origins.of(start..start + part.len());
        assert_eq!(template.get(origin), Some(expected), "{part}");
    }
}
