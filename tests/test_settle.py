from __future__ import annotations

import secrets

import psycopg
import pytest

from outbox.errors import clean
from outbox.outcomes import (
    Ambiguous,
    Dead,
    Deferred,
    Expired,
    Failure,
    Outcome,
    Retry,
    Sent,
    Suppressed,
    Suppression,
)
from outbox.queue.replay import replay
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle

REFUSED = Failure("unreachable", "550 5.1.1", "no such user")


@pytest.mark.parametrize(
    ("outcome", "state", "attempts"),
    [
        (Sent(provider="smtp", provider_message_id="q1"), "sent", 1),
        (Retry(provider="smtp", failure=TROUBLE, delay=60), "retrying", 1),
        (Dead(provider="smtp", failure=REFUSED, reason="unreachable"), "dead", 1),
        (Deferred(provider="smtp", failure=TROUBLE, delay=60), "deferred", 0),
        (Suppressed(failure=Failure("suppressed", None, "unsubscribed")), "suppressed", 0),
        (Expired(failure=Failure("expired", None, "1.0 s late")), "expired", 0),
        (Ambiguous(provider="smtp", failure=TROUBLE, delay=60), "retrying", 1),
        (Ambiguous(provider="smtp", failure=TROUBLE, reason="in_doubt"), "dead", 1),
    ],
    ids=lambda value: value.name if isinstance(value, Outcome) else None,
)
async def test_every_outcome_leaves_a_state_and_a_record(
    database_url: str, outcome: Outcome, state: str, attempts: int
) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url, worker=3)
    assert await settle(database_url, claimed, outcome, worker=3)
    assert rows(database_url, "SELECT state, attempts, last_outcome FROM outbox.status") == [
        (state, attempts, outcome.name)
    ]
    assert rows(database_url, "SELECT claim, attempt, worker, provider FROM outbox.attempts") == [
        (1, attempts, 3, outcome.provider)
    ]
    assert len(rows(database_url, "SELECT 1 FROM outbox.dead_letters")) == (outcome.reason is not None)
    assert len(rows(database_url, "SELECT 1 FROM outbox.queue")) == (outcome.delay is not None)


async def test_the_times_of_an_attempt_are_the_databases(database_url: str) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    await settle(database_url, claimed, Sent(provider="smtp"))
    (row,) = rows(
        database_url,
        """
        SELECT date_part('epoch', finished_at - started_at), date_part('epoch', now() - finished_at)
        FROM outbox.attempts
        """,
    )
    assert row[0] == pytest.approx(0.2, abs=0.01)
    assert 0 <= row[1] < 5


async def test_a_dead_letter_is_a_copy_that_stands_alone(database_url: str) -> None:
    (identity,) = enqueue(
        database_url,
        template="welcome",
        topic="news",
        group_key="g",
        locale="de",
        idempotency_key="k",
        headers={"a": "b"},
    )
    (claimed,) = await claim(database_url)
    await settle(database_url, claimed, Dead(provider="smtp", failure=REFUSED, reason="unreachable"))
    (row,) = rows(
        database_url,
        """
        SELECT notification_id, channel, recipient, template, payload, topic, group_key, locale, idempotency_key,
               headers, attempts, reason, provider, error_class, error_code, error, resolution
        FROM outbox.dead_letters
        """,
    )
    assert row == (
        identity, "email", "user0@example.org", "welcome", {"subject": "Hello", "text": "Hi"}, "news", "g", "de", "k",
        {"a": "b"}, 1, "unreachable", "smtp", "unreachable", "550 5.1.1", "no such user", None,
    )  # fmt: skip


async def test_who_may_have_accepted_it_is_told_to_the_next_claim(database_url: str) -> None:
    enqueue(database_url)
    for provider in ("smtp", "resend", None):
        (one,) = await claim(database_url)
        await settle(database_url, one, Ambiguous(provider=provider or "smtp", failure=TROUBLE, delay=0))
    assert one.in_doubt == "resend"


