"""What the sandbox refuses, what it lets through, and that no payload ends up in an error."""

from __future__ import annotations

import time
import traceback
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.errors import Rejected
from outbox.render import Templates
from outbox.sandbox import MOST_STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def body(tmp_path: Path, text: str, variables: Mapping[str, Any] | None = None) -> str:
    """Render a template of this text."""
    (tmp_path / "t").mkdir(exist_ok=True)
    (tmp_path / "t/body.txt").write_text(text)
    return Templates(tmp_path).render("t", variables or {})["body.txt"]


def refusal(tmp_path: Path, text: str, variables: Mapping[str, Any] | None = None) -> str:
    """Say why a template of this text is refused."""
    with pytest.raises(Rejected) as refused:
        body(tmp_path, text, variables)
    return refused.value.detail


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "{{ table[code] }}",
        "{{ code.nothing }}",
        "{{ code | int + code }}",
        "{{ code + 1 }}",
        "{{ code | from_elsewhere }}",
        "{{ '%d' | format(code) }}",
        "{{ '{:d}'.format(code) }}",
        "{{ code.encode('no such') }}",
        "{{ [code] | map(attribute=code) | join }}",
        "{{ code | attr('_' ~ code) }}",
        "{{ code['__' ~ code] }}",
        "{% include code %}",
        "{% include [code, 'x'] %}",
        "{% extends code %}",
        "{% import code as x %}",
        "{{ {}[code] }}",
        "{{ cycler(code)[code] }}",
        "{{ code() }}",
        "{{ 1 / 0 ~ code }}",
        "{{ code | groupby(code) }}",
        "{{ code | dictsort(by=code) }}",
        "{{ code | map(code) | list }}",
        "{{ code | select(code) | list }}",
        "{{ namespace(code) }}",
    ],
)
def test_no_error_quotes_the_payload(tmp_path: Path, text: str) -> None:
    with pytest.raises(Rejected) as refused:
        body(tmp_path, text, {"code": SECRET, "table": {}})
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None
    assert "t/body.txt, line 1: " in refused.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ ''|attr('__class__') }}",
        "{{ '' | attr('__cla' ~ 'ss__') }}",
        "{{ [''] | map(attribute='__class__') | join }}",
        "{{ '{0.__class__}'.format('') }}",
        "{{ '{x.__class__}'.format_map({'x': ''}) }}",
        "{{ ('{0.__class__}' | attr('format'))('') }}",
        "{{ ['{0.__class__}'.format] | map('call') | list }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ lipsum.__globals__ }}",
        "{{ range.__globals__ }}",
        "{{ request.application.__globals__ }}",
        "{{ config.items() }}",
        "{{ payload.clear() }}",
        "{{ payload.update(a=1) }}",
        "{{ payload.list.append(1) }}",
        "{{ payload.pop('list') }}",
        "{% set payload.list = 1 %}",
        "{% macro m() %}{% endmacro %}{{ m.__globals__ }}",
        "{% for x in [1] %}{{ loop.__class__ }}{% endfor %}",
        "{{ (1).__class__ }}",
        "{{ undefined_thing.__class__ }}",
        "{{ dict.__base__ }}",
        "{{ dict.mro() }}",
        "{% import os %}",
        "{{ open('/etc/passwd') }}",
        "{{ __import__('os') }}",
        "{{ eval('1') }}",
    ],
)
def test_a_template_does_not_get_out_of_the_sandbox(tmp_path: Path, text: str) -> None:
    payload = {"list": [1]}
    refusal(tmp_path, text, {"payload": payload})
    assert payload == {"list": [1]}


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'a' * 200000000 }}",
        "{{ 200000000 * 'a' }}",
        "{{ [0] * 200000000 }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ 9 ** 9 ** n }}",
        "{% set x = namespace(n=10) %}{% for i in range(40) %}{% set x.n = x.n * x.n %}{% endfor %}{{ x.n > 0 }}",
        "{% set x = namespace(s='aa') %}{% for i in range(40) %}{% set x.s = x.s + x.s %}{% endfor %}",
        "{% set x = namespace(s='aa') %}{% for i in range(40) %}{% set x.s = x.s ~ x.s %}{% endfor %}",
        "{% set x = namespace(s=[1]) %}{% for i in range(40) %}{% set x.s = x.s + x.s %}{% endfor %}",
        "{% set x = namespace(s='a') %}{% for i in range(40) %}{% set x.s %}{{ x.s }}{{ x.s }}{% endset %}{% endfor %}",
        "{{ '%300000000d' % 1 }}",
        "{{ '%.300000000f' % 1 }}",
        "{{ '%*d' % (300000000, 1) }}",
        "{{ '%300000000d' | format(1) }}",
        "{{ '%(n)300000000d' | format(n=1) }}",
        "{{ '{:300000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, n) }}",
        "{{ '{x:>300000000}'.format_map({'x': 1}) }}",
        "{{ 'a' | center(n) }}",
        "{{ ['a'] | map('center', n) | join }}",
        "{{ 'a'.center(n) }}",
        "{{ 'a'.ljust(n) }}",
        "{{ '1'.zfill(n) }}",
        "{{ '\\t'.expandtabs(n) }}",
        "{{ 'a\\nb' | indent(n) }}",
        "{{ 'a\\nb' | indent('a' * 1000000) }}",
        "{{ [1] | batch(n, 'x') | list }}",
        "{{ [1] | slice(n, 'x') | list }}",
        "{{ ('a' * 1000000) | replace('a', 'a' * 1000000) }}",
        "{{ ('a' * 1000000).replace('a', 'a' * 1000000) }}",
        "{{ 'a'.translate({97: 'b'}) }}",
        "{{ ('a' * 1000000).join(['x', 'x', 'x']) }}",
        "{{ range(9000) | join('a' * 1000000) }}",
        "{{ ([('a' * 1000000)] * 9000) | join }}",
        "{{ [[1]] | tojson(indent=n) }}",
        "{{ range(n) | list }}",
        "{{ range(0, n, 2) | sum }}",
        "{{ lipsum(n) }}",
        "{% for i in range(10000) %}{% for j in range(10000) %}{{ j }}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
        "{% for i in range(10000) %}{% for j in range(10000) if false %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
        "{% for x in [[]] recursive %}{% for i in [1, 2] if loop.depth %}{{ loop([[]]) }}{% endfor %}{% endfor %}",
        "{% set d = (d or 0) + 1 %}{% if d < 40 %}{% include 't/body.txt' %}{% include 't/body.txt' %}{% endif %}",
        "{% block b %}{{ self.b() }}{{ self.b() }}{% endblock %}",
        "{% include 't/body.txt' %}",
        "{% extends 't/body.txt' %}",
    ],
)
def test_a_bomb_is_refused_before_it_eats_memory_or_time(tmp_path: Path, text: str) -> None:
    tracemalloc.start()
    started = time.thread_time()
    try:
        refusal(tmp_path, text, {"n": 300_000_000})
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert time.thread_time() - started < 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ '%-6s|%8.2f' | format('Tea', 3) }}", "Tea   |    3.00"),
        ("{{ 'In 2024: %d%%' | format(5) }}", "In 2024: 5%"),
        ("{{ '{:>10,.2f}'.format(1234.5) }}", "  1,234.50"),
        ("{{ '-' * 20 }}", "-" * 20),
        ("{{ 3 * 4 + 2 ** 10 % 7 }}", "14"),
        ("{{ 'a,b' | replace(',', ', ') | center(8) }}", "  a, b  "),
        ("{{ ', '.join(['a', 'b']) }} {{ [1, 2] | join('-') }}", "a, b 1-2"),
        ("{{ [{'n': 'x'}, {'n': 'y'}] | join(', ', attribute='n') }}", "x, y"),
        ("{{ {'a': [1]} | tojson(indent=2) }}", '{\n  "a": [\n    1\n  ]\n}'),
        ("{{ range(3) | list }}{{ 'a' ~ 1 }}", "[0, 1, 2]a1"),
        ("{{ 'a\nb' | indent(2) }}", "a\n  b"),
        ("{{ [1, 2, 3] | batch(2, 0) | list }}", "[[1, 2], [3, 0]]"),
    ],
)
def test_what_honest_templates_do_is_not_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert body(tmp_path, text) == expected


