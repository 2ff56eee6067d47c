"""Fan-outs: what a query returns is enqueued in chunks, once for a name, whoever is killed in the middle."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import create_async_engine

from outbox import InvalidFanOut, UnknownFanOut, fan_outs
from outbox.config import RetentionConfig
from outbox.queue import retention
from outbox.queue.selection import Selected
from tests.fleet import ROOT
from tests.hands import rows
from tests.kinds import django_connection, with_driver
from tests.test_enqueue_select import Entry, Row, counts, entries, first_of_each, model, of, row_lists, stored
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from outbox.fan_outs import FanOut

QUERY = "SELECT 'u' || i || '@example.org' AS recipient FROM generate_series(1, CAST(:n AS bigint)) AS i"


def run(url: str, name: str = "sale", query: str = QUERY, n: int | None = 2_500, **given: Any) -> FanOut:
    parameters = {"n": n} if ":n" in query else None
    with psycopg.connect(url, autocommit=True) as conn:
        every: dict[str, Any] = {"channel": "email", "chunk": 1_000} | given
        return fan_outs.run(conn, name, query, parameters, **every)


def each_once(url: str, n: int) -> bool:
    """Whether each of n recipients has one notification, and nobody else has any."""
    ((there, different, waiting),) = rows(
        url,
        "SELECT count(*), count(DISTINCT recipient), (SELECT count(*) FROM outbox.queue) FROM outbox.notifications",
    )
    return bool(there == different == waiting == n)


# Once, in chunks


def test_each_row_is_a_notification_and_each_chunk_is_committed_by_itself(database_url: str) -> None:
    seen: list[tuple[int, int, int]] = []

    def look(found: FanOut) -> None:
        ((committed,),) = rows(database_url, "SELECT count(*) FROM outbox.notifications")
        seen.append((found.counts.selected, found.expected, committed))

    found = run(database_url, on_progress=look, template="sale", priority="bulk")
    assert seen == [(1_000, 2_500, 1_000), (2_000, 2_500, 2_000), (2_500, 2_500, 2_500)]
    assert counts(found.counts) == {"selected": 2_500, "enqueued": 2_500}
    assert found.finished_at == found.advanced_at > found.started_at
    assert each_once(database_url, 2_500)
    stored = "SELECT DISTINCT template, priority, group_key, created_at = run_at FROM outbox.notifications"
    assert rows(database_url, stored) == [("sale", 8, "fan-out:sale", True)]


def test_under_its_name_it_is_done_once(database_url: str) -> None:
    before = run(database_url)
    seen: list[FanOut] = []
    again = run(database_url, on_progress=seen.append)
    assert (again.counts, again.finished_at, seen) == (before.counts, before.finished_at, [])
    assert each_once(database_url, 2_500)
    assert run(database_url, "another").counts.enqueued == 2_500


@pytest.mark.parametrize(
    "other", [{"n": 2_501}, {"query": QUERY + " WHERE true"}, {"template": "b"}, {"run_at": timedelta(hours=1)}]
)
def test_under_its_name_nothing_else_is_done(database_url: str, other: dict[str, Any]) -> None:
    run(database_url)
    with pytest.raises(InvalidFanOut, match="name: sale was begun with another query, or with other parameters"):
        run(database_url, **other)
    assert each_once(database_url, 2_500)


def test_no_table_of_the_session_is_left_behind(database_url: str) -> None:
    left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'outbox_fan_out%' AND relpersistence = 't'"
    with psycopg.connect(database_url, autocommit=True) as conn:
        fan_outs.run(conn, "a", QUERY, {"n": 10}, channel="email", chunk=5)
        fan_outs.forecast(conn, QUERY, {"n": 10}, channel="email")
        with pytest.raises(InvalidFanOut):
            fan_outs.run(conn, "b", of("nobody"), channel="email")
        assert conn.execute(left).fetchone() == (0,)


@contextmanager
def autocommitting(url: str) -> Iterator[Any]:
    with psycopg.connect(url, autocommit=True) as conn:
        yield conn


@contextmanager
def alchemy(url: str) -> Iterator[Any]:
    engine = sa.create_engine(with_driver(url, "psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as conn:
        yield conn
    engine.dispose()


@contextmanager
def django(url: str) -> Iterator[Any]:
    with django_connection(url) as kind:
        kind.conn.set_autocommit(True)
        yield kind.conn
        kind.conn.set_autocommit(False)


@asynccontextmanager
async def asynchronous(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        yield conn


@asynccontextmanager
async def async_alchemy(url: str) -> AsyncIterator[Any]:
    engine = create_async_engine(with_driver(url, "asyncpg"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as conn:
        yield conn
    await engine.dispose()


@asynccontextmanager
async def by_asyncpg(url: str) -> AsyncIterator[Any]:
    conn = await asyncpg.connect(url)
    yield conn
    await conn.close()


@pytest.mark.parametrize("kind", [autocommitting, alchemy, django])
def test_it_runs_on_every_kind_of_connection(database_url: str, kind: Callable[[str], Any]) -> None:
    with kind(database_url) as conn:
        found = fan_outs.run(conn, "sale", QUERY, {"n": 25}, channel="email", chunk=10)
        assert found.counts.enqueued == 25
        assert fan_outs.find(conn, "sale").counts == found.counts
        assert fan_outs.forecast(conn, QUERY, {"n": 25}, channel="email", name="new").counts.enqueued == 25
    assert each_once(database_url, 25)


@pytest.mark.parametrize("kind", [asynchronous, async_alchemy, by_asyncpg])
async def test_it_runs_on_every_asynchronous_kind(database_url: str, kind: Callable[[str], Any]) -> None:
    async with kind(database_url) as conn:
        found = await fan_outs.arun(conn, "sale", QUERY, {"n": 25}, channel="email", chunk=10)
        assert (await fan_outs.afind(conn, "sale")).counts == found.counts
        assert [each.name for each in await fan_outs.alist_all(conn)] == ["sale"]
        told = await fan_outs.aforecast(conn, QUERY, {"n": 25}, channel="email", name="new")
        assert told.counts.enqueued == 25
    assert each_once(database_url, 25)


def test_it_wants_a_connection_that_commits_each_chunk(database_url: str) -> None:
    with (
        psycopg.connect(database_url) as conn,
        pytest.raises(InvalidFanOut, match="give a connection in autocommit mode"),
    ):
        fan_outs.run(conn, "sale", QUERY, {"n": 1}, channel="email")


# Who is left out


class Stop(Exception):
    """Somebody stops it."""


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=row_lists,
    held=st.lists(entries, max_size=4),
    prefix=st.sampled_from([None, "k"]),
    chunk=st.integers(1, 7),
    stops=st.lists(st.booleans(), max_size=8),
)
def test_however_often_it_is_stopped_the_counts_are_those_of_the_model(
    database_url: str, *, found: list[Row], held: list[Entry], prefix: str | None, chunk: int, stops: list[bool]
) -> None:
    rows(
        database_url,
        "DELETE FROM outbox.fan_outs; DELETE FROM outbox.suppressions; DELETE FROM outbox.idempotency_keys",
    )
    rows(database_url, "DELETE FROM outbox.notifications; DELETE FROM outbox.queue")
    query = "SELECT email AS recipient, topic, now() + due AS run_at FROM wanted ORDER BY place"
    given_: dict[str, Any] = {"channel": "email", "idempotency_key": prefix, "on_invalid": "skip", "chunk": chunk}
    at = iter(stops)

    def stop(_: FanOut) -> None:
        if next(at, False):
            raise Stop

    with psycopg.connect(database_url, autocommit=True) as conn:
        stored(conn, found, held)
        expected, recipients = model(found, first_of_each(held), set(), prefix, own_keys=False)
        foretold = fan_outs.forecast(conn, query, **{name: given_[name] for name in given_ if name != "chunk"})
        assert asdict(foretold.counts) == expected
        told = None
        while told is None:
            try:
                told = fan_outs.run(conn, "f", query, on_progress=stop, **given_)
            except Stop:
                continue
    assert asdict(told.counts) == expected
    assert told.expected == expected["selected"]
    there = rows(database_url, "SELECT recipient FROM outbox.notifications")
    assert sorted(row[0] for row in there) == sorted(recipients)


def test_every_row_is_looked_at_before_any_is_enqueued(database_url: str) -> None:
    query = QUERY + " UNION ALL SELECT 'nobody'"
    with pytest.raises(InvalidFanOut, match="1 of 2,501 rows can be no notification") as refused:
        run(database_url, query=query)
    assert refused.value.examples == (("nobody", "recipient is no email address"),)
    assert rows(database_url, "SELECT count(*) FROM outbox.notifications") == [(0,)]
    assert rows(database_url, "SELECT count(*) FROM outbox.fan_outs") == [(0,)]
    told = run(database_url, query=query, on_invalid="skip")
    assert counts(told.counts) == {"selected": 2_501, "enqueued": 2_500, "invalid": 1}


def test_a_forecast_counts_and_shows_a_few_and_writes_nothing(database_url: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', 'u7@example.org', 'stop')",
    )
    query = "SELECT recipient, jsonb_build_object('n', recipient) AS payload FROM (" + QUERY + ") q"
    with psycopg.connect(database_url, autocommit=True) as conn:
        told = fan_outs.forecast(conn, query, {"n": 2_500}, channel="email", template="sale", name="sale")
    assert counts(told.counts) == {"selected": 2_500, "enqueued": 2_499, "suppressed": 1}
    first = {"channel": "email", "recipient": "u1@example.org", "template": "sale", "payload": {"n": "u1@example.org"}}
    assert told.sample[0] == first
    assert len(told.sample) == 3
    for table in ("notifications", "queue", "fan_outs"):
        assert rows(database_url, f"SELECT count(*) FROM outbox.{table}") == [(0,)]


# Interrupted


PROGRAM = """
import json, sys, psycopg
from outbox import fan_outs

