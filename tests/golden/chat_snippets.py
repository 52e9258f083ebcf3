"""Jinja goldens of single constructs -> chat/snippets.jsonl.

Each row is a template `t` with what the transformers library's own environment makes of it: `out`, or `error`, with
the message where the template or an undefined value gives it, else null (another implementation says it in its own
words).  The variables of all rows are in the first row, `vars`.

    python chat_snippets.py
"""

import copy
import json
import random
import warnings
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import _cached_compile_jinja_template as compile_template

HERE = Path(__file__).resolve().parent / "chat"
VARS = {
    "s": "Hello, World", "e": "", "u": "stra\u00dfe \u00c9t\u00e9 \u4f60\u597d \U0001f600", "sp": "  a b  c \n", "n": 5, "m": -7,
    "f": 2.5, "z": 0, "t": True, "fa": False, "no": None, "l": [3, 1, 2], "el": [], "ls": ["b", "A", "c", "a"],
    "d": {"a": 1, "b": "x", "c": [1, {"k": None}], "items": "own", "e\u00e9": 2.0}, "ed": {}, "nested": [[1, 2], [3, [4]]],
    "msgs": [{"role": "system", "content": "S"}, {"role": "user", "content": " hi "},
             {"role": "assistant", "content": "yo\n", "n": 2}, {"role": "user", "content": "bye", "n": 1}],
    "json": {"s": "q\"\\\n\t\u0001/<>&'\u00e9\u2028\U0001f600", "i": [1, -2, 3.0, 1e20, 1e-7, 0.1], "b": [True, False, None], "o": {}, "l": []},
}