UNTIL_YESTERDAY = "INSERT INTO outbox.suppressions (channel, recipient, reason, until) VALUES ('email', %s, 'x', now())"


async def test_who_cannot_be_reached_is_not_contacted_again(database_url: str) -> None:
    rows(database_url, UNTIL_YESTERDAY, "user1@example.org")
    enqueue(database_url, recipient="User0@example.org")
    enqueue(database_url, recipient="user1@example.org")
    why = Suppression("hard_bounce")
    for one in await claim(database_url):
        await settle(database_url, one, Dead(provider="smtp", failure=REFUSED, reason="unreachable", suppression=why))
    kept = "SELECT channel, recipient, topic, sender, reason, source, until FROM outbox.suppressions ORDER BY recipient"
    assert rows(database_url, kept) == [
        ("email", f"user{number}@example.org", "", "", "hard_bounce", "smtp 550 5.1.1", None) for number in range(2)
    ]
    enqueue(database_url)
    (again,) = await claim(database_url)
    assert again.suppression is not None
    assert again.suppression.startswith("hard_bounce, since ")


async def test_who_refuses_one_sender_is_contacted_by_the_others(database_url: str) -> None:
    enqueue(database_url, 2, channel="sms", recipient="+447700900001")
    why = Suppression("stop", sender="+447700900999")
    for one in await claim(database_url, channel="sms"):
        await settle(database_url, one, Dead(provider="twilio", failure=REFUSED, reason="unreachable", suppression=why))
    enqueue(database_url, 2, channel="sms", recipient="+447700900001")
    for senders, suppressed in ((["+447700900998"], False), (["+447700900999"], True)):
        (one,) = await claim(database_url, channel="sms", limit=1, senders=senders)
        assert (one.suppression is not None) is suppressed


async def test_a_recipient_too_long_for_an_index_is_settled_all_the_same(database_url: str) -> None:
    enqueue(database_url, channel="webhook", recipient="https://example.org/" + secrets.token_hex(1_900))
    (claimed,) = await claim(database_url, channel="webhook")
    dead = Dead(provider="standard", failure=REFUSED, reason="unreachable", suppression=Suppression("hard_bounce"))
    assert await settle(database_url, claimed, dead)
    assert rows(database_url, "SELECT count(*) FROM outbox.suppressions") == [(0,)]


async def test_what_was_in_doubt_before_a_replay_is_not_any_more(database_url: str) -> None:
    (identity,) = enqueue(database_url)
    (claimed,) = await claim(database_url)
    await settle(database_url, claimed, Ambiguous(provider="smtp", failure=TROUBLE, reason="in_doubt"))
    with psycopg.connect(database_url) as conn:
        assert replay(conn, [identity]).ids == (identity,)
    (again,) = await claim(database_url)
    assert (again.claim, again.in_doubt) == (2, None)


async def test_a_verdict_that_comes_too_late_suppresses_nobody(database_url: str) -> None:
    enqueue(database_url)
    (stale,) = await claim(database_url, worker=1)
    expire_leases(database_url)
    await claim(database_url, worker=2)
    dead = Dead(provider="smtp", failure=REFUSED, reason="unreachable", suppression=Suppression("hard_bounce"))
    assert not await settle(database_url, stale, dead, worker=1)
    assert rows(database_url, "SELECT 1 FROM outbox.suppressions") == []


async def test_a_failure_of_a_claim_that_was_taken_over_changes_nothing(database_url: str) -> None:
    enqueue(database_url)
    (stale,) = await claim(database_url, worker=1)
    expire_leases(database_url)
    (fresh,) = await claim(database_url, worker=2)
    assert not await settle(database_url, stale, Retry(provider="smtp", failure=TROUBLE, delay=60), worker=1)
    assert not await settle(database_url, stale, Dead(provider="smtp", failure=REFUSED, reason="unreachable"), worker=1)
    assert rows(database_url, "SELECT claim, worker FROM outbox.queue") == [(2, 2)]
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts") == [(1, "lost")]
    assert await settle(database_url, fresh, Sent(provider="smtp"), worker=2)


