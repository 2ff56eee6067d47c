"""assert_enqueued and its kin, on every kind of connection, inside the transaction of a test."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outbox
from outbox.testing import (
    Outgoing,
    aassert_enqueued,
    aassert_nothing_enqueued,
    aenqueued,
    assert_enqueued,
    assert_nothing_enqueued,
    enqueued,
)
from outbox.testing.matching import compare
from tests.hands import enqueue
from tests.kinds import KINDS, Async, opened

if TYPE_CHECKING:
    from collections.abc import Callable

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "template": "verify"}


def complaint(work: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as refused:
        work()
    return str(refused.value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_what_was_enqueued_is_found_before_the_commit_on_any_connection(kind: Any, database_url: str) -> None:
    async with opened(kind, database_url) as transaction:
        given = {
            "payload": {"code": "123456", "user": {"name": "Ada"}},
            "idempotency_key": "verify:1",
            "topic": "signup",
        }
        result = await transaction.enqueue(**ADA, **given)
        wanted: dict[str, Any] = {
            "payload": {"user": {"name": "Ada"}},
            "idempotency_key": "verify:1",
            "topic": "signup",
            "count": 1,
        }
        if isinstance(transaction, Async):
            await aassert_nothing_enqueued(transaction.conn, channel="sms")
            (found,) = await aassert_enqueued(transaction.conn, **ADA, **wanted)
        else:
            assert_nothing_enqueued(transaction.conn, channel="sms")
            (found,) = assert_enqueued(transaction.conn, **ADA, **wanted)
        assert (found.id, found.payload["code"], found.state) == (result.id, "123456", "due")
        await transaction.rollback()
        left = await aenqueued(transaction.conn) if isinstance(transaction, Async) else enqueued(transaction.conn)
        assert left == []


def test_what_others_have_committed_is_not_this_tests(database_url: str, conn: psycopg.Connection) -> None:
    enqueue(database_url, 2)
    assert_nothing_enqueued(conn)
    enqueue(database_url, 1)  # by a transaction that began after ours, and has ended: we see it
    outbox.enqueue(conn, **ADA)
    enqueue(database_url, 1)
    assert [each.recipient for each in enqueued(conn)] == ["ada@example.org"]
    assert len(enqueued(conn, committed=True)) == 5


def test_a_test_may_look_before_it_writes_anything(conn: psycopg.Connection) -> None:
    """The number from which ages are counted is then another than that of the transaction."""
    with psycopg.connect(conn.info.dsn) as other:
        assert_nothing_enqueued(conn)
        outbox.enqueue(other, **ADA | {"recipient": "eve@example.org"})  # takes the next number
        other.commit()
        outbox.enqueue(conn, **ADA)
        assert [each.recipient for each in enqueued(conn)] == ["ada@example.org"]


def test_savepoints_are_of_the_transaction_and_what_is_rolled_back_is_not(conn: psycopg.Connection) -> None:
    conn.execute("SELECT 1")  # begins the outermost
    with conn.transaction():
        outbox.enqueue(conn, **ADA)
        with conn.transaction():
            outbox.enqueue(conn, **ADA, locale="de")
    with conn.transaction(force_rollback=True):
        outbox.enqueue(conn, **ADA, locale="fr")
    assert [each.locale for each in enqueued(conn)] == [None, "de"]


def test_without_a_transaction_everything_counts(database_url: str) -> None:
    enqueue(database_url, 2)
    with psycopg.connect(database_url, autocommit=True) as conn:
        assert_enqueued(conn, count=2)


def test_what_was_cancelled_or_gathers_for_a_digest_says_so(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA, group_key="g")
    outbox.cancel(conn, group_key="g")
    for number in (1, 2):
        outbox.enqueue(conn, **ADA, payload={"n": number}, digest_key="d", digest_window=timedelta(minutes=5))
    assert [each.state for each in enqueued(conn)] == ["cancelled", "gathering", "gathering"]
    assert_enqueued(conn, payload={"n": 2}, state="gathering", run_at=timedelta(minutes=5))


def test_times_are_matched_from_the_enqueue_on_within_a_second(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA, run_at=timedelta(minutes=10), expires_at=timedelta(hours=1), priority="bulk")
    assert_enqueued(conn, run_at=timedelta(minutes=10), expires_at=timedelta(hours=1), priority="bulk")
    (found,) = enqueued(conn)
    assert_enqueued(conn, run_at=found.run_at + timedelta(seconds=0.9), priority=8, state="scheduled")
    assert_nothing_enqueued(conn, run_at=found.run_at - timedelta(seconds=1.1))
    assert_nothing_enqueued(conn, run_at=timedelta(minutes=9))
    assert_nothing_enqueued(conn, expires_at=None)


def test_patterns_and_functions_are_asked(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA, payload={"code": "123456", "items": [{"sku": "a"}, {"sku": "b"}]})
    assert_enqueued(conn, recipient=re.compile("@example.org$"), payload={"code": str.isdigit})
    assert_enqueued(conn, payload={"items": [{}, {"sku": "b"}]})
    assert_nothing_enqueued(conn, payload={"items": [{"sku": "a"}]})
    assert_nothing_enqueued(conn, payload={"code": 123456})


def test_the_complaint_shows_what_was_enqueued_instead_nearest_first(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, channel="sms", recipient="+447700900001", payload={"text": "Hi"})
    near = outbox.enqueue(conn, **ADA, payload={"code": "654321", "name": "Ada"})
    text = complaint(lambda: assert_enqueued(conn, **ADA, payload={"code": "123456"}))
    wanted = "channel 'email', recipient 'ada@example.org', template 'verify', payload containing {'code': '123456'}"
    assert text.splitlines()[:8] == [
        f"no notifications match with {wanted}; wanted one at least",
        "",
        "2 were enqueued, nearest first (- wanted, + enqueued):",
        "",
        f"  email to ada@example.org, template verify (due, {near.id})",
        "    payload.code:",
        "      - '123456'",
        "      + '654321'",
    ]
    assert text.index("sms to +447700900001") > text.index("email to ada")
    assert "    payload.code:\n      - '123456'\n      + nothing" in text


def test_long_texts_are_compared_line_by_line(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA, payload={"text": "Dear Ada,\nyour order is on its way.\nYours"})
    text = complaint(lambda: assert_enqueued(conn, payload={"text": "Dear Ada,\nyour order was lost.\nYours"}))
    assert "      - your order was lost." in text
    assert "      + your order is on its way." in text
    assert "        Dear Ada," in text


def test_too_many_are_complained_of_as_too_few_are(conn: psycopg.Connection) -> None:
    for _ in range(7):
        outbox.enqueue(conn, **ADA)
    text = complaint(lambda: assert_enqueued(conn, channel="email", count=1))
    assert text.startswith("7 notifications match with channel 'email'; wanted 1\n\nthese match:\n")
    assert text.endswith("  … and 2 more")
    assert complaint(lambda: assert_nothing_enqueued(conn)).startswith("7 notifications were enqueued:\n  email to ada")


def test_a_transaction_with_nothing_in_it_is_told_what_others_have(conn: psycopg.Connection, database_url: str) -> None:
    text = complaint(lambda: assert_enqueued(conn, channel="email"))
    assert "nothing at all was enqueued in this transaction" in text
    assert "committed=True" not in text
    enqueue(database_url, 3)
    text = complaint(lambda: assert_enqueued(conn, channel="email"))
    assert "3 were committed before, or by others: committed=True looks at them, too" in text


def test_an_unknown_field_names_the_nearest(conn: psycopg.Connection) -> None:
    with pytest.raises(TypeError, match="recipent is no field of a notification; did you mean recipient"):
        assert_enqueued(conn, recipent="ada@example.org")


def test_the_wrong_kind_of_connection_is_told_which_function_to_use(conn: psycopg.Connection) -> None:
    with pytest.raises(TypeError, match="is synchronous"):
        asyncio.run(aassert_enqueued(conn))


def some(**changes: Any) -> Outgoing:
    now = datetime.now(UTC)
    fields = dict.fromkeys(Outgoing._fields) | {"payload": {}, "created_at": now, "run_at": now} | changes
    return Outgoing(**fields)  # type: ignore[arg-type]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_a_payload_contains_itself_and_each_part_of_itself(payload: dict[str, Any]) -> None:
    outgoing = some(payload=payload)
    assert compare(outgoing, {"payload": payload}).differences == ()
    for key, value in payload.items():
        part = {name: each for name, each in payload.items() if name != key}
        assert compare(outgoing, {"payload": part}).differences == ()
        lacking = compare(some(payload=part), {"payload": payload})
        assert (lacking.distance > 0) == (lacking.differences != ())
        assert lacking.differences[0].place == f"payload.{key}" or value == {}
