"""A claim that is asked for ten takes ten, whatever the planner thinks of the tables.

With stale statistics PostgreSQL may run a LIMIT again for each outer row: `LIMIT 10` has claimed 3,000 (bug #15715).
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo

from outbox.queue.claim import claim
from tests.chaos.scenario import scenario
from tests.hands import EVERY_LEVEL, enqueue, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.chaos.stage import Stage

_WAITING = 3_000
_LIMITS = (1, 10, 100)
_MODES = ("auto", "force_custom_plan", "force_generic_plan")
# They decide between the shapes of such plans: all combinations are tried, and each other setting by itself.
_COMBINED = (
    "enable_nestloop",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_indexscan",
    "enable_hashagg",
    "enable_sort",
)

# How one would write it first. It shows that the trap is set.
_USUAL = """
UPDATE outbox.queue q SET worker = 1
WHERE q.channel = 'email' AND q.priority = 5 AND q.run_at <= now() AND q.worker IS NULL AND q.claim = 0 AND q.id IN (
    SELECT id FROM outbox.queue
    WHERE channel = 'email' AND run_at <= now()
    ORDER BY priority, run_at
    LIMIT 10
    FOR UPDATE SKIP LOCKED)
"""

# What has ended is in `notifications` and `attempts` alone, and the statistics of `queue` are those of an empty table.
_HISTORY = """
INSERT INTO outbox.notifications (channel, recipient) SELECT 'email', 'done@example.org' FROM generate_series(1, %s);
"""
_END = """
INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome)
SELECT id, 1, 1, 'sent' FROM outbox.queue;
DELETE FROM outbox.queue;
"""


class _Case(NamedTuple):
    limit: int
    mode: str
    off: tuple[str, ...]


@scenario(6, "the planner works with stale statistics and every setting")
def stale_statistics(stage: Stage) -> None:
    history = stage.pick(reduced=5_000, full=100_000)
    _make_stale(stage.url, history)
    cases = list(_cases(_settings(stage.url)))
    if not stage.full:
        cases = stage.random.sample(cases, 90)
    claimed = asyncio.run(_claim_all(stage.url, cases))
    others = stage.random.sample(sorted({case.off for case in cases}), stage.pick(reduced=1, full=10))
    trapped = sum(
        _usual(stage.url, off) > 10 for off in [(), *others]
    )  # each takes a while: it runs the LIMIT so often
    over = [f"{case}: {count}" for case, count in zip(cases, claimed, strict=True) if count > case.limit]
    short = [f"{case}: {count}" for case, count in zip(cases, claimed, strict=True) if count < case.limit]
    stage.exactly(0, "claims of more than their limit", len(over))
    stage.exactly(0, "claims of less, with enough waiting", len(short))
    stage.at_least(1, "planners with which the usual UPDATE takes more", trapped)
    for each in (*over[:3], *short[:3]):
        stage.note(each)
    stage.ran(
        f"{len(cases):,} claims of {', '.join(map(str, _LIMITS))} beside {_WAITING:,} waiting and {history:,} done"
    )


def _make_stale(url: str, history: int) -> None:
    # Autovacuum would look at the tables again in the middle of it all.
    rows(url, "ALTER TABLE outbox.queue SET (autovacuum_enabled = false)")
    rows(url, _HISTORY, history)
    rows(url, _END)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE outbox.queue")
        conn.execute("ANALYZE outbox.notifications")
        conn.execute("ANALYZE outbox.attempts")
    enqueue(url, _WAITING)


def _settings(url: str) -> list[str]:
    found = rows(url, "SELECT name FROM pg_settings WHERE name LIKE 'enable\\_%' AND vartype = 'bool' ORDER BY name")
    return [str(name) for (name,) in found]


def _cases(settings: Iterable[str]) -> Iterator[_Case]:
    combinations = [
        tuple(itertools.compress(_COMBINED, chosen))
        for chosen in itertools.product((False, True), repeat=len(_COMBINED))
    ]
    singles = [(name,) for name in settings if name not in _COMBINED]
    for off, mode, limit in itertools.product([*combinations, *singles], _MODES, _LIMITS):
        yield _Case(limit, mode, off)


def _usual(url: str, off: Iterable[str]) -> int:
    with psycopg.connect(_with_settings(url, {"jit": "off", **dict.fromkeys(off, "off")})) as conn:
        taken = conn.execute(_USUAL).rowcount
        conn.rollback()
        return taken


async def _claim_all(url: str, cases: Iterable[_Case]) -> list[int]:
    return [await _claim_once(url, case) for case in cases]


async def _claim_once(url: str, case: _Case) -> int:
    """Return how many rows a claim takes, by the count of the rows themselves; it is rolled back."""
    # Without the compiler, as workers are: what is switched off costs so much that each plan would be compiled first.
    url = _with_settings(url, {"plan_cache_mode": case.mode, "jit": "off", **dict.fromkeys(case.off, "off")})
    async with await psycopg.AsyncConnection.connect(url, prepare_threshold=0) as conn:
        returned = await claim(conn, channel="email", levels=EVERY_LEVEL, limit=case.limit, lease=30.0, worker=1)
        taken = await _count_taken(conn)
        await conn.rollback()
        return max(len(returned), taken)


async def _count_taken(conn: psycopg.AsyncConnection[Any]) -> int:
    cursor = await conn.execute("SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL")
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def _with_settings(url: str, settings: Mapping[str, str]) -> str:
    return make_conninfo(url, options=" ".join(f"-c {name}={value}" for name, value in settings.items()))
