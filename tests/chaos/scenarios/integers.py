"""Numbers that outgrow 31 and 32 bits: workers, claims, and counters at the end of their range."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

import outbox
from outbox.errors import Temporary
from outbox.events import ChoreFailed
from outbox.queue.release import release
from outbox.queue.renew import renew
from outbox.queue.replay import replay
from tests.chaos.scenario import scenario
from tests.hands import claim, enqueue, expire_leases, rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from outbox.events import Event
    from outbox.messages import Notification
    from tests.chaos.stage import Stage

_ROOT = Path(__file__).parents[3]
_EDGES = (2**31, 2**32)
_BEFORE = 5
_SMALL_EDGE = 2**15 - 2

_NARROW_COLUMNS = """
SELECT c.relname || '.' || a.attname
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('int4'::regtype, 'int4[]'::regtype)
ORDER BY 1
"""
_NARROW_CAST = re.compile(r"::\s*int(?:eger|4)?\b|\bAS\s+int(?:eger|4)?\s*\)", re.IGNORECASE)
_PRIORITY = r"CAST\((?:CAST\(:priority AS text\)|g\.priority) AS integer\)"
_FROM_0_TO_9 = re.compile(rf"IS (?:NOT NULL|TRUE)\)::int\b|{_PRIORITY}", re.IGNORECASE)


@scenario(42, "sequences, claims and counters pass 2^31 and 2^32")
def past_31_and_32_bits(stage: Stage) -> None:
    rounds = stage.pick(reduced=3, full=12)
    events: list[Event] = []
    made = 0
    for edge in _EDGES:
        _move_sequences(stage.url, edge - _BEFORE)
        for number in range(rounds):
            stage.say(f"around {edge:,}, worker {number + 1}")
            made += _live(stage.url, edge - 3 + number, events)
        ((last, highest),) = rows(stage.url, "SELECT max(worker), max(claim) FROM outbox.attempts")
        stage.at_least(edge, "the last worker's id", last)
        stage.at_least(edge, "the highest claim", highest)
    states = dict(rows(stage.url, "SELECT state, count(*) FROM outbox.status GROUP BY 1"))
    cancelled = rounds * len(_EDGES)
    stage.exactly({"sent": made - cancelled, "cancelled": cancelled}, "ends", states)
    ((most,),) = rows(stage.url, "SELECT max(attempt) FROM outbox.attempts")
    stage.exactly(_SMALL_EDGE + 1, "the highest attempt", most)
    stage.exactly(0, "settlements refused", sum(isinstance(event, ChoreFailed) for event in events))
    stage.exactly([], "columns of 32 bits", [name for (name,) in rows(stage.url, _NARROW_COLUMNS)])
    stage.exactly([], "casts to 32 bits", list(_narrow_casts()))
    stage.ran(f"{rounds} workers around each, {made:,} messages retried, lost, dead, replayed or cancelled")


def _move_sequences(url: str, value: int) -> None:
    found = rows(
        url,
        "SELECT setval(format('outbox.%%I', sequencename), %s) FROM pg_sequences WHERE schemaname = 'outbox'",
        value,
    )
    assert found, "the ids of workers come from a sequence"


def _live(url: str, token: int, events: list[Event]) -> int:
    """Let messages whose claims count on from `token` have every fate there is; return how many there were."""
    asyncio.run(_hand_around(url, enqueue(url, 8, channel="http"), token))
    enqueue(url, 4, channel="http", recipient="fails@once")
    enqueue(url, 2, channel="http", recipient="dies@once")
    rows(url, "UPDATE outbox.queue SET claim = %s WHERE claim = 0", token)
    rows(
        url,
        "UPDATE outbox.queue q SET attempt = %s FROM outbox.notifications n "
        "WHERE n.id = q.id AND n.recipient <> 'fails@once'",
        _SMALL_EDGE,
    )
    failed: set[str] = set()

    async def behave(notification: Notification) -> None:
        if notification.recipient in {"fails@once", "dies@once"} and str(notification.id) not in failed:
            failed.add(str(notification.id))
            raise Temporary("not yet", code="451")

    way = route(Recorder(behave), channel="http", events=events, backoff=("0s",))
    # More than the configuration allows, or they would have had their last attempt.
    way.policy = way.policy.model_copy(update={"max_attempts": _SMALL_EDGE + 1})
    assert asyncio.run(drain(url, way, concurrency=4)) == 0
    rows(url, "UPDATE outbox.dead_letters SET replays = %s WHERE resolution IS NULL", _SMALL_EDGE)
    with psycopg.connect(url) as conn:
        letters = conn.execute("SELECT notification_id FROM outbox.dead_letters WHERE resolution IS NULL").fetchall()
        assert len(replay(conn, [letter for (letter,) in letters], max_replays=None)) == 2
    assert asyncio.run(drain(url, way, concurrency=4)) == 0
    return 14


async def _hand_around(url: str, made: list[UUID], token: int) -> None:
    """Claim, renew, release, lose and cancel by hand, under a worker's id and claims beside the edge."""
    rows(url, "UPDATE outbox.queue SET claim = %s", token)
    held = {one.id: one.claim for one in await claim(url, limit=len(made), worker=token, channel="http")}
    assert set(held.values()) == {token + 1}
    with psycopg.connect(url, autocommit=True) as conn:
        assert renew(conn, held=held, lease=30.0, worker=token) == (set(held), set())
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as aconn:
        first = {each: held[each] for each in made[:4]}
        assert await release(aconn, held=first, worker=token) == (set(first), set())
    expire_leases(url)
    with psycopg.connect(url) as conn:
        assert outbox.cancel(conn, id=made[0]).cancelled == 1


def _narrow_casts() -> Iterator[str]:
    """Yield where the SQL casts to 32 bits what may be larger than a digit."""
    for file in sorted([*(_ROOT / "outbox").rglob("*.py"), *(_ROOT / "migrations").rglob("*.sql")]):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if _NARROW_CAST.search(_FROM_0_TO_9.sub("", line)):
                yield f"{file.relative_to(_ROOT)}:{number}"