def test_a_template_that_loops_too_much_is_told_so_with_the_place(tmp_path: Path) -> None:
    loops = "\n{% for i in range(10000) %}{% for j in range(11) %}{% endfor %}{% endfor %}"
    assert refusal(tmp_path, loops) == (
        "template t: t/body.txt, line 2: the sandbox refuses over 100,000 turns of loops and calls"
    )
    assert body(tmp_path, loops.replace("11", "8")).strip() == ""


def test_a_template_that_takes_too_long_is_refused_by_the_time_that_it_computes(tmp_path: Path) -> None:
    slow = "{% for i in range(9999) %}{% if range(9999) | map('string') | sort | join %}{% endif %}{% endfor %}"
    assert refusal(tmp_path, slow) == "template t: t/body.txt, line 1: the sandbox refuses over 2 s of computing"


@given(outer=st.integers(0, 600), inner=st.integers(0, 600))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_loops_have_as_many_turns_as_they_say_or_are_refused_at_the_limit(
    tmp_path: Path, outer: int, inner: int
) -> None:
    text = "{% for i in range(a) %}{% for j in range(b) %}.{% endfor %}{% endfor %}"
    turns = outer * inner + outer
    if turns > MOST_STEPS + 200:
        assert "over 100,000 turns" in refusal(tmp_path, text, {"a": outer, "b": inner})
    elif turns < MOST_STEPS - 200:
        assert body(tmp_path, text, {"a": outer, "b": inner}) == "." * (outer * inner)


def test_each_message_has_all_the_turns_for_itself(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/body.txt").write_text("{% for i in range(9000) %}{% for j in range(9) %}{% endfor %}{% endfor %}")
    templates = Templates(tmp_path)
    assert [templates.render("t", {}) for _ in range(3)] == [{"body.txt": ""}] * 3


def test_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    assert len(body(tmp_path, "{{ text }}{{ text }}", {"text": "x" * 524_288})) == 1_048_576
    assert refusal(tmp_path, "{{ text }}{{ text }}.", {"text": "x" * 524_288}).endswith(
        "the sandbox refuses text of over 1,048,576 characters"
    )
