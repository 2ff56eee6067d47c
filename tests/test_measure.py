"""How much waits: counted while there is little, estimated when there is much, and the same words as `status` has."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.errors import NotMigrated
from outbox.outcomes import Deferred, Retry
from outbox.queue import measure
from outbox.queue.depths import Depth, depths, gauges
from outbox.queue.inspect import count_channels
from outbox.queue.samples import samples
from outbox.worker.chores import CHORES
from tests.endings import claim_due, enter, put, put_dead, settle_as
from tests.hands import TROUBLE, enqueue, expire_leases, rows
from tests.test_chores import at_it
from tests.waiting import await_until

LATER = datetime.now(UTC) + timedelta(days=1)
MEASURE = next(chore for chore in CHORES if chore.name == "measure_depths")


def measured(url: str) -> dict[tuple[str, int], Depth]:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(url) as conn:
            await measure.measure(conn)

    asyncio.run(work())
    with psycopg.connect(url) as conn:
        return {(depth.channel, depth.priority): depth for depth in depths(conn)}


def numbers(depth: Depth) -> tuple[int, int, int, int, int]:
    return depth.due, depth.leased, depth.scheduled, depth.retrying, depth.blocked


def in_every_state(url: str, channel: str, priority: int) -> None:
    """1 leased, 2 retrying, 3 put off, 4 scheduled, 1 at the head of its line with 5 behind it, and 6 due besides."""
    put(url, 1 + 2 + 3, channel=channel, priority=priority)
    claimed = claim_due(url, channel=channel)
    settle_as(url, claimed[:2], Retry(provider="smtp", failure=TROUBLE, delay=60))
    settle_as(url, claimed[2:5], Deferred(failure=TROUBLE, delay=60))
    put(url, 4, channel=channel, priority=priority, run_at=LATER)
    put(url, 1 + 5, channel=channel, priority=priority, ordering_key=f"{channel} {priority}")
    put(url, 6, channel=channel, priority=priority)


def test_each_notification_is_in_exactly_one_of_the_five_numbers(database_url: str) -> None:
    in_every_state(database_url, "email", 5)
    found = measured(database_url)
    assert numbers(found["email", 5]) == (7, 1, 4 + 3, 2, 5)
    assert found["email", 5].waiting == 7 + 7 + 2 + 5
    assert not found["email", 5].is_estimate


def test_they_are_those_that_status_counts(database_url: str) -> None:
    for channel, priority in (("email", 0), ("email", 8), ("sms", 5)):
        in_every_state(database_url, channel, priority)
    found = measured(database_url)
    with psycopg.connect(database_url) as conn:
        for its in count_channels(conn):
            some = [depth for depth in found.values() if depth.channel == its.channel]
            sums = tuple(sum(number) for number in zip(*(numbers(depth) for depth in some), strict=True))
            assert sums == (its.due, its.leased, its.scheduled, its.retrying, its.blocked)
            oldest = max(depth.oldest_due for depth in some if depth.oldest_due is not None)
            assert oldest == pytest.approx(its.oldest_due, abs=1)


def test_what_a_lost_worker_held_is_due_again_since_its_lease_ended(database_url: str) -> None:
    put(database_url, 3)
    claim_due(database_url, limit=2)
    expire_leases(database_url)
    found = measured(database_url)["email", 5]
    assert numbers(found) == (3, 0, 0, 0, 0)


def test_a_channel_that_is_served_is_there_with_zeros_and_one_that_nobody_knows_any_more_is_not(
    database_url: str,
) -> None:
    enter(database_url, "email", "sms")
    put(database_url, 2, channel="sms", priority=0)
    put(database_url, 2, channel="gone")
    assert {key: sum(numbers(it)) for key, it in measured(database_url).items()} == {
        ("email", 5): 0,
        ("gone", 5): 2,
        ("sms", 0): 2,
        ("sms", 5): 0,
    }
    rows(database_url, "DELETE FROM outbox.queue")
    after = measured(database_url)
    assert {key: sum(numbers(it)) for key, it in after.items()} == {("email", 5): 0, ("sms", 0): 0, ("sms", 5): 0}
    assert all(depth.oldest_due is None for depth in after.values())
    rows(database_url, "DELETE FROM outbox.workers")
    assert measured(database_url) == {}


def test_open_dead_letters_are_counted_by_channel_and_those_that_are_resolved_are_not(database_url: str) -> None:
    first, *_ = put_dead(database_url, 3)
    put_dead(database_url, 2, channel="sms")
    rows(
        database_url,
        "UPDATE outbox.dead_letters SET resolution = 'discarded', resolved_at = now() WHERE notification_id = %s",
        first,
    )
    measured(database_url)
    with psycopg.connect(database_url) as conn:
        found = {(gauge.name, gauge.channel): gauge.value for gauge in gauges(conn)}
    assert found == {("dead_letters_open", "email"): 2, ("dead_letters_open", "sms"): 2}
    rows(database_url, "UPDATE outbox.dead_letters SET resolution = 'discarded', resolved_at = now()")
    measured(database_url)
    with psycopg.connect(database_url) as conn:
        assert gauges(conn) == []


def many(url: str, **counts: int) -> None:
    """So many of each channel that are due, enqueued side by side."""
    for channel, count in counts.items():
        rows(
            url,
            "INSERT INTO outbox.notifications (channel, recipient, run_at) "
            "SELECT %s, 'ada@example.org', clock_timestamp() - interval '1 hour' + n * interval '1 ms' "
            "FROM generate_series(1, %s) AS n",
            channel,
            count,
        )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a queue of 100 pages were too large to read, and 200 rows many."""
    monkeypatch.setattr(measure, "PAGES", 100)
    monkeypatch.setattr(measure, "FRONT", 200)


