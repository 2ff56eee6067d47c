"""Unsubscribing by a token, in the caller's transaction, on every kind of connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from outbox import suppressions, unsubscribe
from outbox.errors import ExpiredToken, InvalidToken, NotInTransaction
from outbox.unsubscribe import KeptBack, Unsubscribed, handle, masked, resubscribe
from tests.hands import enqueue, rows
from tests.kinds import KINDS, Async, opened
from tests.unsubscribing import ADA, KEYS, expired_token, token

STANDING = "SELECT channel, recipient, topic, reason, source FROM outbox.suppressions"


def act(url: str, which: str) -> Unsubscribed:
    with psycopg.connect(url) as conn:
        return handle(conn, which, KEYS)


def test_a_token_unsubscribes_whom_it_is_about_and_ends_what_waits_for_them(database_url: str) -> None:
    enqueue(database_url, 2, recipient=ADA, topic="news")
    enqueue(database_url, 1, recipient=ADA, topic="receipts")
    done = act(database_url, token("Ada@Example.org"))
    assert done == Unsubscribed(
        "email", "Ada@Example.org", "news", created=True, reason="unsubscribed", ended=2, in_hand=0
    )
    assert rows(database_url, STANDING) == [("email", ADA, "news", "unsubscribed", "one-click")]
    assert rows(database_url, "SELECT topic FROM outbox.status WHERE state <> 'suppressed'") == [("receipts",)]


def test_a_second_time_changes_nothing(database_url: str) -> None:
    first, second = act(database_url, token()), act(database_url, token())
    assert (first.created, second.created) == (True, False)
    assert len(rows(database_url, STANDING)) == 1


def test_a_stronger_reason_stays_and_is_told(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        suppressions.add(conn, channel="email", recipient=ADA, topic="news", reason="complaint")
    done = act(database_url, token())
    assert (done.created, done.reason) == (False, "complaint")


def test_roll_back_and_nothing_has_happened(conn: psycopg.Connection, database_url: str) -> None:
    handle(conn, token(), KEYS)
    conn.rollback()
    assert rows(database_url, STANDING) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_it_works_in_the_transaction_of_every_kind_of_connection(kind: Any, database_url: str) -> None:
    async with opened(kind, database_url) as transaction:
        waits = isinstance(transaction, Async)

        async def ask(name: str) -> Any:
            verb = getattr(unsubscribe, f"a{name}" if waits else name)
            answer = verb(transaction.conn, token(), KEYS)
            return await answer if waits else answer

        assert (await ask("handle")).created
        assert await ask("resubscribe") is True
        assert await ask("resubscribe") is False
        assert (await ask("handle")).created
        assert rows(database_url, STANDING) == []
        await transaction.commit()
    assert len(rows(database_url, STANDING)) == 1


def test_outside_a_transaction_nothing_happens(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn, pytest.raises(NotInTransaction):
        handle(conn, token(), KEYS)
    assert rows(database_url, STANDING) == []


@pytest.mark.parametrize(("which", "error"), [("AQ", InvalidToken), ("expired", ExpiredToken)])
def test_what_is_no_good_token_never_reaches_the_database(which: str, error: type[Exception]) -> None:
    no_connection = object()
    for verb in (handle, resubscribe):
        with pytest.raises(error):
            verb(no_connection, expired_token() if which == "expired" else which, KEYS)


@pytest.mark.parametrize(("reason", "lifted"), [("unsubscribed", True), ("complaint", False)])
def test_only_an_opt_out_is_taken_back(conn: psycopg.Connection, reason: str, lifted: bool) -> None:  # noqa: FBT001
    suppressions.add(conn, channel="email", recipient=ADA, topic="news", reason=reason)
    assert resubscribe(conn, token(), KEYS) is lifted
    assert bool(suppressions.find(conn, channel="email", recipient=ADA)) is not lifted


def test_a_word_of_ones_own_stays_if_the_caller_rolls_back(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        suppressions.add(conn, channel="email", recipient=ADA, topic="news", reason="on_holiday")
    with pytest.raises(KeptBack, match="another reason: on_holiday"), psycopg.connect(database_url) as conn:
        resubscribe(conn, token(), KEYS)
    assert [row[3] for row in rows(database_url, STANDING)] == ["on_holiday"]


def test_an_opt_out_of_everything_stays_when_that_of_a_topic_is_taken_back(conn: psycopg.Connection) -> None:
    suppressions.add(conn, channel="email", recipient=ADA, reason="unsubscribed")
    handle(conn, token(), KEYS)
    assert resubscribe(conn, token(), KEYS)
    assert [one.topic for one in suppressions.find(conn, channel="email", recipient=ADA)] == [None]


@pytest.mark.parametrize(
    ("channel", "recipient", "shown"),
    [
        ("email", "ada@example.org", "a•••@example.org"),
        ("email", "a@example.org", "•••@example.org"),
        ("email", "nobody", "•••"),
        ("sms", "+447700900123", "•••123"),
        ("inapp", "user:42", "•••"),
    ],
)
def test_a_recipient_is_shown_to_those_who_know_it(channel: str, recipient: str, shown: str) -> None:
    assert masked(channel, recipient) == shown


def test_what_happened_shows_no_address(database_url: str) -> None:
    done = act(database_url, token())
    assert done.masked == "a•••@example.org"
    assert ADA not in repr(done)


def test_two_at_the_same_time_are_one_opt_out(database_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: act(database_url, token()), range(16)))
    assert sum(one.created for one in done) == 1
    assert len(rows(database_url, STANDING)) == 1