EXPR = r"""
1+2 | 7//2 | -7//2 | 7%3 | -7%3 | 7%-3 | 7/2 | 2**10 | -2**2 | 2**-1 | 2**3**2 | 7.5//2 | -7.5%2 | 1e3 | 1.5e-7 | 1_000 | 0x1f | 0b101 | 0o17
1.0 | 100.0*1e15 | 1e16 | 1e22 | 0.1+0.2 | 1/3 | 5.0|int | 2.5|round | 3.5|round | 2.675|round(2) | 42.55|round(1,'floor') | 42.55|round(1,'ceil') | 5|round | 15|round(-1) | 25|round(-1)
n + t | n * 'ab' | 'ab' * n | l * 2 | 2 * l | 'a' ~ 1 ~ none ~ 2.0 ~ l | 'a' + 'b' | l + [4] | (1,2) + (3,) | l + (1,) | 'a' + 1 | 1 + 'a' | 1 + none | -s | +n | -t | not n | not e
1 < 2 < 3 | 1 < 3 < 2 | 1 == 1.0 | 1 == true | 'a' < 'b' | 'a' < 'B' | [1,2] < [1,3] | (1,) < (1,2) | 'a' < 1 | l == [3,1,2] | d == d | {'a':1,'b':2} == {'b':2,'a':1} | none == none | 1 != 2 | 'x' in 'xyz' | 'x' not in 'xyz'
3 in l | 9 not in l | 'a' in d | 'z' in d | 1 in 'a' | 1 in 5 | none in [none] | '' in 'a' | 'el' in 'Hello' | [1,2] in nested | 'a' in undefinedvar | true in [1]
t and n | fa and n | e or 'x' | fa or none | n and e | not t or fa | 'a' if t | 'a' if fa | 'a' if fa else 'b' | ('a' if n > 3 else 'b') ~ 'c' | 1 if fa else 2 if fa else 3 | not n == 5 | not 1 in l
s[0] | s[-1] | s[99] | s[1:3] | s[::-1] | s[::2] | s[:-1] | s[-3:] | s[5:2] | s[:] | u[0:4] | u[-1] | u[::-1] | l[0] | l[-1] | l[9] | l[1:] | l[::-1] | l[-2:] | l[5:] | l[::-2] | l[4:0:-1] | l[none:2] | (1,2,3)[1:] | l['0'] | l['x']
d.a | d['a'] | d.c[1].k | d['c'][1]['k'] | d.items() | d['items'] | d.keys()|list | d.values()|list | d.zz | d['zz'] | d.zz.y | d['zz']['y'] | d.get('a') | d.get('zz') | d.get('zz', 9) | d.get(1) | d|length | d|list | d.copy() | d['e\u00e9'] | d.c.0 | nested[1][1][0] | nope | nope.x | nope['x'] | nope() | n.x | n['x'] | s.x | no.x | no['x'] | t.x | d[l]
msgs[0].role | msgs[0]['role'] | msgs[-1].content | msgs[1:][0].role | msgs[0].nope is defined | msgs|length | msgs[::-1][0].content | msgs|last | msgs|first | (msgs|first).role | msgs[0] | msgs[9].role
s.upper() | s.lower() | s.title() | s.capitalize() | s.swapcase() | u.upper() | u.lower() | u.title() | u|title | 'foo-bar (baz) [qux] it\'s'|title | 'foo-bar it\'s'.title() | 'HELLO'|capitalize | u|capitalize | 'x'.center(5) ~ '|' | 'xy'.center(5,'*') | 'x'.ljust(3) ~ '|' | 'x'.rjust(3,'.') | '7'.zfill(3) | '-7'.zfill(4) | 'x'|center(4) ~ '|'
sp.strip() | sp.lstrip() | sp.rstrip() ~ '|' | sp|trim | 'xxaxx'.strip('x') | 'xyaxy'|trim('yx') | 'xxa'.lstrip('x') | 'axx'.rstrip('x') | '\u00a0a\u3000'.strip() | '\x1ca\x1f'.strip() | '\u200ba'.strip() | 'abc'.strip('') | s.strip(none) | 'prefixed'.removeprefix('pre') | 'a.py'.removesuffix('.py') | 'a'.removesuffix('')
'a,b,,c'.split(',') | 'a,b,c'.split(',', 1) | 'a,b,c'.rsplit(',', 1) | sp.split() | sp.split(none, 1) | sp.rsplit(none, 1) | sp.split(' ') | ''.split() | ''.split(',') | 'abc'.split('') | 'a--b--c'.split('--')[-1] | 'a--b'.split('--', maxsplit=1) | 'aXbX'.split(sep='X') | 'a\nb\r\nc\u2028d'.splitlines() | 'a\nb\n'.splitlines(true) | 'a=b=c'.partition('=') | 'a=b=c'.rpartition('=') | 'abc'.partition('=') | 'abc'.rpartition('=') | ','.join(ls) | ','.join(l) | ''.join([]) | '-'.join('abc')
'</think>x</think>y'.split('</think>')[-1] | '<think>a</think>\n\nb'.split('</think>')[-1].lstrip('\n') | '<think>\na\n</think>\n\nb'.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n')
s.startswith('He') | s.startswith('lo') | s.startswith(('x','He')) | s.endswith('ld') | s.endswith(('ld',)) | s.startswith('l', 2) | s.endswith('H', 0, 1) | s.startswith('', 99) | s.find('o') | s.rfind('o') | s.find('z') | s.index('z') | s.index('W') | s.count('l') | s.count('') | 'aaa'.count('aa') | u.find('\u4f60') | s.find('o', 5) | s.replace('l','L') | s.replace('l','L',1) | 'aaa'.replace('','-') | 'aaa'.replace('','-',2) | 'aaa'.replace('aa','b') | s|replace('o','0') | s|replace('o','0',1) | 5|replace(5,6) | ''.replace('a','b')
'abc'.isalpha() | '12'.isdigit() | '1a'.isalnum() | ' '.isspace() | ''.isspace() | 'AB'.isupper() | 'ab1'.islower() | 'A1'.islower() | '\u4f60'.isalpha() | '\u0663'.isdigit() | '\u00bd'.isnumeric() | 'a'.isascii()
'%s and %s' % ('a', 1) | '%s' % 'x' | '%d' % 3.7 | '%5.2f|' % 3.14159 | '%05d' % 42 | '%-5s|' % 'ab' | '%x' % 255 | '%+d' % 3 | '%%' % () | '%s' % l | '%r' % 'a\'b' | '%s %s' % 'a' | '%d' % 'a' | '%(a)s-%(b)s' % d | 'a' % () | 'a' % 1 | '%s-%s'|format(1,'b') | '%.2s' % 'abc' | '%(x)s'|format(x=3) | '%5s' % u
'{} {}'.format(1, 'a') | '{0}{1}{0}'.format('a','b') | '{x}'.format(x=1) | '{{}}'.format() | '{'.format() | '{}'.format()
l|tojson | d|tojson | json|tojson | json|tojson(indent=2) | json|tojson(indent=0) | json|tojson(indent='\t') | json|tojson(ensure_ascii=true) | json|tojson(separators=(',',':')) | json|tojson(sort_keys=true) | json|tojson(indent=2, separators=(',', ' : ')) | 'a'|tojson | none|tojson | 1.0|tojson | 1e400|tojson | {1:2, none:3, true:4, 1.5:5}|tojson | (1,2)|tojson | nope|tojson | range(2)|tojson | d.items()|tojson | []|tojson(indent=2) | {}|tojson(indent=2) | [[]]|tojson(indent=2)
l|string | d|string | u|string | none|string | t|string | 1.5|string | nested | ['a\'b', "a\"b", 'a\'"b', 'a\nb\\\t\x00\x7f\u200b\u00e9', 1.0, none, nope] | (1,) | () | (1,2) | {'a': (1, [2])} | {} | [] | range(3) | range(2, 5) | d.keys() | d.values() | d.items() | namespace(a=1) | {1: 'a', 'b': none}
range(5)|list | range(2,5)|list | range(5,2,-1)|list | range(0,10,3)|list | range(3)[1] | range(3)[-1] | range(10)[2:4]|list | range(0)|list | range(1,2,0)|list | range(200000)|length | range('a') | range(3)|length | range(3)|first | range(3)|last | 2 in range(3)
l|sort | l|sort(reverse=true) | ls|sort | ls|sort(case_sensitive=true) | ls|sort(true) | msgs|sort(attribute='role')|map(attribute='content')|list | ['b',1]|sort | l|reverse|list | s|reverse | u|reverse | (1,2)|reverse|list | ls|unique|list | ['a','A','b']|unique|list | ['a','A','b']|unique(true)|list | l|min | l|max | el|min | ls|min | ls|max(case_sensitive=true) | msgs|max(attribute='role') | l|sum | l|sum(start=10) | msgs[2:]|sum(attribute='n') | el|sum | ['a']|sum | [[1],[2]]|sum(start=[])
l|join | l|join(', ') | ls|join('-') | msgs|join(',', attribute='role') | s|join('.') | el|join('x') | d|join(',') | nope|join | 5|join | ls|join(1) | l|first | el|first | el|first|default('x') | el|last | s|first | s|last | d|first | (l|select('odd'))|first | (l|select)|last | nope|first | nope|last | l|length | s|length | u|length | nope|length | 5|length | l|count | (l|select)|length
l|map('string')|join(',') | ls|map('upper')|list | msgs|map(attribute='role')|list | msgs|map(attribute='n')|list | msgs|map(attribute='n', default=0)|list | d.c|map(attribute='k', default='q')|list | [' a ']|map('trim')|list | [[1,2],[3]]|map('join','-')|list | ls|map('replace','a','z')|list | msgs|map('nosuch')|list | msgs|map|list | el|map('nosuch')|list | nested|map(attribute='1')|list | nested|map(attribute=0)|list | msgs|map(attribute='content.0')|list
l|select('odd')|list | l|reject('odd')|list | l|select('gt', 1)|list | l|select('>', 1)|list | [0,1,none,'']|select|list | [0,1,none,'']|reject|list | msgs|selectattr('role','equalto','user')|list|length | msgs|selectattr('role','==','user')|map(attribute='content')|list | msgs|rejectattr('role','in',['user','system'])|map(attribute='role')|list | msgs|selectattr('n')|list | msgs|selectattr('n','defined')|list|length | msgs|selectattr('n','undefined')|list|length | msgs|selectattr|list | l|select('nosuch')|list | l|select('divisibleby',3)|list
nope|default('x') | none|default('x') | ''|default('x', true) | ''|default('x') | 0|default(1, boolean=true) | nope|d | d.zz|default('q') | nope.a|default('x') | d|items|list | nope|items|list | l|items|list | d|dictsort | {'b':1,'A':2}|dictsort | {'b':1,'A':2}|dictsort(true) | {'b':1,'A':2}|dictsort(by='value') | {'b':1,'a':2}|dictsort(reverse=true) | l|dictsort | {'b':1,1:2}|dictsort
'5'|int | '5.7'|int | 'x'|int | 'x'|int(9) | ' 12 '|int | '0x1f'|int(base=16) | '1f'|int(0,16) | '0b11'|int(0,2) | '1_0'|int | none|int | 5.9|int | -5.9|int | t|int | '-3'|int | '+3'|int | ''|int | 'inf'|float | '2.5'|float | 'x'|float | 'x'|float(1.5) | 5|float | none|float | nope|int | 'nan'|int | '1e3'|int | 1e400|int
'a\nb\n\nc'|indent | 'a\nb\n\nc'|indent(2) | 'a\nb\n\nc'|indent(2, true) | 'a\n\nc'|indent(2, blank=true) | 'a\nb'|indent('> ') | 'a\nb'|indent(width=1, first=true) | 5|indent | 'a'|upper | 5|upper | none|lower | nope|upper | none|trim | 5|abs | -5|abs | -2.5|abs | 'a'|abs | 'a<b'|e | 'a<b"\''|escape | ('a<'|safe) ~ '<' | 'a'|safe | 'one two'|wordcount | 'foo bar baz qux'|truncate(9) | 'foo bar baz qux'|truncate(9, true) | 'foo bar baz qux'|truncate(11) | 'foo bar baz qux'|truncate(11, false, '..', 0) | [1,2,3]|batch(2)|list | [1,2,3]|batch(2,'x')|list | msgs|groupby('role')|list|length | d|attr('a') | d|attr('get') is callable | s|nosuch | s|urlize | l|random is defined
[1,2,3]|list is sequence | s is string | l is string | d is mapping | l is mapping | s is iterable | 5 is iterable | nope is iterable | l is iterable | l is sequence | 5 is sequence | n is number | t is number | f is number | s is number | n is integer | t is integer | f is float | n is float | t is boolean | n is boolean | t is true | fa is false | n is true | 1 is true | no is none | n is none | nope is none | nope is defined | s is defined | nope is undefined | d.zz is defined | d.a is defined | d['a'] is defined | n is odd | n is even | n is divisibleby 5 | n is divisibleby(2) | n is eq 5 | n is equalto 5 | n == 5 is true | n is ne 4 | n is gt 4 | n is lt 4 | n is ge 5 | n is le(5) | s is upper | 'A' is upper | 'a' is lower | n is in [5] | 'a' is in 'abc' | n is not in [5] | n is not none | not n is none | no is not none | none is sameas none | 1 is sameas true | n is sameas 5 | range is callable | s.upper is callable | s is callable | nope is callable | n is nosuch | 'x' is filter | 'trim' is filter | 'odd' is test | n is none or t | n is defined and n > 3 | n is number + 0 | s is sequence | (l|select) is sequence | (l|select) is iterable | namespace() is mapping | n is odd is true | n is eq none
-n|abs | (-5)|abs | n + 2|string | 'a' ~ n|string ~ 'b' | n ** 2 | 2 * n ~ 'x' | 'a' 'b' "c" | 'a\tb\\n\'"' | "\x41\u00e9\U0001f600\101" | 'a\qb' | "it's" | 'caf\u00e9' | 'a\
b' | [1,2,] | {'a':1,} | (1) | (1,) | () | [] | {} | {'a':{'b':{}}} | [[1],[2]][0][0] | (1,2)|length | 1,2 | [1,2][1] | "a}}b" | '%}' | {'a':1}['a'] | {'a':1}.a | true | True | none | None | False | dict(a=1) | dict({'x':1}, y=2) | dict([('a',1)]) | dict | namespace | d.update({}) | l.append(1) | l.index(2) | l.count(1) | l.index(9) | (1,1).count(1) | s.__class__ | d.__class__ | l.sort() | n.real | s.encode() | s.format_map(d) | s.nope() | d.nope() | s() | 5() | none() | lipsum | cycler | joiner
""".strip("\n")