@pytest.mark.usefixtures("small")
def test_of_a_large_queue_what_is_few_is_counted_and_what_is_many_is_estimated(cloned_url: str) -> None:
    many(cloned_url, bulk=20_000, sms=199)
    rows(cloned_url, "UPDATE outbox.queue SET priority = 8 WHERE channel = 'bulk'")
    put(cloned_url, 3, channel="bulk", priority=0)
    claim_due(cloned_url, channel="bulk", limit=50)
    found = measured(cloned_url)
    assert numbers(found["sms", 5]) == (199, 0, 0, 0, 0)
    assert numbers(found["bulk", 0]) == (0, 3, 0, 0, 0)
    assert not found["sms", 5].is_estimate
    estimated = found["bulk", 8]
    assert estimated.is_estimate
    assert estimated.leased == 47, "who is in hand is in front"
    assert estimated.due == pytest.approx(20_000 - 47, rel=0.15)
    assert estimated.oldest_due == pytest.approx(3_600, abs=60)


@pytest.mark.usefixtures("small")
def test_what_was_settled_and_not_vacuumed_is_not_estimated_to_be_there(cloned_url: str) -> None:
    rows(cloned_url, "ALTER TABLE outbox.queue SET (autovacuum_enabled = off)")
    many(cloned_url, email=20_000)
    rows(cloned_url, "ANALYZE outbox.queue")
    rows(cloned_url, "DELETE FROM outbox.queue WHERE id IN (SELECT id FROM outbox.queue ORDER BY id LIMIT 15000)")
    assert measured(cloned_url)["email", 5].due == pytest.approx(5_000, rel=0.2)


@pytest.mark.usefixtures("small")
def test_dead_rows_under_an_old_snapshot_cost_a_measurement_its_exactness_and_not_its_end(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_LONGEST_LOOK", "1ms")
    many(cloned_url, email=20_000)
    with psycopg.connect(cloned_url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1 FROM outbox.queue LIMIT 1")
        rows(cloned_url, "DELETE FROM outbox.queue WHERE id IN (SELECT id FROM outbox.queue ORDER BY id LIMIT 10000)")
        found = measured(cloned_url)["email", 5]
    assert found.is_estimate
    assert found.due == pytest.approx(10_000, rel=0.2)


@given(
    fronts=st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 9), st.integers(1, 5_000)), max_size=9),
    sampled=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 9), st.integers(1, 10_000)), max_size=9
    ),
)
@settings(max_examples=200)
def test_no_estimate_is_less_than_what_was_counted(
    fronts: list[tuple[str, int, int]], sampled: list[tuple[str, int, int]]
) -> None:
    def made(given_: list[tuple[str, int, int]], *, estimate: bool) -> list[measure.Measured]:
        by_kind = {(channel, priority): due for channel, priority, due in given_}
        return [measure.Measured(*kind, due, 0, 0, 0, 0, None, estimate) for kind, due in by_kind.items()]

    counted = made(fronts, estimate=False)
    together = {each[:2]: each for each in measure._put_together(made(sampled, estimate=True), counted)}  # noqa: SLF001
    for front in counted:
        assert together[front[:2]].due >= front.due
        assert together[front[:2]].is_estimate == (front.due >= measure.FRONT)
    if counted:
        assert together.keys() == {front[:2] for front in counted}


async def test_one_process_of_the_fleet_measures_and_the_minute_is_noted(database_url: str) -> None:
    await asyncio.to_thread(enqueue, database_url, 4)
    async with at_it(database_url, MEASURE._replace(every=0.1), times=3) as seen:
        await await_until(lambda: rows(database_url, "SELECT due FROM outbox.depths") == [(4,)])
        await asyncio.to_thread(enqueue, database_url, 2)
        await await_until(lambda: rows(database_url, "SELECT due FROM outbox.depths") == [(6,)])
    assert seen == []
    with psycopg.connect(database_url) as conn:
        last = samples(conn, since=timedelta(minutes=5))[-1]
    assert (last.channel, last.provider, last.waiting, last.due, last.leased, last.dead_letters) == (
        "email",
        "",
        6,
        6,
        0,
        0,
    )
    assert last.oldest_due is not None
    assert (last.sent, last.p50) == (0, None)


def test_what_is_older_than_two_weeks_is_let_go_of(database_url: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.samples (at, channel) "
        "SELECT date_trunc('minute', now()) - n * interval '1 day', 'email' FROM generate_series(1, 20) AS n",
    )
    measured(database_url)
    with psycopg.connect(database_url) as conn:
        assert len(samples(conn, since=timedelta(days=30))) == 14 - 1


def test_the_readers_say_that_there_is_no_outbox(empty_url: str) -> None:
    with psycopg.connect(empty_url, autocommit=True) as conn:
        for read in (depths, gauges, lambda conn: samples(conn, since=timedelta(hours=1))):
            with pytest.raises(NotMigrated):
                read(conn)
