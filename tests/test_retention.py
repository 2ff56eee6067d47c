from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest

import outbox
from outbox.config import RetentionConfig
from outbox.events import ChoreFailed, Retained
from outbox.outcomes import Sent
from outbox.queue.replay import replay
from outbox.queue.retention import Sweep
from outbox.worker.chores import chores_with, run_chores
from tests.backdated import names, put_days_ago, wait_out_the_last_seconds_of_the_day
from tests.endings import REFUSED, put_dead
from tests.hands import rows
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.events import Event
    from outbox.queue.retention import Step
    from outbox.worker.chores import Chore

SENT = Sent(provider="smtp", provider_message_id="250 ok")


def sweep(url: str, *, patience: int = 100, **policy: int) -> list[Step]:
    """Go over everything once; return what the steps did."""
    return asyncio.run(_sweep(url, Sweep(RetentionConfig(**policy), patience=patience)))


async def _sweep(url: str, going: Sweep, limit: int | None = None) -> list[Step]:
    steps: list[Step] = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        while len(steps) != limit:
            async with conn.transaction():
                step = await going.step(conn)
            if step is None:
                break
            steps.append(step)
    return steps


def deleted(steps: list[Step]) -> dict[str, int]:
    return {step.what: step.rows for step in steps if step.did == "deleted" and step.rows}


def dead_letter(url: str) -> UUID:
    ((identity,),) = rows(url, "SELECT notification_id FROM outbox.dead_letters")
    assert isinstance(identity, UUID)
    return identity


def oldest(url: str) -> str:
    """The oldest day's partition of notifications."""
    ((name,),) = rows(
        url, "SELECT min(name) FROM outbox.partitions WHERE parent = 'notifications' AND lowest IS NOT NULL"
    )
    return str(name)


def count(url: str, table: str) -> int:
    return int(rows(url, f"SELECT count(*) FROM outbox.{table}")[0][0])


def test_days_past_their_time_are_dropped_and_no_others(cloned_url: str) -> None:
    wait_out_the_last_seconds_of_the_day(cloned_url)
    put_days_ago(cloned_url, 40, 3, SENT)
    put_days_ago(cloned_url, 31, 2, SENT)
    put_days_ago(cloned_url, 30, 4, SENT)  # at noon: some of that day is not 30 days old
    steps = sweep(cloned_url, days=30)
    assert names(cloned_url) == {"notifications 30", "attempts 30"}
    assert (count(cloned_url, "notifications"), count(cloned_url, "attempts")) == (4, 4)
    assert [(step.did, step.rows) for step in steps if step.did == "detached"] == [
        ("detached", n) for n in (3, 2, 3, 2)
    ]
    assert rows(cloned_url, "SELECT name FROM outbox.partitions WHERE NOT attached") == []
    assert rows(cloned_url, "SELECT * FROM outbox.status WHERE state = 'unaccounted'") == []


def test_a_hundred_years_keep_everything(cloned_url: str) -> None:
    """The moment from which on things are kept lies before 1970, where the time of no id does."""
    put_days_ago(cloned_url, 40, 3, SENT)
    sweep(cloned_url, days=36_500, dead_letter_days=36_500)
    assert (count(cloned_url, "notifications"), count(cloned_url, "attempts")) == (3, 3)
    floor = "SELECT outbox.uuid7_floor('1950-01-01 00:00+00')::text"
    assert rows(cloned_url, floor) == [("00000000-0000-0000-0000-000000000000",)]


def test_a_day_of_which_something_is_still_in_the_queue_stays_with_its_attempts(cloned_url: str) -> None:
    put_days_ago(cloned_url, 41, 2, SENT)
    put_days_ago(cloned_url, 40, 2, SENT)
    (waiting,) = put_days_ago(cloned_url, 40, due_in="60 days")
    steps = sweep(cloned_url)
    assert names(cloned_url) == {"notifications 40", "attempts 40"}
    assert [step.did for step in steps if step.what.endswith("notifications_default")] == []
    assert {step.did for step in steps if step.did != "deleted"} == {"detached", "dropped", "held"}

    with psycopg.connect(cloned_url) as conn:
        assert outbox.cancel(conn, id=waiting).cancelled == 1
    sweep(cloned_url)
    assert names(cloned_url) == set()


