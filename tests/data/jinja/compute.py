"""Writes cells.json: what Jinja 3.1, set up as transformers sets it up for chat templates, makes of every expression below
with every value in place of V. A cell is the text, or null for an error; "skip" where the text is an address in memory.
Needs the package jinja2."""

import json
import pathlib

from as_transformers import environment

FOLDER = pathlib.Path(__file__).parent

VALUES = """none; true; false; 0; 1; -3; 7; 2.5; -0.0; 1.0; 1e16; 1e-7; 123456789.125; ''; 'a'; 'ab ab'; '  x\\n'; 'Hello wOrld';
'ÄÖß'; "it's"; '12'; '-4.5'; '<b>'; 'a,b,,c'; []; [1, 2]; [3, 1, 2]; ['b', 'A', 'c']; [1, 'a', none]; [[1, 2], [3]]; [true, 1.5];
{}; {'b': 1, 'a': 2}; {'x': {'y': [1]}}; {1: 'one'}; [{'n': 'x', 'v': 2}, {'n': 'y', 'v': 1}]; (1, 2); (1,); (); nowhere; range(3);
{'a': none, 'b': true}.items(); [none, false, 0, '', 'x']; namespace(a=1); range"""

TESTS = """boolean; callable; defined; escaped; even; false; float; integer; iterable; lower; mapping; none; number; odd; sequence;
string; true; undefined; upper; divisibleby(2); sameas(none); sameas(true); eq(1); ne(1); lt(2); gt(2); ge(1); le(1); in([1, 'a', none]);
in('ab'); equalto('a'); filter; test"""

FILTERS = """abs; attr('a'); batch(2) | list; batch(2, 'x') | list; capitalize; center(9); count; default('d'); default('d', true);
d('d'); dictsort; dictsort(reverse=true); dictsort(by='value'); dictsort(false, 'value'); e; escape; filesizeformat; first; float;
float(1.5); forceescape; format; format('x'); groupby('n') | list | length; indent; indent(2, true); indent('> ', true, true); int;
int(9); int(0, 16); items | list; join; join(','); join('-', attribute='n'); last; length; list; lower; map('upper') | list;
map(attribute='n') | list; map(attribute='n', default='z') | list; map('string') | join('|'); max; min; pprint; reject | list;
reject('none') | list; rejectattr('n') | list; replace('a', 'x'); replace('a', 'x', 1); reverse | list; round; round(1);
round(1, 'floor'); round(method='ceil'); safe; select | list; select('string') | list; select('odd') | list; selectattr('n') | list;
selectattr('n', 'equalto', 'x') | list; slice(2) | list; sort; sort(reverse=true); sort(case_sensitive=true); sort(attribute='v'); string;
striptags; sum; sum(attribute='v'); sum(start=10); title; tojson; tojson(indent=2); tojson(indent=0); tojson(sort_keys=true);
tojson(separators=(',', ':')); tojson(ensure_ascii=true); trim; trim('a'); truncate(5); truncate(5, true, '', 0); unique | list;
upper; urlencode; wordcount; wordwrap(3); xmlattr; nosuchfilter"""

METHODS = """capitalize(); casefold(); center(7, '*'); count('a'); count(1); encode(); endswith('b'); endswith(('c', 'b')); expandtabs();
find('b'); find('b', 1); find('b', 0, 1); format('x'); index('b'); index(1); isalnum(); isalpha(); isascii(); isdecimal(); isdigit();
isidentifier(); islower(); isnumeric(); isprintable(); isspace(); istitle(); isupper(); join(['x', 'y']); join([1]); ljust(6, '.');
lower(); lstrip(); lstrip(' a'); partition(' '); partition('b'); removeprefix('a'); removesuffix('b'); replace('a', 'x');
replace('a', 'x', 1); rfind('b'); rindex('b'); rjust(6); rpartition(' '); rsplit(); rsplit(',', 1); rsplit(none, 1); rstrip(); rstrip('b ');
split(); split(','); split(',', 1); split(none, 1); split(maxsplit=1); split(sep=','); split(''); splitlines(); splitlines(true);
startswith('a'); startswith(('b', 'a')); startswith('b', 1); strip(); strip('a '); swapcase(); title(); translate({97: 'x'}); upper();
zfill(5); get('a'); get('zz'); get('zz', 'd'); get('a', none); items(); items() | list; keys(); keys() | list; values() | list; copy();
pop(); append(1); update({}); nosuch(); a; a.b; nosuch; n"""

