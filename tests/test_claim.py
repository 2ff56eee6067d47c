from __future__ import annotations

import re
from datetime import timedelta

import psycopg
import pytest

from outbox.outcomes import Dead, Retry
from outbox.queue.claim import CLAIM, parameters
from tests.hands import EVERY_LEVEL, TROUBLE, claim, enqueue, expire_leases, rows, settle


async def test_urgent_comes_first_and_then_whatever_was_due_first(database_url: str) -> None:
    (bulk,) = enqueue(database_url, priority="bulk")
    (late,) = enqueue(database_url)
    (early,) = enqueue(database_url)
    rows(database_url, "UPDATE outbox.queue SET run_at = run_at - interval '1 hour' WHERE id = %s", early)
    (urgent,) = enqueue(database_url, priority="urgent")
    assert [claimed.id for claimed in await claim(database_url)] == [urgent, early, late, bulk]


async def test_one_claim_after_the_other_follows_the_order_of_run_at_within_each_priority(database_url: str) -> None:
    enqueue(database_url, 30, priority="bulk")
    enqueue(database_url, 30)
    rows(database_url, "UPDATE outbox.queue SET run_at = now() - interval '1 hour' * random()")
    expected = [identity for (identity,) in rows(database_url, "SELECT id FROM outbox.queue ORDER BY priority, run_at")]
    assert [one.id for _ in range(9) for one in await claim(database_url, limit=7)] == expected


async def test_the_limit_takes_the_first_ones(database_url: str) -> None:
    enqueue(database_url, 5, priority="bulk")
    urgent = enqueue(database_url, 3, priority="urgent")
    claimed = await claim(database_url, limit=4)
    assert [one.id for one in claimed[:3]] == urgent
    assert claimed[3].priority == 8
    assert rows(database_url, "SELECT count(*) FROM outbox.queue WHERE worker IS NULL") == [(4,)]


async def test_what_is_scheduled_is_left_until_it_is_due(database_url: str) -> None:
    enqueue(database_url, run_at=timedelta(hours=1))
    assert await claim(database_url) == []
    rows(database_url, "UPDATE outbox.queue SET run_at = now()")
    assert len(await claim(database_url)) == 1


async def test_other_channels_and_priorities_are_left_alone(database_url: str) -> None:
    enqueue(database_url, channel="sms", recipient="+447700900001")
    enqueue(database_url, priority="bulk")
    assert await claim(database_url, levels=[0, 5]) == []
    assert len(await claim(database_url, channel="sms", levels=[5])) == 1


async def test_a_claim_carries_everything_that_delivery_needs(database_url: str) -> None:
    (identity,) = enqueue(
        database_url,
        template="welcome",
        locale="pt-BR",
        topic="news",
        group_key="user:1",
        headers={"Reply-To": "help@example.org"},
        expires_at=timedelta(minutes=10),
    )
    (claimed,) = await claim(database_url)
    notification = claimed.notification("email")
    assert notification.id == identity
    assert (notification.template, notification.locale, notification.topic) == ("welcome", "pt-BR", "news")
    assert notification.payload == {"subject": "Hello", "text": "Hi"}
    assert notification.headers == {"Reply-To": "help@example.org"}
    assert (claimed.claim, claimed.attempt, claimed.lost, claimed.suppression) == (1, 0, 0, None)
    assert claimed.expires_in is not None
    assert 590 < claimed.expires_in <= 600
    assert notification.expires_in == claimed.expires_in
    assert 0 <= claimed.waited < 10
    assert 0 <= claimed.age < 10


async def test_the_age_counts_from_when_it_was_first_due_and_anew_from_a_replay(database_url: str) -> None:
    (scheduled,) = enqueue(database_url, run_at=timedelta(days=7))
    rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE id = %s", scheduled)
    (claimed,) = await claim(database_url)
    assert claimed.age < 0, "a schedule in the future is no age"
    await settle(database_url, claimed, Dead(provider="smtp", failure=TROUBLE, reason="exhausted"))
    rows(
        database_url, "UPDATE outbox.dead_letters SET resolution = 'replayed', resolved_at = now() + interval '9 days'"
    )
    rows(
        database_url,
        "INSERT INTO outbox.queue (id, run_at, claim, priority, channel) VALUES (%s, now(), 1, 5, 'email')",
        scheduled,
    )
    (replayed,) = await claim(database_url)
    assert replayed.age < claimed.age


async def test_two_workers_never_hold_the_same_row(database_url: str) -> None:
    enqueue(database_url, 20)
    first = {one.id for one in await claim(database_url, worker=1)}
    second = {one.id for one in await claim(database_url, worker=2)}
    assert len(first) == len(second) == 10
    assert not first & second


async def test_rows_locked_by_another_claim_are_skipped_not_waited_for(database_url: str) -> None:
    identities = enqueue(database_url, 3)
    with psycopg.connect(database_url) as conn:
        conn.execute("SELECT FROM outbox.queue WHERE id = %s FOR UPDATE", [identities[0]])
        assert [one.id for one in await claim(database_url)] == identities[1:]


