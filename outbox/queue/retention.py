"""retention: what has ended and is past its time goes, in steps too small for anybody to notice."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import date

    from psycopg import AsyncConnection

    from outbox.config import RetentionConfig

    Task: TypeAlias = Callable[[AsyncConnection[Any]], Awaitable["Step | None"]]

BATCH = 1_000
PATIENCE = 100
# Five times as long as the step took: a sixth of one processor at the most, and less of what is left of a busy one.
_PAUSES = 5
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_BEFORE_PARTITIONS = ("notifications",)
_AFTER_PARTITIONS = ("attempts", "resolved dead letters", "open dead letters")

# What is detached first, for its space; notifications before their attempts, without which they would look lost.
EXPIRED = """
SELECT p.parent, p.name, p.attached, CAST(outbox.uuid7_time(p.lowest) AT TIME ZONE 'UTC' AS date), p.estimated_rows,
       p.bytes, p.attached AND EXISTS (SELECT FROM outbox.queue q WHERE q.id >= p.lowest AND q.id < p.beyond)
FROM outbox.partitions p
WHERE NOT p.attached OR p.beyond <= outbox.uuid7_floor(clock_timestamp() - make_interval(days => %(days)s))
ORDER BY p.attached, p.parent DESC, p.name
"""

COUNT_NOTIFICATIONS = """
SELECT count(*) FROM outbox.partitions p JOIN outbox.notifications n ON n.id >= p.lowest AND n.id < p.beyond
WHERE p.name = %(name)s
"""

COUNT_ATTEMPTS = """
SELECT count(*)
FROM outbox.partitions p JOIN outbox.attempts a ON a.notification_id >= p.lowest AND a.notification_id < p.beyond
WHERE p.name = %(name)s
"""

DETACH = "SELECT outbox.detach_expired_partition(%(name)s, %(days)s, %(patience)s)"

DROP = "SELECT outbox.drop_detached_partition(%(name)s)"

DELETE = "SELECT outbox.delete_expired(%(kind)s, %(days)s, %(batch)s)"

DELETE_KEYS = "SELECT deleted, next_page FROM outbox.delete_expired_keys(%(days)s, %(page)s, %(batch)s)"

FORECAST = """
WITH past AS MATERIALIZED (
    SELECT outbox.uuid7_floor(clock_timestamp() - make_interval(days => %(days)s)) AS floor,
           clock_timestamp() - make_interval(days => %(dead_letter_days)s) AS resolved,
           clock_timestamp() - make_interval(days => %(open_dead_letter_days)s) AS open,
           clock_timestamp() - make_interval(days => %(key_days)s) AS key
)
SELECT 'notifications', (SELECT count(*) FROM outbox.notifications_default n
                         WHERE n.id < past.floor AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = n.id))
FROM past
UNION ALL
SELECT 'attempts', (SELECT count(*) FROM outbox.attempts_default a
                    WHERE a.notification_id < past.floor
                      AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = a.notification_id))
FROM past
UNION ALL
SELECT 'resolved dead letters', (SELECT count(*) FROM outbox.dead_letters d
                                 WHERE d.resolved_at < past.resolved
                                   AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = d.notification_id))
FROM past
UNION ALL
SELECT 'open dead letters',
       (SELECT count(*) FROM outbox.dead_letters d WHERE d.resolution IS NULL AND d.died_at < past.open)
FROM past
UNION ALL
SELECT 'idempotency keys', (SELECT count(*) FROM outbox.idempotency_keys k
                            WHERE k.created_at < past.key
                              AND NOT EXISTS (SELECT FROM outbox.queue q WHERE q.id = k.notification_id))
FROM past
UNION ALL
SELECT 'erased keys', (SELECT count(*) FROM outbox.erased_keys e WHERE e.created_at < past.key)
FROM past
UNION ALL
SELECT 'fan-outs', (SELECT count(*) FROM outbox.fan_outs f WHERE f.advanced_at < past.key)
FROM past
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition past its time: its table, and its day (None once it is detached). `rows` is about how many, or -1."""

    parent: str
    name: str
    attached: bool
    day: date | None
    rows: int
    bytes: int
    held: bool
    """Something in the queue is of that day, so it stays."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: to a partition, by its name, or to rows of a kind."""

    what: str
    did: Literal["detached", "dropped", "held", "busy", "gone", "deleted"]
    rows: int = 0
    bytes: int = 0


