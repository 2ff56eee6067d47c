"""Many that are checked together are what each would be by itself, or are refused as the first of them would be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.alike import all_as_json
from outbox.errors import InvalidNotification
from outbox.payloads import as_json
from outbox.queue.draft import PAYLOAD_LIMIT, Draft
from outbox.queue.together import columns

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NAMES = ["channel", "recipient", *(name for name in Draft._fields[2:])]

words = st.sampled_from(["a", "é", "", "x" * 255, "x" * 256, "a\\b", '"', "%s", "a\tb", "\x7f", "\ud800", "\x00", "☃"])
scalars = words | st.integers() | st.floats() | st.booleans() | st.none() | st.just(10**5000)
payloads: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"n": scalars, "text": words}),
    st.fixed_dictionaries({"50 %": scalars}, optional={"b": scalars | st.lists(scalars) | st.just(()), "cc": words}),
    st.dictionaries(st.sampled_from(["a", 1, True, None, ("a",), "\ud800"]), scalars, max_size=2),
    st.sampled_from(
        [None, {}, [], "text", {"text": "x" * PAYLOAD_LIMIT}, {"text": "\\u0000"}, {"to": {"name": "Ada"}}]
    ),
)
one: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(["push", "push", "email", "sms", "Push", None, []]),
        "recipient": st.sampled_from(["ada@example.org", "+49 30 123", "x" * 1025, "é" * 3000]) | words | st.none(),
    },
    optional={
        "payload": payloads,
        "priority": st.sampled_from(["bulk", 3, True, 10, "later", None]),
        "headers": st.sampled_from([None, {"Reply-To": "a@example.org"}, {"x": 1}, "x"]),
        "time_zone": st.sampled_from([None, "Europe/Berlin", "Mars"]),
        "unless_sent": st.sampled_from([None, UUID(int=7), str(UUID(int=7)), "7"]),
        "run_at": st.sampled_from([None, timedelta(seconds=1), timedelta(seconds=-1)]),
        **dict.fromkeys(
            ("template", "topic", "group_key", "ordering_key", "idempotency_key", "locale"), words | st.none()
        ),
        "who": st.just("unknown"),
    },
)
alike = st.lists(
    st.fixed_dictionaries({"channel": st.just("push"), "recipient": st.just("ada"), "payload": payloads}), min_size=1
)


def ended(work: Any) -> Any:
    """Return what it returns, or whom it refuses and why."""
    try:
        return [list(column) for column in work()]
    except InvalidNotification as error:
        return error.field, error.problem


@given(st.lists(one, min_size=1, max_size=4) | alike)
def test_many_that_are_checked_together_are_what_each_is_by_itself(given: list[dict[str, Any]]) -> None:
    used: set[str] = set().union(*given)
    names = [name for name in NAMES if name in {"channel", "recipient", "trace"} | used]
    drafts = ended(lambda: zip(*(Draft.of(one, place, TRACE) for place, one in enumerate(given)), strict=True))
    if isinstance(drafts, list):
        drafts = [drafts[Draft._fields.index(name)] for name in names]
    assert ended(lambda: columns(given, range(len(given)), names, used, TRACE)) == drafts


@given(st.lists(payloads.filter(lambda payload: isinstance(payload, dict)), min_size=1, max_size=4))
def test_what_is_written_together_is_the_json_of_each(values: list[dict[str, Any]]) -> None:
    together = all_as_json(values, PAYLOAD_LIMIT)
    assert together is None or together == [as_json("payload", value, PAYLOAD_LIMIT) for value in values]


@pytest.mark.parametrize(
    "values",
    [
        [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}],
        [{"50 %": 'a "quote"'}, {"50 %": "%s"}],
        [{"a": True, "b": 1.5}, {"a": None, "b": 1}],
    ],
)
def test_what_is_alike_is_written_together(values: list[dict[str, Any]]) -> None:
    assert all_as_json(values, PAYLOAD_LIMIT) == [as_json("payload", value, PAYLOAD_LIMIT) for value in values]


@pytest.mark.parametrize(
    "odd",
    [
        {"n": 1, "text": "\x00"},
        {"n": "\x00", "text": ""},
        {"n": 1, "text": "half a pair \ud800"},
        {"n": "half a pair \ud800", "text": ""},
        {"n": float("nan"), "text": ""},
        {"n": 10**5000, "text": ""},
        {"n": 1, "text": ("a", "b")},
        {"n": 1, "text": ["a"]},
        {"n": 1, "text": "x" * 1001},
        {"n": None, "text": "x" * PAYLOAD_LIMIT},
        {"n": 1, "text": "a"} | dict.fromkeys(map(str, range(100))),
        {"n": 1, 2: ""},
        {"text": "", "n": 1},
        {},
    ],
)
def test_where_one_is_not_like_the_others_each_is_looked_at(odd: dict[Any, Any]) -> None:
    usual = {"n": 1, "text": "a"}
    assert all_as_json([usual, odd], PAYLOAD_LIMIT) is None
    assert all_as_json([odd, usual], PAYLOAD_LIMIT) is None


def test_keys_that_are_no_texts_or_cannot_be_stored_are_looked_at_one_by_one() -> None:
    for key in (1, None, True, "\x00", "\ud800", "x" * 1001):
        assert all_as_json([{key: 1}, {key: 2}], PAYLOAD_LIMIT) is None