STMT = [
    "{% for x in l %}{{ x }},{% endfor %}", "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in el %}a{% else %}b{% endfor %}", "{% for x in l if x > 1 %}{{ loop.index }}{{ x }}{{ loop.last }}{% else %}none{% endfor %}", "{% for x in l if x > 9 %}a{% else %}none{% endfor %}",
    "{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for a, (b, c) in [(1,(2,3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for a, b in l %}{% endfor %}", "{% for a, b in [(1,2,3)] %}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}",
    "{% for c in u %}[{{ c }}]{% endfor %}", "{% for x in nope %}a{% endfor %}b", "{% for x in 5 %}{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}", "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}", "{% for x in l %}{{ loop.cycle('a','b') }}{% endfor %}", "{% for x in [1,1,2] %}{{ loop.changed(x) }}{% endfor %}", "{% for x in l %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}{{ loop }}",
    "{% for x in [1,[2,[3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}", "{% for x in [1] %}{{ loop([1]) }}{% endfor %}", "{% for x in l|sort|reverse %}{{ x }}{% endfor %}", "{% for x in l[::-1] %}{{ x }}{% endfor %}", "{% for x in l + [9] %}{{ x }}{% endfor %}", "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}", "{% for x in (l if t else el) %}{{ x }}{% endfor %}",
    "{% if t %}a{% elif n %}b{% else %}c{% endif %}", "{% if fa %}a{% elif n %}b{% else %}c{% endif %}", "{% if fa %}a{% elif z %}b{% else %}c{% endif %}", "{% if fa %}a{% elif z %}b{% endif %}", "{% if fa %}a{% else %}{% if t %}b{% else %}c{% endif %}d{% endif %}", "{% if nope %}a{% endif %}x", "{% if nope.x %}a{% endif %}", "{% if l|select('gt',9) %}gen{% endif %}", "{% if fa %}{{ s|nosuch }}{% endif %}ok", "{% if not nope is defined and t %}y{% endif %}", "{% if d.items() %}y{% endif %}{% if ed.items() %}n{% endif %}",
    "{% set x = 1 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set x = 1, 2 %}{{ x }}", "{% set x %}a{{ n }}b{% endset %}{{ x|upper }}", "{% set x | upper %}ab{% endset %}{{ x }}", "{% set x | replace('a','b') | upper %}ab{% endset %}{{ x }}", "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "{% for i in l %}{{ y|default('u') }}{% set y = i %}{% endfor %}{{ y is defined }}", "{% if t %}{% set q = 3 %}{% endif %}{{ q }}", "{% set s = s|upper %}{{ s }}", "{% for i in l %}{{ x }}{% set x = i %}{% endfor %}",
    "{% set ns = namespace(a=1, b='x') %}{% set ns.a = ns.a + 1 %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{{ ns.c is defined }}", "{% set ns = namespace() %}{% set ns.x = [] %}{% for i in l %}{% set ns.x = ns.x + [i] %}{% endfor %}{{ ns.x }}", "{% set d.a = 1 %}", "{% set nope.a = 1 %}", "{% set ns = namespace(_x=1) %}", "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% set ns = namespace({'a': 2}) %}{{ ns.a }}{{ ns['a'] }}", "{% set ns = namespace(a=1) %}{% set ns.a, x = 5, 6 %}{{ ns.a }}{{ x }}", "{% set ns = namespace(f=false) %}{% for m in msgs %}{% if m.role == 'user' and not ns.f %}{% set ns.f = true %}{{ m.content|trim }}{% endif %}{% endfor %}",
    "{% macro f(a, b=2, c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(1, c=4) }} {{ f(a=5) }}", "{% macro f(a) %}[{{ a }}]{% endmacro %}{{ f() }}{{ f(1) }}", "{% macro f(a) %}{{ a.x }}{% endmacro %}{{ f() }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}", "{% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, x=3) }}", "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}", "{% macro f() %}{{ x }}{% endmacro %}{% set x = 1 %}{{ f() }}{% set x = 2 %}{{ f() }}",
    "{% macro f() %}{% set y = 1 %}{% endmacro %}{{ f() }}{{ y is defined }}", "{% macro f() %}\n  a\n{% endmacro %}\n{{ f()|trim }}", "{% macro w(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call w('b') %}x{{ n }}{% endcall %}", "{% macro w() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) w() %}{{ a }}+{{ b }}{% endcall %}", "{% macro w() %}x{% endmacro %}{% call w() %}y{% endcall %}", "{% macro f(x, y=x) %}{{ y }}{% endmacro %}{{ f(3) }}", "{% macro f() %}{% endmacro %}{{ f }}{{ f.name }}", "{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 1, 'b': 2}) }}{{ f(1, a=2) }}", "{% macro f() %}{{ caller }}{{ caller is defined }}{% endmacro %}{{ f() }}", "{% for x in l %}{% macro g() %}{{ x }}{% endmacro %}{{ g() }}{% endfor %}", "{{ f() }}{% macro f() %}{% endmacro %}",
    "{% filter upper %}a{{ n }}b{% endfilter %}", "{% filter replace('a', 'b')|upper %}aXa{% endfilter %}", "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{% endwith %}{{ q }}", "{% set a = 5 %}{% with a = 1, b = a %}{{ b }}{% endwith %}", "{% raw %}{{ x }}{% y %}{% endraw %}z", "a {%- raw -%} {{ b }} {%- endraw -%} c", "{# comment #}a{#- c -#} b {#+ c +#}c", "a{# x\n\n #}\nb", "{% generation %}a{{ n }}{% endgeneration %}b", "{% print n %}",
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "  {% if t %}  \n  b\n  {% endif %}  \n", "a  {% if t %}b{% endif %}", "a\n  {%- if t %}\n b{% endif -%}  \n c", "a\n  {%+ if t %}b{% endif +%}\nc", "x  {{ n }}  y\n", "x \n {{- n -}} \n y", "{{ n }}\n{{ n }}\n", "{{ n }}\n\n", "\n\n{{ n }}", "a\r\nb\rc\n", "{% if t -%}\n\n  x{% endif %}", "  {# c #}\nx", "  {# c #} x", "x {# c #}\ny", "   {% set x = 1 %}\n   {{ x }}", "\t{% if t %}\n\ty\n\t{% endif %}\n", "a\n   {% if t %}   b   {% endif %}   \nc", "{% for x in l %}\n  {{ x }}\n{% endfor %}\nend", "{%- for x in l -%}\n  {{ x }}\n{%- endfor -%}\nend", "{% if t %}\n\n\na{% endif %}", "{{- n }}", "{{ n -}}  x", "{{+ n }}", "a{%- set x = 1 +%}\nb", "  {%- set x = 1 -%}  ", "a \u00a0{%- set x = 1 -%}\u3000 b", "{{ 'a' }}{%- if t %} b {%- endif %}\nc", "{%if t%}x{%endif%}", "{{n}}{{-n-}}{{n}}", "text only", "", "\n", "{", "{ {", "a } } b %}", "{{ '{{' }}", "{{ \"%}\" }}x", "{% set x = '}}' %}{{ x }}", "{{ {'a': {'b': 1}} }}",
    "{{ raise_exception('Conversation roles must alternate') }}", "{{ raise_exception('bad ' ~ n) }}", "{% if t %}{{ raise_exception(\"it's \\\"x\\\"\") }}{% endif %}", "{{ raise_exception(message='m') }}", "{{ strftime_now is defined }}", "{{ strftime_now('%d %b %Y') }}",
    "{% set content = [] %}{% for m in msgs %}{% set content = content + [m.content] %}{% endfor %}{{ content }}", "{{ msgs[loop.index0 - 1] }}", "{%- for m in msgs %}{%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('alternate') }}{%- endif -%}{%- endfor %}", "{% for m in msgs %}{{ '<|' + m['role'] + '|>\\n' + m['content']|trim + '<|end|>' }}{% endfor %}", "{{ '' if loop is not defined else 'x' }}",
    "{% for k, v in json|items %}{{ k }}:{{ v|tojson }}\n{% endfor %}", "{% for k, v in d|dictsort %}{{ k }}{% endfor %}", "{{ [1,2,3]|map('string')|list }}", "{% set g = l|select('odd') %}{{ g|list }}{{ g|list }}", "{% set g = l|map('string') %}{{ g|first }}{{ g|list }}", "{{ l|select('odd') is defined }}",
    # errors of syntax
    "{% if t %}", "{% endif %}", "{% for x in l %}{% endif %}", "{{ n", "{% if t", "{{ n }", "{{ 'a }}", "{{ (1 }}", "{{ 1) }}", "{{ [1}} ]", "{# x", "{% raw %}a", "{{ }}", "{{ a b }}", "{{ 1 + }}", "{{ a. }}", "{{ a.1b }}", "{{ | }}", "{% set 1 = 2 %}", "{% set %}", "{% for in l %}{% endfor %}", "{% for x l %}{% endfor %}", "{% nosuch %}", "{% break %}", "{% macro f(a=1, b) %}{% endmacro %}", "{{ f(a=1, 2) }}", "{{ f(a b) }}", "{{ ! }}", "{{ a ? b }}", "{{ 'a' is }}", "{{ x is string is string }}", "{{ {1} }}", "{{ {'a' 1} }}", "{{ a[ }}", "{% if t %}a{% else %}b{% else %}c{% endif %}", "{% elif %}", "{{ \"\\ud800\" }}", "{{ '\\xg' }}", "{% set x = %}", "{{ a $ b }}", "{{ not }}", "{{ a if }}", "{{ 007 }}", "{{ 1__0 }}", "{% call 5 %}{% endcall %}", "{{ a;b }}",
]