class Sweep:
    """One pass over all that is past its time: call `step` until it returns None, each time in a transaction.

    Between two steps, leave everybody else alone for `pause` seconds. `patience` is how many milliseconds everybody
    else may have to wait for a lock of ours, each time.
    """

    def __init__(self, policy: RetentionConfig, *, patience: int = PATIENCE) -> None:
        self._policy = policy
        self._patience = patience
        self._expired: deque[Partition] | None = None
        self._page: int | None = 0
        self.pause = _SHORTEST_PAUSE
        self.busy: list[str] = []
        """The partitions whose lock was not to be had."""
        self._tasks: deque[Task] = deque(
            [
                *(partial(self._delete, kind) for kind in _BEFORE_PARTITIONS),
                self._partition,
                *(partial(self._delete, kind) for kind in _AFTER_PARTITIONS),
                self._keys,
                partial(self._delete, "erased keys"),
                partial(self._delete, "fan-outs"),
            ]
        )

    async def step(self, conn: AsyncConnection[Any]) -> Step | None:
        """Do the next step, in the transaction that `conn` is in; None when nothing is left to do."""
        began = time.monotonic()
        step = None
        while self._tasks and step is None:
            step = await self._tasks[0](conn)
            if step is None:
                self._tasks.popleft()
        self.pause = min(max(_SHORTEST_PAUSE, _PAUSES * (time.monotonic() - began)), _LONGEST_PAUSE)
        return step

    async def _partition(self, conn: AsyncConnection[Any]) -> Step | None:
        if self._expired is None:  # once: to look at the size of every partition takes as long as to drop one
            self._expired = deque(await list_expired(conn, self._policy.days))
        if not self._expired:
            return None
        chosen = self._expired[0]
        step = await (self._detach(conn, chosen) if chosen.attached else self._drop(conn, chosen))
        self._expired.popleft()
        if step.did == "detached":
            self._expired.appendleft(replace(chosen, attached=False))
        elif step.did == "busy":
            self.busy.append(chosen.name)
        return step

    async def _detach(self, conn: AsyncConnection[Any], chosen: Partition) -> Step:
        if chosen.held:
            return Step(chosen.name, "held")
        rows = await count(conn, chosen)
        parameters = {"name": chosen.name, "days": self._policy.days, "patience": self._patience}
        did = await _value(conn, DETACH, **parameters)
        return Step(chosen.name, did, rows, chosen.bytes) if did == "detached" else Step(chosen.name, did)

    async def _drop(self, conn: AsyncConnection[Any], chosen: Partition) -> Step:
        return Step(chosen.name, "dropped" if await _value(conn, DROP, name=chosen.name) else "gone")

    async def _delete(self, kind: str, conn: AsyncConnection[Any]) -> Step | None:
        days = days_of(self._policy, kind)
        if days is None:
            return None
        deleted = await _value(conn, DELETE, kind=kind, days=days, batch=BATCH)
        return Step(kind, "deleted", deleted) if deleted else None

    async def _keys(self, conn: AsyncConnection[Any]) -> Step | None:
        if self._page is None:
            return None
        parameters = {"days": self._policy.key_days, "page": self._page, "batch": BATCH}
        async with conn.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(DELETE_KEYS, parameters)
            deleted, self._page = (await cursor.fetchall())[0]
        return Step("idempotency keys", "deleted", deleted)


def days_of(policy: RetentionConfig, kind: str) -> int | None:
    """Return after how many days rows of a kind go; None is never."""
    return {
        "resolved dead letters": policy.dead_letter_days,
        "open dead letters": policy.open_dead_letter_days,
        "idempotency keys": policy.key_days,
        "erased keys": policy.key_days,
        "fan-outs": policy.key_days,
    }.get(kind, policy.days)


async def list_expired(conn: AsyncConnection[Any], days: int) -> list[Partition]:
    """Return the partitions older than so many days, in the order in which they go."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(EXPIRED, {"days": days})
        return [Partition(*row) for row in await cursor.fetchall()]


async def forecast(conn: AsyncConnection[Any], policy: RetentionConfig) -> dict[str, int]:
    """Return how many rows of each kind a sweep would delete, beside the partitions; writes nothing."""
    parameters = {
        "days": policy.days,
        "dead_letter_days": policy.dead_letter_days,
        "open_dead_letter_days": policy.open_dead_letter_days,
        "key_days": policy.key_days,
    }
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(FORECAST, parameters)
        return dict(await cursor.fetchall())


async def count(conn: AsyncConnection[Any], partition: Partition) -> int:
    """Return about how many rows it has: as PostgreSQL estimates, or, before it first did so, counted."""
    if partition.rows >= 0 or not partition.attached:
        return max(partition.rows, 0)
    statement = COUNT_NOTIFICATIONS if partition.parent == "notifications" else COUNT_ATTEMPTS
    return int(await _value(conn, statement, name=partition.name))


async def _value(conn: AsyncConnection[Any], statement: str, **parameters: Any) -> Any:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement, parameters)
        return (await cursor.fetchall())[0][0]