OPERATORS = """V; not V; V | string; V ~ 'x'; 'x' ~ V; V + 1; V + 'x'; 'x' + V; V + [1]; V - 1; 2 - V; V * 2; V * 'x'; V / 2; 7 // V; V // 2;
V % 2; V % 'x'; '%s' % V; '%s|%s' % V; '%d' % V; '%5.2f' % V; '%r' % V; '%(a)s' % V; V ** 2; -V; +V; V == 1; V == true; V == 'a'; V == none; V != V;
V == [1, 2]; V == (1, 2); V < 2; V < 'b'; V <= 1.0; V > none; V >= [1]; 1 < V < 3; V in [1, 'a', none]; 'a' in V; 1 in V; none in V; 'a' not in V;
V in 'ab'; V and 'x'; V or 'x'; V[0]; V[-1]; V['a']; V[1:]; V[:-1]; V[::-1]; V[::2]; V[0:1]; V[true]; V.0; V.a; V.a.b; V.items;
V if V; 'x' if V else 'y'; [V]; {'k': V}; (V,); V(); loop; V is none or V; [V, V] | unique | list; (V | default('d')) ~ ''; [V] | tojson;
V | list | tojson; [V] | join('-'); [V, 1] | sort; [V] | min; dict(k=V); dict(V); V | length > 1; V is not none; V is iterable and V is not string;
V is mapping or V is sequence; [V] | map('string') | list; [V] | select('defined') | list | length; [V] | sum(start=0); range(V) | list; V.nosuch is defined;
V['nosuch'] is defined; V.nosuch.more; V | first | upper; V | trim | length; namespace(a=V).a; '{}'.format(V); '{0!r:>8}'.format(V); '%s' | format(V);
V | tojson | length; joiner(V)(); cycler(V, 2).next(); lipsum; V.__class__; V.items() | list; V | items | list"""

STATEMENTS = r"""{% for x in V %}{{ loop.index }}{{ x }},{% else %}none{% endfor %}
{% for a, b in V %}{{ a }}={{ b }};{% endfor %}
{% for k, v in V.items() %}{{ loop.first }}{{ k }}={{ v }}{{ loop.last }};{% endfor %}
{% for k, v in V | dictsort %}{{ k }}={{ v }};{% endfor %}
{% for k in V %}{{ V[k] }};{% endfor %}
{% for x in V if x %}{{ loop.revindex0 }}{{ x }};{% endfor %}
{% for x in V %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.changed(x) }}{{ loop.cycle('a', 'b') }}{{ loop.length }}{{ loop.depth }};{% endfor %}
{% for x in V[1:] %}{% if loop.index0 > 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in V recursive %}{{ x }}{% if x is iterable and x is not string %}({{ loop(x) }}){% endif %}{% endfor %}
{% if V %}yes{% elif V is none %}none{% else %}no{% endif %}
{% set a, b = V %}{{ a }}{{ b }}
{% set x %}<{{ V }}>{% endset %}{{ x }}{{ x | length }}
{% set x = V %}{% if true %}{% set x = 'inner' %}{% endif %}{{ x }}
{% set x = V %}{% for i in [1] %}{% set x = 'inner' %}{% endfor %}{{ x }}
{% set ns = namespace(x=V) %}{% for i in [1, 2] %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}
{% macro m(a, b=V, c='z') %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(V) }}|{{ m(1, 2, 3) }}|{{ m(1, c=V) }}
{% macro m(a) %}[{{ a }}{{ caller() }}]{% endmacro %}{% call m(V) %}in{% endcall %}
{% filter upper %}a{{ V }}{% endfilter %}
{% with a=V %}{{ a }}{% endwith %}{{ a is defined }}
{% do V.append(1) %}{{ V }}
{%- if V is string -%} s {%- elif V is mapping -%} m {%- elif V is iterable -%} i {%- else -%} o {%- endif %}
{{ V }}{# comment #}{{- ' ' -}} {{ V }}
{% raw %}{{ V }}{% endraw %}{{ V }}
{% autoescape true %}{{ V }}{% endautoescape %}"""