def render(text):
    try:
        template = compile_template(text)
        return {"t": text, "out": template.render(**copy.deepcopy(VARS))}
    except jinja2.exceptions.UndefinedError as e:
        return {"t": text, "error": str(e)}
    except jinja2.exceptions.TemplateSyntaxError:
        return {"t": text, "error": None}
    except jinja2.exceptions.TemplateError as e:
        return {"t": text, "error": str(e) if "raise_exception" in text else None}
    except Exception:                   # what Python itself raises, in its own words
        return {"t": text, "error": None}


def generated(n):
    """Random expressions: all operators, filters and methods on all kinds of values."""
    r = random.Random(7)
    leaf = ["s", "e", "u", "sp", "n", "m", "f", "z", "t", "fa", "no", "l", "el", "ls", "d", "ed", "nested", "msgs", "nope", "1", "0",
            "-1", "'a'", "','", "2", "1.5", "none", "true", "[1, 'a']", "{'k': 1}", "(1, 2)", "range(3)", "d.a", "d.zz", "msgs[1].content"]
    filters = ["trim", "upper", "lower", "title", "capitalize", "length", "first", "last", "list", "string", "int", "float", "abs",
               "join", "join(',')", "sort", "reverse", "unique", "unique|list", "tojson", "tojson(indent=1)", "default('d')",
               "default('d', true)", "min", "max", "sum", "items|list", "dictsort", "map('string')|list", "select|list", "reject|list",
               "map(attribute='role')|list", "selectattr('role')|list", "replace('a', 'b')", "indent", "round", "batch(2)|list",
               "wordcount", "reverse|list", "select('string')|list", "reject('none')|list", "attr('x')", "count"]
    tests = ["string", "number", "mapping", "iterable", "sequence", "defined", "undefined", "none", "true", "false", "boolean",
             "integer", "float", "odd", "even", "in [1, 'a']", "eq 1", "lt 2", "sameas none", "upper", "lower", "callable", "divisibleby 2"]
    methods = ["strip()", "upper()", "split()", "split('a')", "items()", "keys()|list", "get('a')", "startswith('H')", "title()",
               "lstrip('H')", "replace('l', 'L')", "count('l')", "index(1)", "values()|list", "find('o')", "splitlines()", "x", "role",
               "rsplit(' ', 1)", "join(ls)", "capitalize()", "endswith('\\n')"]
    ops = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
    subs = ["0", "-1", "'a'", "1:", ":2", "::-1", "1:2", "'role'", "9", "-2:", "::2"]

    def expr(depth):
        k = r.random()
        if depth == 0 or k < 0.15:
            return r.choice(leaf)
        if k < 0.4:
            return f"({expr(depth - 1)})|{r.choice(filters)}"
        if k < 0.6:
            return f"({expr(depth - 1)}) {r.choice(ops)} ({expr(depth - 1)})"
        if k < 0.7:
            return f"({expr(depth - 1)}) is {r.choice(['', 'not '])}{r.choice(tests)}"
        if k < 0.8:
            return f"({expr(depth - 1)}).{r.choice(methods)}"
        if k < 0.9:
            return f"({expr(depth - 1)})[{r.choice(subs)}]"
        if k < 0.95:
            return f"({expr(depth - 1)}) if ({expr(depth - 1)}) else ({expr(depth - 1)})"
        return r.choice(["not ({})", "[{}]", "({},)", "{{'k': {} }}", "-({})"]).format(expr(depth - 1))

    seen = set()
    while len(seen) < n:
        e = expr(r.randint(1, 3))
        if e not in seen:
            seen.add(e)
            yield "{{ " + e + " }}"


