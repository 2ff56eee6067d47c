"""What a template says of itself in its template.toml, and what an application has of it when it enqueues."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.errors import ConfigError, InvalidNotification
from outbox.templates import Catalogue
from outbox.templates.manifest import Manifest, read
from outbox.templates.variables import KINDS, check_of

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

SHIPPED = """
channel = "email"
topic = "orders"
priority = "high"
expires_in = "2h"
[variables]
name = "string"
nick = "string?"
"""
GIVEN: dict[str, Any] = {"recipient": "ada@example.org", "payload": {"name": "Ada"}}


def manifest(text: str, **beside: str) -> Manifest:
    return read(
        "t", {"t/template.toml": text, **{f"t/{name.replace('__', '.')}": each for name, each in beside.items()}}
    )


def problems(text: str, **beside: str) -> list[str]:
    with pytest.raises(ConfigError) as wrong:
        manifest(text, **beside)
    return [problem.removeprefix("t/template.toml") for problem in wrong.value.problems]


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    for name, text in {"shipped/template.toml": SHIPPED, "shipped/body.txt": "x", "plain/body.txt": "{% if"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Catalogue(tmp_path)


def refused(catalogue: Catalogue, **given: Any) -> str:
    with pytest.raises(InvalidNotification) as wrong:
        catalogue.completed({"template": "shipped", **GIVEN, **given})
    return str(wrong.value)


def test_a_template_without_a_file_of_its_own_says_nothing() -> None:
    assert read("t", {}) == Manifest()
    assert manifest("") == Manifest()


def test_every_key_is_read() -> None:
    said = manifest('locale = "de"\ninline_css = false\n' + SHIPPED, sample__json="{}")
    assert (said.locale, said.inline_css) == ("de", False)
    assert (said.channels, said.topic, said.priority, said.expires_in) == (("email",), "orders", "high", 7200.0)
    assert said.samples == ("t/sample.json",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('chanels = ["email"]', ": chanels is not a known key; did you mean channels?"),
        ('channel = "E-Mail"', ": channel is 'E-Mail'; it must be the name of a channel, such as \"email\""),
        ('channel = "email"\nchannels = ["sms"]', ": channels is one too many: give channel or channels"),
        ("channels = []", ': channels is []; it must be a list, such as ["…"]'),
        ("topic = 7", ': topic is 7; it must be a text of 1 to 255 characters, such as "orders"'),
        ("priority = 12", ": priority is 12; it must be urgent, high, normal, bulk, or a number from 0 "),
        ("priority = true", ": priority is True; it must be urgent, high, normal, "),
        ('expires_in = "soon"', ": expires_in 'soon' is not a duration: write it like 250ms, 30s, 5m, 1h30m or 2d"),
        ("expires_in = 0", ': expires_in is 0; it must be above zero, such as "1h"'),
        ('locale = "English!"', ': locale is \'English!\'; it must be a language, such as "en" or "pt-BR"'),
        ("inline_css = 1", ": inline_css is 1; it must be true or false"),
        ('samples = ["none.json"]', ": samples is 'none.json'; it must be a file beside it, which this is not"),
        ("variables = 7", ': variables must be a table: write [variables], and below it name = "string"'),
        ('[variables]\nname = "str"', ": variables.name: 'str' is not a type such as "),
        ("[variables.order]\nitems = [1]", ": variables.order.items[]: 1 is not a type"),
        ('schema = "none.json"', ": schema is 'none.json'; it must be a file beside it, which this is not"),
        ("channel = ", " is not TOML: Invalid value (at "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_would_be_right(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert found.startswith(problem)


def test_all_mistakes_are_found_at_once() -> None:
    assert len(problems('topic = 7\npriority = 12\nlocal = "en"')) == 3


@pytest.mark.parametrize(
    ("kind", "fits", "does_not"),
    [
        ("string", ["", "x"], [1, True, [], {}]),
        ("integer", [0, -7], ["1", 1.5, True]),
        ("number", [0, 1.5], ["1", False]),
        ("decimal", [3, 3.5, "3.50", "-1"], ["3,50", "", "NaN", "1e9", True]),
        ("boolean", [True, False], [0, "true"]),
        ("date", ["2030-01-31"], ["31.1.2030", "2030-02-31", 7]),
        ("datetime", ["2030-01-31T09:00:00Z", "2030-01-31 09:00+02:00"], ["soon", 7]),
        ("url", ["https://example.org/x"], ["javascript:alert(1)", "example.org", "https://"]),
        ("list", [[], [1], (1,)], [{}, "x"]),
        ("object", [{}, {"a": 1}], [[], "x"]),
        ("any", [0, "", []], []),
    ],
)
def test_each_type_takes_what_it_says(kind: str, fits: list[Any], does_not: list[Any]) -> None:
    check, optional = check_of({"x": kind}), check_of({"x": f"{kind}?"})
    for value in fits:
        assert check({"x": value}) is None
    for value in does_not:
        misfit = check({"x": value})
        assert misfit is not None
        assert misfit.path == "payload.x"
        assert misfit.problem.startswith(f"must be {KINDS[kind][0]}, not ")
    assert [check({"x": None}), check({})] == [
        ("payload.x", f"must be {KINDS[kind][0]}, not null"),
        ("payload.x", f"is missing; it must be {KINDS[kind][0]}"),
    ]
    assert optional({"x": None}) is optional({}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DECLARED = st.recursive(
    st.sampled_from([name + mark for name in KINDS for mark in ("", "?")]),
    lambda inner: st.lists(inner, min_size=1, max_size=1) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


@given(declared=st.dictionaries(st.sampled_from("ab"), DECLARED), payload=st.dictionaries(st.sampled_from("abc"), JSON))
def test_any_payload_fits_or_is_refused_in_words_of_ours(declared: dict[str, Any], payload: dict[str, Any]) -> None:
    misfit = check_of(declared)(payload)
    if misfit is not None:
        assert misfit.path.startswith("payload.")
        assert set(misfit.path.removeprefix("payload")) <= set(".[]0123456789ab")


def test_a_schema_says_what_it_wants_and_quotes_no_value() -> None:
    schema = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[A-Z]"},
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        },
        "$defs": {"item": {"required": ["price"], "properties": {"price": {"type": "integer"}}}},
        "additionalProperties": {"type": "integer"},
    }
    check = manifest('schema = "schema.json"', schema__json=json.dumps(schema)).check
    assert check is not None
    assert check({"name": "Ada", "items": [{"price": 3}]}) is None
    assert check({}) == ("payload", 'lacks "name"')
    assert check({"name": "hunter2"}) == ("payload.name", 'does not keep to the schema\'s pattern: "^[A-Z]"')
    assert check({"name": "A", "items": [{}]}) == ("payload.items[0]", 'lacks "price"')
    assert check({"name": "A", "items": [{"price": "hunter2"}]}) == (
        "payload.items[0].price",
        'does not keep to the schema\'s type: "integer"',
    )
    assert check({"name": "A", "hunter2": "hunter2"}) == ("payload.*", 'does not keep to the schema\'s type: "integer"')


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("{", "schema.json is not JSON: Expecting property name"),
        ('{"type": 7}', "schema.json is no JSON Schema: "),
        ('{"$ref": "https://example.org/x.json"}', "schema.json is no JSON Schema: "),
        ('{"$ref": "file:///etc/passwd"}', "schema.json is no JSON Schema: "),
    ],
)
def test_what_is_no_schema_is_refused(schema: str, problem: str) -> None:
    (found,) = problems('schema = "schema.json"', schema__json=schema)
    assert problem in found


def test_a_notification_has_what_its_template_says_where_it_says_nothing_itself(catalogue: Catalogue) -> None:
    completed = catalogue.completed({"template": "shipped", **GIVEN})
    defaults = {"channel": "email", "topic": "orders", "priority": "high", "expires_at": timedelta(hours=2)}
    assert completed == {"template": "shipped", **GIVEN, **defaults}
    own = {"channel": "email", "topic": "t", "priority": 0, "expires_at": timedelta(minutes=1)}
    assert catalogue.completed({"template": "shipped", **GIVEN, **own}) == {"template": "shipped", **GIVEN, **own}


def test_an_expiry_counts_from_when_it_is_due(catalogue: Catalogue) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    later = catalogue.completed({"template": "shipped", **GIVEN, "run_at": timedelta(hours=1)})
    assert later["expires_at"] == timedelta(hours=3)
    then = catalogue.completed({"template": "shipped", **GIVEN, "run_at": moment})
    assert then["expires_at"] == datetime(2030, 1, 1, 2, tzinfo=UTC)


def test_what_does_not_fit_is_refused_with_the_field(catalogue: Catalogue) -> None:
    assert refused(catalogue, payload={}) == "payload.name: is missing; it must be a string"
    assert refused(catalogue, payload=None) == "payload.name: is missing; it must be a string"
    assert refused(catalogue, payload={"name": "A", "nick": 7}) == "payload.nick: must be a string, not an integer"
    assert refused(catalogue, channel="sms") == "channel: the template shipped is for email, not for 'sms'"
    assert refused(catalogue, template="shiped").startswith("template: there is no template 'shiped' in ")
    with pytest.raises(InvalidNotification, match=r"\[1\]\.payload\.name: is missing"):
        catalogue.enqueue_many(None, [{"template": "shipped", **GIVEN}, {"template": "shipped"}])


def test_a_notification_is_enqueued_with_all_of_it(catalogue: Catalogue, conn: psycopg.Connection) -> None:
    catalogue.enqueue(conn, template="shipped", **GIVEN)
    catalogue.enqueue_many(conn, [{"template": "shipped", **GIVEN}, {"channel": "sms", "recipient": "+1"}])
    row = "channel, topic, priority, expires_at - created_at"
    assert conn.execute(f"SELECT {row} FROM outbox.notifications ORDER BY id").fetchall() == [
        ("email", "orders", 2, timedelta(hours=2)),
        ("email", "orders", 2, timedelta(hours=2)),
        ("sms", None, 5, None),
    ]


def test_a_wrong_template_toml_is_the_developers_to_mend(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "template.toml").write_text("topic = 7")
    (tmp_path / "t" / "body.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"t/template\.toml: topic is 7"):
        Catalogue(tmp_path).completed({"template": "t"})


def test_a_catalogue_loads_no_jinja2_and_no_other_tool() -> None:
    ask = "import outbox.templates, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True).stdout
    assert not {"jinja2", "httpx", "pydantic", "jsonschema_rs", "typer", "rich"}.intersection(loaded.split())
