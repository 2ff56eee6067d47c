"""What the hot statements read, as the server itself reports it, whatever the planner was told of the tables."""

from __future__ import annotations

import json
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.database import Link
from outbox.messages import Digests
from outbox.outcomes import Dead, Retry, Sent
from outbox.queue.claim import CLAIM, Claimed, claim
from outbox.queue.release import RELEASE, release
from outbox.queue.renew import RENEW, STILL_OURS
from outbox.queue.settle import SETTLE, SETTLE_SENT, settle
from outbox.queue.settlement import Settlement
from tests.hands import EVERY_LEVEL, TROUBLE, rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

BATCH = 200
BACKLOG = 20_000
_WORKER = 7

_FILL = """
INSERT INTO outbox.notifications (channel, recipient, priority, run_at)
SELECT 'email', 'user' || n || '@example.org', CASE WHEN n %% 5 = 0 THEN 0 ELSE 5 END,
       clock_timestamp() + CASE WHEN n %% 5 = 0 THEN interval '1 hour' ELSE '0' END
FROM generate_series(1, %s) AS n
"""
_ALL_OF_IT = ("queue", "notifications", "attempts", "dead_letters", "suppressions")
EXPLAINED = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_format = json;
SET auto_explain.log_level = notice;
"""

NO_AUTOVACUUM = """
DO $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT oid FROM pg_class WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', part);
    END LOOP;
END
$$
"""

Node = dict[str, Any]


def test_the_attempts_of_the_last_minute_are_found_in_the_pages_that_have_them(cloned_url: str) -> None:
    """By an index that each partition has, those made later as well, and that only says which pages to look at."""
    rows(cloned_url, "SELECT outbox.ensure_partitions(20)")
    without = rows(
        cloned_url,
        "SELECT p.name FROM outbox.partitions p WHERE p.parent = 'attempts' AND NOT EXISTS ("
        "SELECT FROM pg_indexes i WHERE i.tablename = p.name AND i.indexdef LIKE '%USING brin (finished_at)%')",
    )
    assert without == []
    rows(
        cloned_url,
        "INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, finished_at) "
        "SELECT outbox.uuid7(), 1, 1, 'sent', now() - (1e5 - n) * interval '100 ms' FROM generate_series(1, 100000) n",
    )
    with psycopg.connect(cloned_url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE outbox.attempts")
        told = conn.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT outcome, count(*) FROM outbox.attempts "
            "WHERE finished_at > now() - interval '1 minute' GROUP BY outcome"
        ).fetchall()[0][0]
    assert "Bitmap Index Scan" in json.dumps(told)
    seen = sum(node.get("Actual Rows", 0) + node.get("Rows Removed by Index Recheck", 0) for node in _heaps(told[0]))
    assert 0 < seen < 30_000


def _heaps(told: Any) -> list[Node]:
    """The nodes that visit the pages an index named."""
    nodes, waiting = [], [told["Plan"]]
    while waiting:
        node = waiting.pop()
        waiting += node.get("Plans", [])
        nodes += [node] * (node["Node Type"] == "Bitmap Heap Scan")
    return nodes


def fill(url: str, count: int = BACKLOG) -> None:
    rows(url, _FILL, count)


def analyze(url: str, *tables: str, how: str = "VACUUM ANALYZE") -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        for table in tables or _ALL_OF_IT:
            conn.execute(f"{how} outbox.{table}".encode())


def empty(url: str) -> None:
    """Statistics of empty tables, without a page."""
    analyze(url)


def emptied(url: str) -> None:
    """Statistics of a queue that had been emptied, and kept its pages: then it counts as empty at any length."""
    fill(url, 5_000)
    rows(url, "DELETE FROM outbox.queue")
    analyze(url, "queue", how="VACUUM (TRUNCATE off, ANALYZE)")


def elsewhere(url: str) -> None:
    """Statistics of a queue that had been full of another channel's, all of them scheduled."""
    fill(url, 5_000)
    rows(url, "UPDATE outbox.queue SET channel = 'sms', priority = 9, run_at = now() + interval '1 year'")
    analyze(url)
    rows(url, "DELETE FROM outbox.queue")


def none(_: str) -> None:
    """No statistics at all."""


STATISTICS = [none, empty, emptied, elsewhere]


def every(node: Node) -> Iterator[Node]:
    """The node, and all beneath it."""
    yield node
    for child in node.get("Plans", ()):
        yield from every(child)


def work(node: Node) -> float:
    """How many rows it looked at, those that it dropped included."""
    looked = sum(value for key, value in node.items() if key.startswith("Rows Removed by"))
    if "Relation Name" in node:
        looked += node["Actual Rows"]
    return float(looked * node["Actual Loops"])


def fixed_part(statement: str) -> str:
    """What tells it from the others: its longest piece without a parameter."""
    return max(re.split(r"%\(\w+\)s", statement), key=len).strip()


def is_whole(node: Node) -> bool:
    """Whether a table that grows was read from end to end."""
    grows = re.match("queue|notifications|attempts", node.get("Relation Name", ""))
    return bool(grows) and node["Node Type"] == "Seq Scan" and node["Actual Loops"] > 0