async def test_a_row_whose_lease_ran_out_is_claimed_again_and_its_loss_recorded(database_url: str) -> None:
    enqueue(database_url)
    await claim(database_url, worker=7)
    assert await claim(database_url, worker=8) == []
    expire_leases(database_url)
    (again,) = await claim(database_url, worker=8)
    assert (again.claim, again.attempt, again.lost) == (2, 0, 1)
    assert rows(database_url, "SELECT claim, attempt, outcome, worker FROM outbox.attempts") == [(1, 0, "lost", 7)]


async def test_what_comes_back_to_the_worker_that_had_it_is_recorded_as_lost_and_counts_against_nothing(
    database_url: str,
) -> None:
    """As when the answers to its claims are lost on the way, again and again, or its loop stands still."""
    enqueue(database_url)
    for _ in range(6):
        (claimed,) = await claim(database_url, worker=7)
        expire_leases(database_url)
    assert (claimed.claim, claimed.lost, claimed.lost_by) == (6, 0, 7)
    recorded = "SELECT outcome, worker, count(*) FROM outbox.attempts GROUP BY 1, 2"
    assert rows(database_url, recorded) == [("lost", 7, 5)]
    (claimed,) = await claim(database_url, worker=8)
    assert (claimed.lost, claimed.lost_by) == (1, 7)


async def test_what_vanished_workers_had_twice_is_passed_by_while_a_suspect_is_in_hand(database_url: str) -> None:
    enqueue(database_url)
    for worker in (7, 8, 8):
        await claim(database_url, worker=worker)
        expire_leases(database_url)
    assert await claim(database_url, worker=9, suspects=False) == [], "it would be lost for the second time"
    (claimed,) = await claim(database_url, worker=8, suspects=False)
    assert claimed.lost == 1, "it comes back to the one that had it"


async def test_a_retry_that_becomes_due_was_not_lost(database_url: str) -> None:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    await settle(database_url, claimed, Retry(provider="smtp", failure=TROUBLE, delay=0))
    (again,) = await claim(database_url)
    assert (again.claim, again.attempt, again.lost) == (2, 1, 0)


@pytest.mark.parametrize(
    ("suppression", "suppressed"),
    [
        (("email", "ada@example.org", "", None), True),
        (("email", "ada@example.org", "news", None), True),
        (("email", "ada@example.org", "billing", None), False),
        (("sms", "ada@example.org", "", None), False),
        (("email", "ada@example.org", "", "-1 minute"), False),
        (("email", "ada@example.org", "", "1 minute"), True),
    ],
)
async def test_the_claim_says_whether_the_recipient_may_be_contacted(
    database_url: str,
    suppression: tuple[str, ...],
    suppressed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    rows(
        database_url,
        """
        INSERT INTO outbox.suppressions (channel, recipient, topic, reason, until)
        VALUES (%s, %s, %s, 'unsubscribed', now() + %s::interval)
        """,
        *suppression,
    )
    enqueue(database_url, recipient="Ada@Example.org", topic="news")
    (claimed,) = await claim(database_url)
    assert (claimed.suppression is not None) is suppressed
    assert claimed.suppression is None or claimed.suppression.startswith("unsubscribed")


@pytest.mark.parametrize("limit", [1, 10, 100])
async def test_a_claim_never_takes_more_than_its_limit_even_with_stale_statistics(cloned_url: str, limit: int) -> None:
    """PostgreSQL bug #15715: an UPDATE over a LIMIT can run the LIMIT again, if it thinks the table empty."""
    rows(cloned_url, "ANALYZE outbox.queue")
    enqueue(cloned_url, 3_000)
    for planner in (
        "",
        "enable_nestloop",
        "enable_hashjoin",
        "enable_mergejoin",
        "enable_indexscan",
        "enable_material",
    ):
        async with await psycopg.AsyncConnection.connect(cloned_url, autocommit=True) as conn:
            if planner:
                await conn.execute(f"SET {planner} = off".encode())
            asked = parameters(channel="email", levels=EVERY_LEVEL, limit=limit, lease=30.0, worker=1)
            assert len(await (await conn.execute(CLAIM, asked)).fetchall()) == limit


async def test_a_claim_reads_an_index_range_a_level_and_never_sorts_or_scans_the_queue(cloned_url: str) -> None:
    rows(
        cloned_url,
        """
        INSERT INTO outbox.queue (id, channel, priority, run_at)
        SELECT outbox.uuid7(), 'email', n % 2 * 5, now() + (0.5 - n % 2) * interval '1 hour'
        FROM generate_series(1, 60000) AS n
        """,
    )
    rows(cloned_url, "ANALYZE outbox.queue")
    with psycopg.connect(cloned_url) as conn:
        asked = parameters(channel="email", levels=EVERY_LEVEL, limit=100, lease=30.0, worker=1)
        plan = "\n".join(row[0] for row in conn.execute("EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) " + CLAIM, asked))
        conn.rollback()
    assert "Index Scan using queue_due" in plan
    assert "Seq Scan on queue" not in plan
    due = plan[plan.index("CTE due") : plan.index("CTE claimed")]
    assert "Sort" not in due, due
    assert max(int(count) for count in re.findall(r"rows=(\d+)", due)) == 100, due