TEXTS = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n  {% if true %}\n  b\n  {% endif %}\nc\n\n", "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\r\n",
    "a\rb\r{% if true %}\rc{% endif %}\rd", "a\n  {%+ if true %}\nb{% endif +%}\nc", "  {{ 'x' }}\n", "\n\n{{- 'x' -}}\n\n y", "{# c #}\na", "  {# c #}\n  a\n",
    "a {#- c -#} b", "\t{% set x = 1 %}\n\t{{ x }}\n", "a{% if true %} b{% endif %} c", "x\n\n", "x\n", "x", "x\r\n", "x\n\r\n", "{{ 'a\r\nb' }}", "{{ 'a\\nb' }}\n",
    "{% raw %}\n a {{ x }}\n{% endraw %}\nb", "a\n    {%- if true %}\n    b\n    {%- endif %}\nc", "{% for x in [1,2] %}\n{{ x }}\n{% endfor %}\n", "{{ 'a' }}  \n  {% if true %}x{% endif %}  \n",
    "\ufeffa", "a\x0bb\x0c{% if true %}\x0c\nc{% endif %}", "a\u2028{% if true %}\u2028b{% endif %}", "   {% if true %}   \n   b{% endif %}", "{{ 'x' -}}\r\n\r\n y", "a\r\n  {%- if true %}\r\nb{% endif %}",
    "{% generation %}\nx\n{% endgeneration %}\ny", "{{ '\\x41\\u00e9\\t\\'\\\\' }}", '{{ "a\\"b" }}', "{{ 'a' 'b' }}", "{{ 1_000 }} {{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1.5e3 }} {{ 1e3 }}", "{{ 10000000000000000000000 + 1 }}",
    "{{ 'a'.b is defined }}", "{{ nowhere }}", "{{ nowhere.x }}", "{{ {}.x }}", "{{ {}.x.y }}", "{{ [][0] }}", "{{ [][0].x }}", "{% if nowhere %}a{% else %}b{% endif %}", "{% for x in nowhere %}{{ x }}{% else %}e{% endfor %}",
    "{{ nowhere is defined and nowhere.x }}", "{{ nowhere + 'a' }}", "{{ nowhere ~ 'a' }}", "{{ nowhere == nowhere }}", "{{ nowhere | length }}", "{{ nowhere in [1] }}", "{{ 1 in nowhere }}", "{{ nowhere | tojson }}", "{{ nosuch() }}",
    "{{ true and 1 }}{{ 0 or none }}{{ not 1 }}", "{{ 1 if false }}", "{{ (1 if false) is defined }}", "{{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 7.5 // 2 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }}",
    "{{ 0.1 + 0.2 }} {{ 1e22 }} {{ 1e15 }} {{ 1e16 }} {{ 1.5e300 * 1e10 }} {{ 1e308 * 10 }} {{ 1e-5 }} {{ 0.0001 }} {{ 100.0 }} {{ 3.0 * 2 }}", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}",
    "{{ 'a' < 1 }}", "{{ [1] < ['a'] }}", "{{ none < 1 }}", "{{ {} < {} }}", "{{ [1, 'a'] | sort }}", "{{ [none, 1] | max }}", "{{ true + true }}", "{{ true == 1 }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ [1] == (1,) }} {{ {} == [] }}",
    "{{ {'a': 1}.a }} {{ {'a': 1}['a'] }} {{ {'items': 1}.items }}", "{{ {'a': 1, 'a': 2} }}", "{{ {1: 2, true: 3, 1.0: 4} }}", "{{ {'b': 1}.update({'a': 2}) }}", "{% set x = [1] %}{% set _ = x.append(2) %}{{ x }}",
    "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b is defined }}", "{% set x = {'a': 1} %}{% set x.a = 2 %}", "{% set x = 1 %}{% set x.a = 2 %}", "{{ namespace({'a': 1}, b=2).b }}", "{{ dict({'a': 1}, b=2) }}", "{{ dict([('a', 1)]) }}",
    "{{ range(5)[1:3] | list }} {{ range(2, 8, 3) | list }} {{ range(3, 0, -1) | list }} {{ range(0) | list }}", "{{ range(1000000) | list | length }}", "{{ raise_exception('no') }}", "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%-d %B %y, %H:%M:%S %p %j %a %A %b %e %I %%') }}",
    "{{ 'a\nb' | indent(2) }}|{{ 'a\n\nb' | indent(2) }}|{{ 'a\n\nb' | indent(2, blank=true) }}|{{ 'a\nb' | indent(first=true) }}|{{ 'a\nb\n' | indent }}", "{{ 'a b c' | replace(' ', '') }} {{ 'x' | replace('', '-') }}", "{{ '%s and %r' | format('a', 'b') }} {{ '%(x)s' | format(x=1) }} {{ '%05.1f|%-4d|%+d|%x|%o|%e|%g|%%|%c' % (1.25, 3, 4, 255, 8, 12345.678, 0.00001, 'z') }}",
    "{{ '{}-{}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{a}'.format(a=1) }} {{ '{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:,}|{:x}'.format('a', 'b', 'c', 42, 3.14159, 1234567, 255) }}",
    "{{ [1, 2, 3][-2:] }} {{ [1, 2, 3][5:] }} {{ 'hello'[1:-1] }} {{ 'hello'[::-1] }} {{ 'hello'[-3] }} {{ [1, 2, 3][::-2] }} {{ (1, 2, 3)[1:] }} {{ 'äöü'[1] }}", "{{ 'hello'[10] }}|{{ 'hello'[10] is defined }}", "{{ [1, 2, 3][1.0] }}", "{{ {'a': 1}[['x']] }}",
    "{{ \"it's\" | list }} {{ ['a\"b', \"c'd\", 'e\\n\\t\\\\', '\\x00', 'é', '\\u200b', '\\U0001F600'] }}", "{{ 'é\u2028\"\\\\/<\\x01\\x7f' | tojson }}", "{{ {'a': [1, {'b': none}], 'c': 1.0, 'd': 1e16, 'e': true, 1: 2, none: 3} | tojson }}", "{{ {'a': [1, {'b': none}], 'c': [], 'd': {}} | tojson(indent=2) }}", "{{ [1, [2]] | tojson(indent=1) }}",
    "{{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true, separators=(',', ':')) }}", "{{ {'a': 1} | tojson(indent=2, separators=(',', ':')) }}", "{{ 'é' | tojson(ensure_ascii=true) }}", "{{ {'b': 1} | tojson(true) }}", "{{ [1e400, -1e400, 1e-7, 1e22, 123456789012345680000.0] | tojson }}", "{{ range | tojson }}", "{{ (1, 2) | tojson }}", "{{ nowhere | tojson }}",
    "{{ [1, 2] | join(none) }}", "{{ [[1], none, true] | join(', ') }}", "{{ 'abc' | join('-') }}", "{{ {'a': 1} | join(',') }}", "{{ ['b', 'B', 'a'] | sort }} {{ ['b', 'B', 'a'] | sort(case_sensitive=true) }} {{ ['b', 'B', 'b'] | unique | list }} {{ ['b', 'B', 'a'] | min }} {{ ['b', 'B', 'C'] | max }}",
    "{{ [{'a': {'b': 2}}, {'a': {'b': 1}}] | sort(attribute='a.b') | map(attribute='a.b') | list }} {{ [[2, 1], [1, 2]] | sort(attribute=1) }} {{ [{'a': 1, 'b': 2}, {'a': 1, 'b': 1}] | sort(attribute='a,b') }}",
    "{% for g, items in [{'a': 1, 'b': 2}, {'a': 2, 'b': 3}, {'a': 1, 'b': 4}] | groupby('a') %}{{ g }}:{{ items | map(attribute='b') | list }};{% endfor %}", "{% for g in [{'a': 1}] | groupby('a') %}{{ g.grouper }}{{ g.list }}{{ g }}{% endfor %}", "{{ 'a' | upper | lower | title | capitalize }}", "{{ 'they\\'re bill\\'s x-y' | title }} {{ 'they\\'re bill\\'s'.title() }} {{ 'hELLO wORLD' | capitalize }}",
    "{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in [1] %}{% for y in [1, 2] %}{{ loop.index }}{{ loop.parent is defined }}{% endfor %}{% endfor %}", "{% for x in [1, 2] %}{% set outer = loop %}{% for y in [1] %}{{ outer.index }}{{ loop.index }}{% endfor %}{% endfor %}",
    "{{ loop is defined }}", "{{ self is defined }}", "{{ messages is defined }}", "{{ 1 is divisibleby 0 }}", "{{ 3 is odd and 4 is even }}", "{{ 'x' is in 'xyz' }}", "{{ not none is none }}", "{{ 1 is not none }}", "{{ 'a' is not string or 1 }}", "{{ nowhere is not defined }}", "{{ none is iterable }}", "{{ 'A' is upper }} {{ '1' is upper }} {{ 'a1' is lower }}",
    "{{ 5 | round }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 42.55 | round(1, 'floor') }} {{ 1234 | round(-2) }} {{ 2.5 | round | int }} {{ '3' | int }} {{ '3.7' | int }} {{ 'x' | int }} {{ 'ff' | int(base=16) }} {{ '0x1f' | int(0, 16) }} {{ none | int }} {{ '1e3' | float }} {{ 'nan' | float }} {{ 3.99 | int }}",
    "{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ [1, 2, 3, 4, 5] | slice(2, 'x') | list }}", "{{ '<a href=\"x\">&\\'' | e }} {{ '<b>x</b>  y' | striptags }}", "{{ 'foo bar baz qux' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9, true) }} {{ 'foo bar' | wordcount }} {{ 'foo bar baz' | wordwrap(5) }} {{ 'a' | center(5) }}|{{ 1000 | filesizeformat }} {{ 'a b&c' | urlencode }} {{ {'a': 'b c'} | urlencode }}",
    "{{ 'x' * 3 }} {{ 3 * 'x' }} {{ [1] * 2 }} {{ 'x' * -1 }} {{ (1,) + (2,) }} {{ [1] + [2] }}", "{{ [1] + (2,) }}", "{{ {} + {} }}", "{{ 'a' - 'b' }}", "{{ 1 ~ none ~ true ~ 1.0 ~ [1, 'a'] }}", "{{ [none, true, 1.0, 'a', [(1, 'b')], {'k': 'v'}, 1e100] }}", "{{ messages }}", "{{ (1, 'a') }} {{ (1,) }} {{ () }}", "{{ 'a' if 1 else 'b' }}{{ 'a' if 0 }}",
    "{{ x.y.z }}", "{% set x = {'y': 1} %}{{ x.z }}|{{ x.z is defined }}|{{ x.z is none }}", "{% if not x is defined %}{% set x = false %}{% endif %}{{ x }}", "{% set x = 1 if nowhere is defined else 2 %}{{ x }}", "{{ [1, 2, 3] | map('multiply', 2) | list }}", "{{ ['a'] | map('replace', 'a', 'b') | list }} {{ [' a '] | map('trim') | join }} {{ [{'a': 1}] | map(attribute='b') | list }}",
    "{{ 'a' is sameas 'a' }} {{ 1 is sameas 1 }} {{ none is sameas none }} {{ true is sameas 1 }}", "{{ [1, 2, 3] | first }} {{ [] | first }} {{ '' | last }} {{ [] | max }} {{ {'a': 1} | first }} {{ 'abc' | last }}", "{{ [] | first is defined }}", "{{ [[1, 2], [3, 4]] | sum(start=[]) }}", "{{ 'a\tb' | expandtabs }}", "{% include 'x' %}", "{{ 'x'.__class__.__mro__ }}", "{{ ''.__class__ is defined }}", "{{ cycler('a', 'b').next() }}{{ joiner(', ')() }}", "{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}", "{% set j = joiner() %}{{ j() }}a{{ j() }}b{{ j() }}",
    "{{ '{:0>5}|{:0<5}|{:0=5}|{:05}|{:+d}|{: d}|{:#x}|{:_}|{:e}|{:.3}|{:%}|{:>8.3f}|{:d}|{}'.format(-3, 3, -3, -3, 3, 3, 255, 1234567, 1234.5, 'abcdef', 0.25, 3.14159, true, true) }}", "{{ '%-05d|%05d|%+05d|% d|%5s|%-5s|%.2s|%5.1f|%-8.2e|%G|%5d|%x|%#x|%i' % (3, -3, 3, 3, 'a', 'b', 'cde', 2.25, 12345.678, 0.00001, true, -255, 255, 2.9) }}",
    "{{ '{:>{}}'.format('a', 5) }}", "{{ '{0.a}'.format({'a': 1}) }}", "{{ '{' }}{{ '{{}}'.format() }}", "{{ '{}'.format() }}", "{{ '{} {0}'.format(1) }}", "{{ '%s %s' % ('a',) }}", "{{ '%s' % ('a', 'b') }}", "{{ '%' % 1 }}", "{{ '%q' % 1 }}", "{{ '%(a)s %(b)d' % {'a': 'x', 'b': 2} }}", "{{ '%(a)s' % {'b': 1} }}",
    "{% macro f(a, b=2, *c) %}{% endmacro %}", "{% macro f(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}{{ f(*[1, 2]) }}{{ f(**{'a': 5}) }}", "{% macro f(a) %}{{ a is defined }}{% endmacro %}{{ f() }}{{ f(none) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro f() %}{{ caller(1, 'x') }}{% endmacro %}{% call(a, b) f() %}<{{ a }}{{ b }}>{% endcall %}", "{% macro f() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}{% set x = 2 %}{{ f() }}", "{% for x in [1] %}{% macro g() %}{{ x }}{% endmacro %}{{ g() }}{% endfor %}", "{% macro f() %}{% set y = 1 %}{% endmacro %}{{ f() }}{{ y is defined }}", "{{ f() }}{% macro f() %}a{% endmacro %}",
    "{% set ns = namespace(a=[]) %}{% for i in range(3) %}{% set ns.a = ns.a + [i] %}{% endfor %}{{ ns.a }}", "{% set ns = namespace(a='') %}{% set ns.a %}b{{ 1 }}{% endset %}{{ ns.a }}", "{% set x | upper %}ab{% endset %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set (x, y) = [1, 2] %}{{ x }}{{ y }}", "{% set x, (y, z) = 1, (2, 3) %}{{ x }}{{ z }}", "{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{% for i, (a, b) in [(1, (2, 3))] %}{{ i }}{{ b }}{% endfor %}",
    "{% for x in [1, 2, 3] if x > 1 %}{{ loop.index }}/{{ loop.length }} {% endfor %}", "{% for x in [] %}{% else %}{% set y = 1 %}{{ y }}{% endfor %}{{ y is defined }}", "{% for x in [3, 1] | sort %}{{ x }}{% endfor %}{{ x is defined }}", "{% for c in 'héé' %}{{ c }}.{% endfor %}", "{% for x in {'b': 1, 'a': 2} %}{{ x }}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in [1, 2] %}{{ x if not loop.last else 'end' }}{% endfor %}", "{% for x in [[1, [2]], [3]] recursive %}{{ loop.depth }}{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}{% endif %}{% endfor %}",
    "{% if a is defined and a %}1{% elif b %}2{% else %}3{% endif %}", "{% if 1 %}{% elif %}{% endif %}", "{% if %}{% endif %}", "{% endif %}", "{% for %}", "{% unknown %}", "{{ }}", "{{ 1 + }}", "{{ (1 }}", "{{ [1, }}", "{{ 'a }}", "{% if 1 %}", "{# a", "{% raw %}", "{{ a b }}", "{{ 1 is }}", "{{ a | }}", "{{ a. }}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set a %}", "{% break %}", "{{ {1: 2, } }}{{ [1, 2, ] }}{{ (1, 2, ) }}", "{{ {'a': 1}.a }}{{ {'a': 1}['a'] }}{{ {'keys': 1}['keys'] }}",
    "{{ 1 if true else 2 if false else 3 }}", "{{ not true or true }}", "{{ not (true or true) }}", "{{ 1 + 2 ~ 3 + 4 }}", "{{ 'a' ~ 1 + 2 }}", "{{ -1 | abs }}", "{{ (-1) | abs }}", "{{ 2 * 3 ** 2 }}", "{{ 'a' in 'abc' == true }}", "{{ 1 in [1] and 2 not in [1] }}", "{{ not 1 in [1] }}", "{{ 1 < 2 == true }}", "{{ [1, 2] | length + 1 }}", "{{ 'a,b'.split(',')[0] | upper }}", "{{ 'A' if 'x' in {'x': 1} else 'B' }}", "{{ messages[0].role == 'user' and messages[-1]['content'] | length > 3 }}", "{{ messages[0].get('tool_calls') is none }}", "{{ messages[0].tool_calls is defined and messages[0].tool_calls }}", "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "{{ messages[1:] | length }}{{ messages[::-1][0].role }}", "{{ (messages | last).role }}{{ messages | map(attribute='content') | join('|') }}", "{{ 'x'.join(['a', 'b']) }}{{ ['a', 'b'] | join('x') }}", "{{ [1, 2, 3] | batch(2, 0) | map('join', '-') | join(';') }}",
    "{{ '<think>a</think>b'.split('</think>')[-1].lstrip('\\n') }}{{ '<think>a</think>b'.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}", "{{ '\\n a \\n'.strip() }}|{{ '\\n a \\n' | trim }}|", "{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'abc'.find('c') }}{{ 'aXbX'.replace('X', '', 1) }}{{ 'a b  c'.split() }}{{ 'a b  c'.split(' ') }}", "{{ {'a': 1, 'b': [1, 2]} }}{{ {'a': 1}.items() | list }}{{ {'a': {'b': 1}} | items | list }}", "{{ 1.0 }}{{ 3 / 1 }}{{ 7 // 2 }}{{ 1e3 | int }}{{ '1' | int + 1 }}{{ 1_0 }}", "{{ dict(a=1, b=2) | tojson }}{{ namespace(a=1).a }}{{ range(3) | list }}{{ range(1, 4) | sum }}",
    "{{ 'é' | length }}{{ '日本' | upper }}{{ '日本語'[1] }}{{ 'ß' | upper }}{{ 'ǆ' | capitalize }}{{ 'İ' | lower | length }}", "{{ true | string }}{{ none | string }}{{ 1.50 | string }}{{ [1] | string }}", "{{ 'a' | safe }}{{ ('<' | e) ~ '>' }}{{ ('<' | escape) | length }}{{ 'a' | safe is string }}{{ 'a' | e is escaped }}", "{{ ('a' | safe) + '<' }}", "{{ 'x' | default('y') }}{{ nowhere | default('y') }}{{ none | default('y') }}{{ '' | default('y', true) }}{{ nowhere.a | default('y') }}", "{{ {'a': nowhere} | tojson }}", "{{ [nowhere] }}", "{{ {'a': none} | tojson }}{{ none | tojson }}{{ true | tojson }}{{ 'a' | tojson }}{{ 1.0 | tojson }}",
]


