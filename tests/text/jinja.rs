//! Do templates behave as with Jinja in transformers: each test, filter, method and operator on each kind of value?
//!
//! `tests/data/jinja/cells.json` has Jinja's results. Differences that can't be removed are listed here.
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
    (
        "{{ '%r and %s, %d%%' % ('a', 1.0, 2.9) }}|{{ '%5d|%r' % (true, 'x') }}|{{ '%-6r|' | format('e') }}|{{ '%x' % true }}",
        "'a' and 1.0, 2%|    1|'x'|'e'   ||1",
    ),
    (
        "{{ '{} {!r} {:>5} {:d}'.format('a', 'b', true, true) }}|{{ '{1!r}{0!s}{1}'.format('a', 'b') }}|{{ '{x!r:>{w}}{{}}'.format(x='q', w=6) }}",
        "a 'b'     1 1|'b'ab|   'q'{}",
    ),
    (
        "{{ '{:>{}}|{:{}{}}'.format('a', 4, 'b', '<', 3) }}|{{ '{0[0]}{0[1]}'.format('xy') }}|{{ '{:05.1f}|{:,}'.format(2.25, 12345) }}",
        "   a|b  |xy|002.2|12,345",
    ),
    (
        "{{ 'a b/ü?&' | urlencode }}|{{ {'a b': 'c/d', 'e': none} | urlencode }}|{{ [('x', 1), ('y', 'ä')] | urlencode }}",
        "a%20b/%C3%BC%3F%26|a+b=c%2Fd&e=None|x=1&y=%C3%A4",
    ),
    (
        "{{ 0 | filesizeformat }}|{{ 999 | filesizeformat }}|{{ 1000 | filesizeformat }}|{{ 1024 | filesizeformat(true) }}|{{ 1048575 | filesizeformat(binary=true) }}|{{ 1e30 | filesizeformat }}|{{ '2e6' | filesizeformat }}|{{ -5000 | filesizeformat }}",
        "0 Bytes|999 Bytes|1.0 kB|1.0 KiB|1024.0 KiB|1000000.0 YB|2.0 MB|-5000 Bytes",
    ),
    (
        "<a{{ {'b': '<', 'c': none, 'd': 1} | xmlattr }}{{ {'e': 2} | xmlattr(false) }}>",
        "<a b=\"&lt;\" d=\"1\"e=\"2\">",
    ),
    (
        "{{ {'b': [{'z': 1, 'y': (2,)}], 'a': 'x'} | pprint }}|{{ {2: 1, 1.5: 2, true: 3} | pprint }}",
        "{'a': 'x', 'b': [{'y': (2,), 'z': 1}]}|{True: 3, 1.5: 2, 2: 1}",
    ),
    (
        "{{ 'a\\tb\\n\\tc'.expandtabs() }}|{{ 'a\\tb'.expandtabs(3) }}|{{ 'a\\tb'.expandtabs(0) }}|{{ 'Hello World'.istitle() }}{{ 'Hello world'.istitle() }}{{ \"It's\".istitle() }}{{ '12'.istitle() }}|{{ '_a1'.isidentifier() }}{{ '1a'.isidentifier() }}|{{ 'a\\u00a0'.isprintable() }}{{ '½'.isprintable() }}",
        "a       b\n        c|a  b|ab|TrueFalseFalseFalse|TrueFalse|FalseTrue",
    ),
    (
        "{% set f = '%s-%s' %}{{ f % (1, 'a') }}|{{ range(9)[1:7:2] }}|{{ range(5)[::-1] | list }}|{{ (1, 2, 3)[1:] }}|{{ 'héé'[::-1] }}|{{ [1, 2][-9:9] }}|{{ 'a' % [] }}",
        "1-a|range(1, 7, 2)|[4, 3, 2, 1, 0]|(2, 3)|ééh|[1, 2]|a",
    ),
    (
        "{% set t = true %}{{ t + 1 }}|{{ -t }}|{{ 2 - t }}|{{ t * 'ab' }}|{% set n = -7 %}{{ n // 2 }}|{{ n % 3 }}|{{ n // -2.0 }}|{{ n % -2.5 }}|{{ +n }}|{{ n / 2 }}|{{ n < -6.5 <= 3 == 3.0 }}",
        "2|-1|1|ab|-4|2|3.0|-2.0|-7|-3.5|True",
    ),
    (
        "{{ 'a well-known look-see--dash thing' | wordwrap(7) }}|{{ 'abcdefgh ij' | wordwrap(4, false) }}|{{ 'ab-cd-ef' | wordwrap(4, true, '/', false) }}|{{ 'a\\n\\nb c' | wordwrap(1) }}",
        "a well-\nknown\nlook-\nsee--\ndash\nthing|abcdefgh\nij|ab-c/d-ef|a\n\nb\nc",
    ),
    (
        "{{ '{:*^8}|{:<6.2f}|{:>+7}|{:=+6}|{:.1%}|{:6}|{:é>5.2}|{:08.3f}|{:^5}|{:,}'.format('ä', 2.345, 3, 4, 0.256, 'ö', 'xyz', -3.14159, 7, 1234567) }}",
        "***ä****|2.35  |     +3|+    4|25.6%|ö     |éééxy|-003.142|  7  |1,234,567",
    ),
    (
        "{{ 'abc'.translate({97: none, 98: 'xy', 99: 100}) }}|{{ \"ä'\\n\".encode() }}|{{ (-2.5) | abs }}|{{ 'x'.encode('utf-8') is string }}",
        "xyd|b\"\\xc3\\xa4'\\n\"|2.5|False",
    ),
    (
        "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% if a > 1 %}{{ m(a - 1, 7) }}{% endif %}{% endmacro %}{{ m(2, 3, b=4) }}|{{ m(*[1, 2]) }}|{{ m.name }}",
        "2(3,){'b': 4}1(7,){}|1(2,){}|m",
    ),
    (
        "{% for x in [1, 2] %}{% for y in [] %}{% else %}{% break %}{% endfor %}{{ x }}{% endfor %}|{% for x in [] %}{% else %}{% set y = 1 %}{{ y }}{% endfor %}{{ y is defined }}",
        "|1False",
    ),
    (
        "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.reset() }}{{ c.current }}",
        "abbNonea",
    ),
    (
        "{% set a = '<' %}{% set b = '&' | safe %}{% autoescape true %}{{ a ~ b ~ 1 }}{{ a ~ 1 }}{% endautoescape %}|{{ '<' + ('&' | safe) }}|{{ '<' ~ ('&' | safe) }}|{% for a in 'éa' %}{{ a }}{{ loop.length }}{% endfor %}",
        "&lt;&1&lt;1|&lt;&|<&|é2a2",
    ),
    (
        "{{ messages[0]\n['content'] +\n '!' }}{% raw %}\n {{ a < b }}{% endraw %}{{ '\\U0001F600' }}",
        "Hello!!\n {{ a < b }}😀",
    ),
];