def folded(row):
    """Whether it slices a constant that has no slices: Jinja's compiler makes that undefined, not an error."""
    try:
        tree = compile_template("").environment.parse(row["t"])
    except jinja2.exceptions.TemplateSyntaxError:
        return False
    for node in tree.find_all(jinja2.nodes.Getitem):
        try:
            if isinstance(node.arg, jinja2.nodes.Slice) and not isinstance(node.node.as_const(), (str, list, tuple)):
                return True
        except jinja2.nodes.Impossible:
            pass
    return False


def unsupported(row):
    """What has an answer in Python that another machine or run would not give."""
    out = row.get("out") or ""
    words = [" at 0x", "<class", "object"]
    names = ["random", "urlize", "n.real", "encode", "format_map", "__class__"]
    lone = any("\ud800" <= c <= "\udfff" for c in out)
    return lone or any(w in out for w in words) or any(w in row["t"] for w in names) or out and "strftime_now(" in row["t"]


def main():
    HERE.mkdir(exist_ok=True)
    warnings.simplefilter("ignore", SyntaxWarning)
    texts = ["{{ " + e + " }}" for line in EXPR.split("\n") for e in split(line)] + STMT + list(generated(1500))
    rows = [r for r in map(render, texts) if not unsupported(r) and not folded(r)]
    with open(HERE / "snippets.jsonl", "w", encoding="ascii") as f:
        f.write(json.dumps({"vars": VARS}) + "\n")
        for row in rows:
            f.write(json.dumps(row) + "\n")
    print(len(rows), "snippets,", sum("error" in r for r in rows), "of them errors")


def split(line):
    """At ' | ' between blanks, which no expression of the table needs."""
    return [e.strip() for e in line.split(" | ") if e.strip()]


if __name__ == "__main__":
    main()