def split(text):
    return [part.strip() for part in text.replace("\n", " ").split("; ")]


def main():
    made = environment()

    def cell(template):
        try:
            text = made.from_string(template).render(messages=[{"role": "user", "content": "Hello!"}])
        except Exception:
            return None
        shown = text.lower()
        return "skip" if "0x7" in shown or "<class" in shown or len(text) > 4000 else text

    values = [value.replace("\\n", "\\n") for value in split(VALUES)]
    rows = [f"{{{{ V is {test} }}}}" for test in split(TESTS)]
    rows += [f"{{{{ V | {name} }}}}" for name in split(FILTERS)]
    rows += [f"{{{{ V.{method} }}}}" for method in split(METHODS)]
    rows += [f"{{{{ {expression} }}}}" for expression in split(OPERATORS)]
    rows += STATEMENTS.split("\n")
    # A variable rather than the value itself, which a parser may treat differently.
    table = [[row, [cell(f"{{% set V = {value} %}}" + row) for value in values]] for row in rows]
    texts = [[text, cell(text)] for text in TEXTS]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in table)
    more = ",\n".join(json.dumps(row, ensure_ascii=False) for row in texts)
    values = json.dumps(values, ensure_ascii=False)
    (FOLDER / "cells.json").write_text(f'{{"values": {values},\n"rows": [\n{lines}\n],\n"texts": [\n{more}\n]}}\n', encoding="utf-8")


main()