#[test]
fn kinds_methods_and_formats_match_jinja() {
    for (template, expected) in TEMPLATES {
        assert_eq!(render(template).as_deref(), Ok(*expected), "{template}");
    }
    for wrong in [
        "{{ '%s' % (1, 2) }}",
        "{{ '%s%s' % 1 }}",
        "{{ 'a' % 1 }}",
        "{{ '{'.format(1) }}",
        "{{ '}'.format(1) }}",
        "{{ '{}{0}'.format(1) }}",
        "{{ '{}'.format() }}",
        "{{ '{!x}'.format(1) }}",
        "{{ '{!r'.format(1) }}",
        "{{ '%r' % () }}",
        "{{ '%r' | format }}",
        "{{ {'a b': 1} | xmlattr }}",
        "{{ 'x' | filesizeformat }}",
        "{{ [1] | urlencode }}",
        "{{ '{a!r}'.format(b=1) }}",
        "{{ '%d' % 'a' }}",
        "{{ '{:d}'.format('a') }}",
        "{{ '{:{}}'.format(1) }}",
        "{{ '%' % 1 }}",
        "{{ '{:d}'.format(1.5) }}",
    ] {
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
        "nowhere %}{% macro",
        Other,
        "an argument without a value gets the parameter's default",
    ),
];

/// The smallest number of cells that must be the same as in Jinja.
const EQUAL: usize = 15_138;

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