class Plans:
    """The plans of all that ran on a connection, as they ran."""

    def __init__(self, conn: psycopg.AsyncConnection[Any]) -> None:
        self._said: list[str] = []
        conn.add_notice_handler(lambda said: self._said.append(said.message_primary or ""))

    def clear(self) -> None:
        self._said.clear()

    def of(self, fragment: str) -> list[Node]:
        told = [json.loads(said[said.index("{") :]) for said in self._said if said.startswith("duration: ")]
        return [each["Plan"] for each in told if fragment in each["Query Text"]]

    def assert_lookups(self) -> None:
        """Nothing was read as a whole, and nothing was compared with each of many."""
        for plan in self.of("outbox."):
            nodes = [each | {"Plans": []} for each in every(plan)]
            assert not [each for each in nodes if is_whole(each)]
            assert not [each for each in nodes if work(each) > 2 * BATCH]


@asynccontextmanager
async def through_a_link(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """As a worker's connections are; every plan is kept from the start."""
    link = Link(url, "claim", print, lookups_only=True)

    async def prepared(conn: psycopg.AsyncConnection[Any]) -> psycopg.AsyncConnection[Any]:
        conn.prepare_threshold = 0
        await conn.execute("SET plan_cache_mode = force_generic_plan")
        return conn

    yield await link.run(prepared)
    await link.aclose()


@asynccontextmanager
async def as_through_a_pooler(url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """With nothing prepared, and nothing set."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=None) as conn:
        yield conn


WAYS = [through_a_link, as_through_a_pooler]


async def take(conn: psycopg.AsyncConnection[Any]) -> list[Claimed]:
    return await claim(conn, channel="email", levels=EVERY_LEVEL, limit=BATCH, lease=30, worker=_WORKER)


async def work_through(conn: psycopg.AsyncConnection[Any]) -> int:
    """Claim, renew, release and settle in every way; return how many were claimed."""
    claimed = await take(conn)
    held = {one.id: one.claim for one in claimed}
    parameters = {"ids": list(held), "claims": list(held.values()), "lease": 30, "worker": _WORKER}
    assert (await conn.execute(STILL_OURS, parameters)).rowcount == len(held)
    rendered = Sent(provider="smtp", digests=Digests(bytes(16), bytes(16)))
    assert await settle_all(conn, claimed[0::4], Sent(provider="smtp"), by_place=True)
    assert await settle_all(conn, claimed[1::4], rendered, by_place=True)
    await conn.execute(RENEW, parameters)
    assert await settle_all(conn, claimed[2::4], Sent(provider="smtp"))
    assert await settle_all(conn, claimed[3::4], rendered)
    for outcome in (
        Retry(provider="smtp", failure=TROUBLE, delay=3_600),
        Dead(provider="smtp", failure=TROUBLE, reason="exhausted"),
    ):
        assert await settle_all(conn, await take(conn), outcome)
    rest = {one.id: one.claim for one in await take(conn)}
    assert await release(conn, held=rest, worker=_WORKER) == (set(rest), set())
    return len(claimed)


async def settle_all(
    conn: psycopg.AsyncConnection[Any], claimed: list[Claimed], outcome: Any, *, by_place: bool = False
) -> bool:
    now = time.monotonic()
    ended = [
        Settlement(one.key, one.claim, one.attempt, outcome, now, now, one.place if by_place else None)
        for one in claimed
    ]
    settled, locked = await settle(conn, ended, worker=_WORKER)
    return settled == {one.key for one in claimed} and not locked


@pytest.fixture
def still_url(cloned_url: str) -> str:
    """The URL of a database whose statistics nobody renews unasked."""
    rows(cloned_url, NO_AUTOVACUUM)
    return cloned_url


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("make", STATISTICS, ids=lambda make: make.__name__)
async def test_the_hot_statements_look_up_what_they_need_whatever_the_statistics(
    make: Callable[[str], None], way: Any, still_url: str
) -> None:
    make(still_url)
    async with way(still_url) as conn:
        fill(still_url, 10)
        await work_through(conn)  # with next to nothing there: its plans are kept, where any are
        fill(still_url)
        await conn.execute(EXPLAINED, prepare=False)
        plans = Plans(conn)
        assert await work_through(conn) == BATCH
        plans.assert_lookups()
        for statement in (CLAIM, SETTLE_SENT, SETTLE, RENEW, STILL_OURS, RELEASE):
            assert plans.of(fixed_part(statement)), statement


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("make", [*STATISTICS, None], ids=lambda make: make.__name__ if make else "true")
async def test_a_claim_reads_an_index_range_a_level_and_never_sorts_the_queue(
    make: Callable[[str], None] | None, way: Any, still_url: str
) -> None:
    if make:
        make(still_url)
    async with way(still_url) as conn:
        await take(conn)
        fill(still_url)
        if not make:
            analyze(still_url)
        await conn.execute(EXPLAINED, prepare=False)
        plans = Plans(conn)
        assert len(await take(conn)) == BATCH
        plans.assert_lookups()
        (plan,) = plans.of(fixed_part(CLAIM))
    (due,) = (each for each in every(plan) if each.get("Subplan Name") == "CTE due")
    nodes = list(every(due))
    assert not [each for each in nodes if "Sort" in each["Node Type"]], due
    (scan,) = (each for each in nodes if each.get("Relation Name") == "queue")
    assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "queue_due")
    assert all(f"({column} " in scan["Index Cond"] for column in ("channel", "priority", "run_at"))
    assert scan["Actual Loops"] <= len(EVERY_LEVEL)
