"""How much JSON is taken, and that a bomb is refused before it goes off."""

from __future__ import annotations

import gc
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outbox
from outbox import email_fields
from outbox.queue import draft

if TYPE_CHECKING:
    from collections.abc import Callable

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
names = words.filter(lambda name: name not in email_fields.FIELDS)  # those have a shape of their own
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=8,
)


class Pair(NamedTuple):
    first: Any
    second: Any


@pytest.mark.parametrize(
    "around",
    [
        lambda inner: {"d": inner},
        lambda inner: [inner],
        lambda inner: OrderedDict(d=inner),
        lambda inner: Pair(1, inner),
    ],
    ids=["dict", "list", "a kind of dict", "a kind of tuple"],
)
def test_a_payload_may_be_nested_a_hundred_deep_and_no_deeper(around: Callable[[Any], Any]) -> None:
    value: Any = 1
    for _ in range(99):
        value = around(value)
    assert draft.Draft.of({**ADA, "payload": {"d": value}})
    with pytest.raises(outbox.InvalidNotification, match="nested deeper than 100"):
        draft.Draft.of({**ADA, "payload": {"d": around(value)}})


def test_a_tuple_counts_as_nested_after_the_garbage_collector_has_let_go_of_it() -> None:
    deep: Any = ()
    for _ in range(101):
        deep = (deep,)
        gc.collect(0)
    payload = {"d": deep}
    assert not gc.is_tracked(payload)
    with pytest.raises(outbox.InvalidNotification, match="nested deeper than 100"):
        draft.Draft.of({**ADA, "payload": payload})


def test_a_payload_that_would_be_a_terabyte_of_json_is_refused_at_once() -> None:
    """It is the same list a thousand times, four times over: small in memory, and never written out."""
    bomb: Any = "x"
    for _ in range(4):
        bomb = [bomb] * 1_000
    with pytest.raises(outbox.InvalidNotification, match=r"is at least [\d,]+ bytes of JSON; at most 262,144"):
        draft.Draft.of({**ADA, "payload": {"bomb": bomb}})


@pytest.mark.parametrize("field", ["channel", "recipient", "template", "priority"])
def test_a_bomb_in_another_field_is_refused_in_few_words(field: str) -> None:
    with pytest.raises(outbox.InvalidNotification) as error:
        draft.Draft.of(ADA | {field: "x" * 1_000_000})
    assert error.value.field == field
    assert len(str(error.value)) < 200


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(payload=st.dictionaries(names, json_values))
def test_a_payload_is_taken_up_to_the_very_byte(monkeypatch: pytest.MonkeyPatch, payload: dict[str, Any]) -> None:
    """What is counted before it is written as JSON is never more than is written."""
    size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    monkeypatch.setattr(draft, "PAYLOAD_LIMIT", size)
    notification = {**ADA, "payload": payload}
    assert len(draft.Draft.of(notification).payload.encode()) == size
    monkeypatch.setattr(draft, "PAYLOAD_LIMIT", size - 1)
    with pytest.raises(outbox.InvalidNotification, match=f"at most {size - 1:,} are taken"):
        draft.Draft.of(notification)