def test_what_lies_in_a_default_partition_past_its_time_is_deleted_in_batches(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.queue.retention.BATCH", 10)
    put_days_ago(cloned_url, 40, 25, SENT, partition=False)
    put_days_ago(cloned_url, 40, 1, due_in="60 days", partition=False)
    steps = sweep(cloned_url)
    assert [step.rows for step in steps if step.what == "notifications"] == [10, 10, 5]
    assert sum(step.rows for step in steps if step.what == "attempts") == 25
    assert (count(cloned_url, "notifications_default"), count(cloned_url, "attempts_default")) == (1, 0)
    assert count(cloned_url, "queue") == 1


def test_dead_letters_go_by_a_clock_of_their_own_and_open_ones_only_if_asked(cloned_url: str) -> None:
    put_dead(cloned_url, 6)
    rows(
        cloned_url,
        """
        UPDATE outbox.dead_letters SET died_at = now() - interval '400 days', resolved_at = now() - resolved.age,
               resolution = CASE WHEN resolved.age IS NOT NULL THEN 'discarded' END
        FROM (SELECT notification_id, CASE row_number() OVER ()
                  WHEN 1 THEN interval '100 days' WHEN 2 THEN interval '50 days' END AS age
              FROM outbox.dead_letters) resolved
        WHERE resolved.notification_id = dead_letters.notification_id
        """,
    )
    assert deleted(sweep(cloned_url)) == {"resolved dead letters": 1}
    assert deleted(sweep(cloned_url, dead_letter_days=40)) == {"resolved dead letters": 1}
    assert deleted(sweep(cloned_url, open_dead_letter_days=365)) == {"open dead letters": 4}


def test_a_dead_letter_outlives_its_notification_and_can_still_be_replayed(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 1, REFUSED, key="k")
    sweep(cloned_url)
    assert count(cloned_url, "notifications") == 0
    identity = dead_letter(cloned_url)
    with psycopg.connect(cloned_url) as conn:
        assert len(replay(conn, [identity]).anew) == 1


def test_keys_go_by_a_clock_of_their_own_unless_their_notification_waits(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.queue.retention.BATCH", 10)
    put_days_ago(cloned_url, 100, 25, SENT, key="old")
    put_days_ago(cloned_url, 40, 5, SENT, key="young")
    put_days_ago(cloned_url, 100, 1, key="waits", due_in="900 days")
    steps = sweep(cloned_url, idempotency_days=60)
    assert [step.rows for step in steps if step.what == "idempotency keys"] == [10, 10, 5]
    kept = rows(
        cloned_url, "SELECT split_part(key, ':', 1), count(*) FROM outbox.idempotency_keys GROUP BY 1 ORDER BY 1"
    )
    assert kept == [("waits", 1), ("young", 5)]


def test_keys_are_looked_through_to_the_last_page(cloned_url: str) -> None:
    rows(
        cloned_url,
        """
        INSERT INTO outbox.idempotency_keys (notification_id, created_at, channel, key, digest)
        SELECT gen_random_uuid(), now() - interval '1 day' * (n % 100), 'email', repeat('k', 200) || n, '' FROM
        generate_series(1, 20000) AS n
        """,
    )
    with psycopg.connect(cloned_url) as conn:
        page: int | None = 0
        pages = []
        while page is not None:
            query = "SELECT deleted, next_page FROM outbox.delete_expired_keys(50, %s, 1000)"
            gone, page = conn.execute(query, [page]).fetchall()[0]
            pages.append(gone)
    assert sum(pages) == 10_000
    assert max(pages) == 1_000
    assert rows(cloned_url, "SELECT max(now() - created_at) < interval '51 days' FROM outbox.idempotency_keys") == [
        (True,)
    ]


def test_a_partition_in_use_is_given_up_soon_and_enqueues_do_not_wait_meanwhile(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 1, SENT)
    with psycopg.connect(cloned_url) as reader:
        reader.execute("SELECT FROM outbox.notifications")
        ended = threading.Event()
        waits: list[float] = []

        def enqueue() -> None:
            with psycopg.connect(cloned_url, autocommit=True) as conn:
                while not ended.is_set():
                    began = time.monotonic()
                    outbox.enqueue(conn, channel="email", recipient="ada@example.org", allow_autocommit=True)
                    waits.append(time.monotonic() - began)

        thread = threading.Thread(target=enqueue)
        thread.start()
        wait_until(lambda: waits)
        steps = sweep(cloned_url)
        ended.set()
        thread.join()
        assert [step.did for step in steps if step.what.startswith("notifications_")] == ["busy"]
        assert names(cloned_url) == {"notifications 40", "attempts 40"}  # attempts never go before their notifications
        assert max(waits) < 1
    assert [step.did for step in sweep(cloned_url) if step.what.startswith("n")] == ["detached", "dropped"]


def test_a_replay_that_is_under_way_keeps_its_day(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 1, REFUSED)
    identity = dead_letter(cloned_url)
    with psycopg.connect(cloned_url) as conn:
        assert len(replay(conn, [identity])) == 1
        assert [step.did for step in sweep(cloned_url, patience=1) if step.what.startswith("n")] == ["busy"]
    assert [step.did for step in sweep(cloned_url) if step.what.startswith("n")] == ["held"]
    assert rows(cloned_url, "SELECT state FROM outbox.status") == [("due",)]


def test_a_replay_between_the_look_and_the_lock_keeps_its_day(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 1, REFUSED)
    identity = dead_letter(cloned_url)
    name = oldest(cloned_url)
    verdicts: list[str] = []

    def detach() -> None:
        verdicts.append(rows(cloned_url, "SELECT outbox.detach_expired_partition(%s, 30, 5000)", name)[0][0])

    with psycopg.connect(cloned_url) as conn:
        replay(conn, [identity])
        thread = threading.Thread(target=detach)
        thread.start()
        waits = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"
        wait_until(lambda: rows(cloned_url, waits))
    thread.join()
    assert verdicts == ["held"]
    assert rows(cloned_url, "SELECT state FROM outbox.status") == [("due",)]


def test_a_partition_that_somebody_detached_to_keep_it_is_left_alone(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 2, SENT)
    name = oldest(cloned_url)
    rows(cloned_url, f"ALTER TABLE outbox.notifications DETACH PARTITION outbox.{name}")
    sweep(cloned_url)
    assert count(cloned_url, name) == 2


def test_a_sweep_that_was_cut_off_between_detaching_and_dropping_is_finished_by_the_next(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 2, SENT)
    (step,) = asyncio.run(_sweep(cloned_url, Sweep(RetentionConfig()), limit=1))
    assert step.did == "detached"
    assert count(cloned_url, "notifications") == 0
    assert [step.did for step in sweep(cloned_url) if step.did != "deleted"] == ["dropped", "detached", "dropped"]
    assert rows(cloned_url, "SELECT name FROM outbox.partitions WHERE NOT attached") == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT outbox.detach_expired_partition(name, 1) FROM outbox.partitions WHERE lowest IS NOT NULL",
        "SELECT outbox.detach_expired_partition('notifications_default', 1)",
        "SELECT outbox.detach_expired_partition(name, 0) FROM outbox.partitions WHERE lowest IS NOT NULL",
        "SELECT outbox.detach_expired_partition(name, NULL) FROM outbox.partitions WHERE lowest IS NOT NULL",
        "SELECT outbox.delete_expired('attempts', 0)",
        "SELECT outbox.delete_expired('queue', 30)",
        "SELECT outbox.delete_expired('attempts', 30, 1000000)",
        "SELECT outbox.delete_expired_keys(0)",
        "SELECT outbox.delete_expired_keys(NULL)",
    ],
)
def test_the_functions_let_nothing_go_before_its_time(conn: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        conn.execute(statement.encode())


def test_only_what_retention_has_detached_is_dropped(conn: psycopg.Connection) -> None:
    assert conn.execute("SELECT outbox.drop_detached_partition('queue')").fetchone() == (False,)
    assert conn.execute("SELECT outbox.drop_detached_partition('notifications_default')").fetchone() == (False,)


def test_a_worker_does_it_as_a_chore_and_says_what_has_gone(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 2, SENT, key="k")
    events: list[Event] = []
    chores = chores_with(RetentionConfig(), events.append)
    run_until(cloned_url, chores, events, Retained)
    (told,) = (event for event in events if isinstance(event, Retained))
    assert [name.split("_")[0] for name in told.dropped] == ["notifications", "attempts"]
    assert told.deleted == {"idempotency keys": 2}
    assert names(cloned_url) == set()


def test_a_chore_that_could_not_drop_a_day_says_so_and_comes_again_soon(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 2, SENT)
    events: list[Event] = []
    with psycopg.connect(cloned_url) as reader:
        reader.execute("SELECT FROM outbox.notifications")
        chores = [chore for chore in chores_with(RetentionConfig(), events.append) if chore.name == "retention"]
        run_until(cloned_url, chores, events, ChoreFailed)
    (failed,) = (event for event in events if isinstance(event, ChoreFailed))
    assert "in use without a pause" in failed.problem
    due = "SELECT due_at < now() + interval '10 s' FROM outbox.chores WHERE name = 'retention'"
    assert rows(cloned_url, due) == [(True,)]


def run_until(url: str, chores: Sequence[Chore], events: list[Event], kind: type[object]) -> None:
    """Do chores until an event of this kind is told."""

    async def run() -> None:
        task = asyncio.create_task(run_chores(url, events.append, chores))
        try:
            await await_until(lambda: any(isinstance(event, kind) for event in events))
        finally:
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(run())


def test_old_keys_are_looked_up_in_the_queue_one_by_one(cloned_url: str) -> None:
    """Planned for any page, as from the sixth call on, a join would make a hash of all keys of sixteen megabytes."""
    rows(
        cloned_url,
        "INSERT INTO outbox.idempotency_keys (notification_id, created_at, channel, key, digest) "
        "SELECT outbox.uuid7(), now() - interval '40 days', 'email', n, substr(sha256(n::text::bytea), 1, 16) "
        "FROM generate_series(1, 10000) AS n",
    )
    with psycopg.connect(cloned_url) as conn:
        outbox.enqueue_many(conn, [{"channel": "email", "recipient": "ada@example.org"}] * 1_000)
    with psycopg.connect(cloned_url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE outbox.queue, outbox.idempotency_keys")
        conn.execute("SET plan_cache_mode = force_generic_plan")
        with conn.transaction():
            assert conn.execute("SELECT deleted FROM outbox.delete_expired_keys(30, 0, 100)").fetchone() == (100,)
            looked = "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'queue'"
            assert conn.execute(looked).fetchone() == (0, 100)


def test_a_day_that_somebody_else_drops_meanwhile_is_gone(cloned_url: str) -> None:
    put_days_ago(cloned_url, 41, 1, SENT)
    put_days_ago(cloned_url, 40, 1, SENT)
    ours = Sweep(RetentionConfig())
    (first,) = asyncio.run(_sweep(cloned_url, ours, limit=1))
    theirs = sweep(cloned_url)
    assert [step.did for step in theirs if step.did != "deleted"] == ["dropped", *["detached", "dropped"] * 3]
    rest = asyncio.run(_sweep(cloned_url, ours))
    assert {step.what: step.did for step in rest if step.did != "deleted"}[first.what] == "gone"
    assert [step.did for step in rest if step.did != "deleted"] == ["gone"] * 4