url, query, n = sys.argv[1:]
with psycopg.connect(url, autocommit=True) as conn:
    told = lambda found: print(found.counts.selected, flush=True)
    fan_outs.run(conn, "sale", query, {"n": int(n)}, channel="email", chunk=500, on_progress=told)
"""


def begun(url: str, n: int, query: str = QUERY) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, url, query, str(n)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def sessions(url: str) -> list[tuple[Any, ...]]:
    return rows(
        url,
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE %s",
        "%advance_fan_out%",
    )


def test_killed_in_the_middle_again_and_again_it_reaches_everybody_once(cloned_url: str) -> None:
    n, dice = 30_000, random.Random(7)
    for _ in range(4):
        process = begun(cloned_url, n)
        assert process.stdout is not None
        for _ in range(dice.randint(1, 8)):
            assert process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
        wait_until(lambda: not sessions(cloned_url))
        ((enqueued, there, finished_at),) = rows(
            cloned_url, "SELECT enqueued, (SELECT count(*) FROM outbox.notifications), finished_at FROM outbox.fan_outs"
        )
        assert (enqueued, finished_at) == (there, None)
        assert each_once(cloned_url, there)
    done = run(cloned_url, n=n)
    assert counts(done.counts) == {"selected": n, "enqueued": n}
    assert done.expected == n
    assert each_once(cloned_url, n)


def test_several_at_once_share_the_work_and_double_nothing(cloned_url: str) -> None:
    n = 20_000
    processes = [begun(cloned_url, n) for _ in range(3)]
    told = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert each_once(cloned_url, n)
    assert rows(cloned_url, "SELECT selected, enqueued, expected FROM outbox.fan_outs") == [(n, n, n)]
    assert sum(map(len, told)) >= n / 500


def test_two_that_begin_at_once_under_one_name_with_other_queries_are_not_mixed(database_url: str) -> None:
    told: list[Any] = []
    ready = threading.Barrier(2)

    def begin(n: int) -> None:
        ready.wait()
        try:
            told.append(run(database_url, n=n).counts.enqueued)
        except InvalidFanOut as error:
            told.append(error.field)

    both = [threading.Thread(target=begin, args=(n,)) for n in (2_000, 3_000)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(told, key=str) in ([2_000, "name"], [3_000, "name"])
    assert each_once(database_url, next(each for each in told if each != "name"))


def test_a_chunk_that_fails_is_undone_and_the_others_stay(database_url: str) -> None:
    query = "SELECT email AS recipient FROM wanted"
    rows(
        database_url,
        "DROP TABLE IF EXISTS wanted; CREATE TABLE wanted AS SELECT 'u' || i || '@example.org' AS email "
        "FROM generate_series(1, 30) i",
    )

    def cut(found: FanOut) -> None:
        if found.counts.selected == 20:
            conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with psycopg.connect(database_url, autocommit=True) as conn, pytest.raises(psycopg.OperationalError):
        fan_outs.run(conn, "sale", query, channel="email", chunk=10, on_progress=cut)
    assert each_once(database_url, 20)
    rows(database_url, "INSERT INTO wanted VALUES ('late@example.org'), ('u1@example.org')")
    done = run(database_url, query=query, n=None)
    assert done.counts.enqueued in {30, 31}, "who came meanwhile is in it, or not"
    assert each_once(database_url, done.counts.enqueued)


def test_no_snapshot_is_held_between_two_chunks(database_url: str) -> None:
    held = (
        "SELECT backend_xmin FROM pg_stat_activity "
        "WHERE datname = current_database() AND query LIKE %s AND pid <> pg_backend_pid()"
    )
    seen: list[Any] = []
    run(database_url, on_progress=lambda _: seen.extend(rows(database_url, held, "%advance_fan_out%")))
    assert seen == [(None,)] * 3


# What is seen of it


def test_all_of_it_can_be_taken_back(database_url: str) -> None:
    run(database_url)
    assert rows(database_url, "SELECT cancelled FROM outbox.cancel(group_key => 'fan-out:sale')") == [(2_500,)]


def test_the_table_says_how_far_it_is(database_url: str) -> None:
    def stop(_: FanOut) -> None:
        raise Stop

    with pytest.raises(Stop):
        run(database_url, on_progress=stop)
    with psycopg.connect(database_url) as conn:
        found = fan_outs.find(conn, "sale")
        assert (found.finished_at, found.expected, found.counts.selected) == (None, 2_500, 1_000)
        assert [each.name for each in fan_outs.list_all(conn)] == ["sale"]
        with pytest.raises(UnknownFanOut, match=r"did you mean sale\?"):
            fan_outs.find(conn, "sales")
    names = ", ".join(Selected.__dataclass_fields__)
    assert rows(database_url, f"SELECT {names} FROM outbox.fan_outs") == [(1_000, 1_000, 0, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("given_", "field"), [({"name": "a b"}, "name"), ({"chunk": 0}, "chunk"), ({"chunk": 100_001}, "chunk")]
)
def test_an_argument_that_will_not_do_is_named(database_url: str, given_: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFanOut) as refused:
        run(database_url, **given_)
    assert refused.value.field == field


async def test_retention_lets_go_of_it_when_keys_go(database_url: str) -> None:
    run(database_url, "old", n=1)
    run(database_url, "new", n=1)
    policy = RetentionConfig()
    rows(
        database_url,
        "UPDATE outbox.fan_outs SET advanced_at = now() - %s - interval '1 hour' WHERE name = 'old'",
        timedelta(days=policy.key_days),
    )
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert (await retention.forecast(conn, policy))["fan-outs"] == 1
        sweep = retention.Sweep(policy)
        steps = [step async for step in _steps(sweep, conn)]
    assert [(step.what, step.rows) for step in steps if step.what == "fan-outs"] == [("fan-outs", 1)]
    assert rows(database_url, "SELECT name FROM outbox.fan_outs") == [("new",)]


async def _steps(sweep: retention.Sweep, conn: psycopg.AsyncConnection[Any]) -> AsyncIterator[retention.Step]:
    while (step := await sweep.step(conn)) is not None:
        yield step


def test_a_payload_that_is_the_same_for_all_reaches_no_statement_that_is_logged(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("CREATE TEMPORARY TABLE one AS SELECT 'a@b.c' AS recipient")
        ((written,),) = conn.execute(
            "SELECT outbox.selected_rows('TABLE one', '{recipient}', %s) || outbox.selected_row(%s)",
            [json.dumps({"channel": "fax", "payload": {"code": "s3cret"}})] * 2,
        ).fetchall()
    assert "fax" not in written
    assert "s3cret" not in written