async def test_a_late_success_is_recorded_while_a_newer_claim_is_sending(database_url: str) -> None:
    enqueue(database_url)
    (stale,) = await claim(database_url, worker=1)
    expire_leases(database_url)
    (fresh,) = await claim(database_url, worker=2)
    assert not await settle(database_url, stale, Sent(provider="smtp", provider_message_id="q1"), worker=1)
    assert rows(database_url, "SELECT claim, outcome, provider_message_id FROM outbox.attempts") == [(1, "sent", "q1")]
    assert rows(database_url, "SELECT state FROM outbox.status") == [("leased",)]
    assert await settle(database_url, fresh, Dead(provider="smtp", failure=REFUSED, reason="unreachable"), worker=2)
    assert rows(database_url, "SELECT state FROM outbox.status") == [("sent",)]


async def test_what_is_recorded_as_sent_is_told_to_the_next_claim(database_url: str) -> None:
    enqueue(database_url)
    (stale,) = await claim(database_url, worker=1)
    expire_leases(database_url)
    (fresh,) = await claim(database_url, worker=2)
    await settle(database_url, stale, Sent(provider="smtp"), worker=1)
    assert await settle(database_url, fresh, Retry(provider="smtp", failure=TROUBLE, delay=0), worker=2)
    (next_one,) = await claim(database_url, worker=2)
    assert [one.sent_by for one in (stale, fresh, next_one)] == [None, None, 1]
    assert next_one.in_doubt is None
    assert await settle(database_url, next_one, Suppressed(failure=TROUBLE), worker=2)
    assert rows(database_url, "SELECT state, attempts FROM outbox.status") == [("sent", 1)]
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []


@pytest.mark.parametrize("how", ["expired", "given back", "to be retried"])
async def test_a_late_success_ends_the_notification_when_nobody_is_sending_it(database_url: str, how: str) -> None:
    enqueue(database_url)
    (stale,) = await claim(database_url, worker=1)
    expire_leases(database_url)
    if how == "to be retried":
        (fresh,) = await claim(database_url, worker=2)
        await settle(database_url, fresh, Retry(provider="smtp", failure=TROUBLE, delay=60), worker=2)
    elif how == "given back":
        rows(database_url, "UPDATE outbox.queue SET worker = NULL")
    assert await settle(database_url, stale, Sent(provider="smtp"), worker=1)
    assert rows(database_url, "SELECT state FROM outbox.status") == [("sent",)]
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []


async def test_a_notification_that_dies_again_reopens_its_dead_letter(database_url: str) -> None:
    (identity,) = enqueue(database_url)
    for _ in range(2):
        (claimed,) = await claim(database_url)
        await settle(database_url, claimed, Dead(provider="smtp", failure=REFUSED, reason="unreachable"))
        rows(database_url, "UPDATE outbox.dead_letters SET resolution = 'replayed', resolved_at = now()")
        rows(
            database_url,
            """
            INSERT INTO outbox.queue (id, run_at, claim, priority, channel)
            SELECT %s, now(), max(claim), 5, 'email' FROM outbox.attempts
            """,
            identity,
        )
    (claimed,) = await claim(database_url)
    await settle(database_url, claimed, Dead(provider="smtp", failure=REFUSED, reason="rejected"))
    assert rows(database_url, "SELECT reason, resolution FROM outbox.dead_letters") == [("rejected", None)]
    assert rows(database_url, "SELECT count(*) FROM outbox.attempts") == [(3,)]


async def test_hostile_words_of_a_provider_are_stored_clean(database_url: str) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    words = clean("\x1b[31mred\x00\ud800 " + "x" * 10_000)
    await settle(database_url, claimed, Retry(provider="smtp", failure=Failure("temporary", None, words), delay=1))
    ((stored,),) = rows(database_url, "SELECT error FROM outbox.attempts")
    assert stored.startswith("red xxx")
    assert len(stored) == 2_048
