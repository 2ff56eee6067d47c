"""attend: a worker says that it is there, that it sleeps or wakes, and that it leaves."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import AsyncConnection, Connection

ENTER = """
INSERT INTO outbox.workers (pid, host, version, channels, providers)
VALUES (%(pid)s, %(host)s, %(version)s, %(channels)s::text[], %(providers)s::text[]) RETURNING id
"""

# SKIP LOCKED, here and below: whoever looks at this table with a lock must not hold up a worker.
HEARTBEAT = """
UPDATE outbox.workers SET seen_at = clock_timestamp(), report = coalesce(%(report)s::jsonb, report)
WHERE id = (SELECT id FROM outbox.workers WHERE id = %(id)s FOR UPDATE SKIP LOCKED)
"""

# A frozen worker's row may have been swept away; it comes back when the worker does.
RETURN = """
INSERT INTO outbox.workers (id, pid, host, version, channels, providers) OVERRIDING SYSTEM VALUE
SELECT %(id)s, %(pid)s, %(host)s, %(version)s, %(channels)s::text[], %(providers)s::text[]
WHERE NOT EXISTS (SELECT FROM outbox.workers WHERE id = %(id)s)
"""

SLEEP = """
UPDATE outbox.workers SET idle = array_append(array_remove(idle, %(channel)s::text), %(channel)s::text)
WHERE id = (SELECT id FROM outbox.workers WHERE id = %(id)s FOR UPDATE SKIP LOCKED)
"""

WAKE = """
UPDATE outbox.workers SET idle = array_remove(idle, %(channel)s::text)
WHERE id = (SELECT id FROM outbox.workers WHERE id = %(id)s FOR UPDATE SKIP LOCKED)
"""

LEAVE = "DELETE FROM outbox.workers WHERE id = %(id)s"

# Ten minutes without a heartbeat (a tenth of it is the usual interval): gone. Its rows come back by their leases alone.
SWEEP = "DELETE FROM outbox.workers WHERE seen_at < clock_timestamp() - interval '10 minutes'"


def _about(channels: Sequence[str], providers: Sequence[str]) -> dict[str, Any]:
    about = {"pid": os.getpid(), "host": socket.gethostname(), "version": version("outbox")}
    return about | {"channels": list(channels), "providers": list(providers)}


async def enter(conn: AsyncConnection[Any], channels: Sequence[str], providers: Sequence[str] = ()) -> int:
    """Register this process as a worker of `channels`, through `providers`; returns the worker's id."""
    cursor = await conn.execute(ENTER, _about(channels, providers))
    (identity,) = (await cursor.fetchall())[0]
    return int(identity)


def heartbeat(
    conn: Connection[Any],
    worker: int,
    channels: Sequence[str],
    providers: Sequence[str] = (),
    report: str | None = None,
) -> None:
    """Say that the worker is alive, and, if there is a report (as JSON), what it knows of itself."""
    if not conn.execute(HEARTBEAT, {"id": worker, "report": report}).rowcount:
        conn.execute(RETURN, {"id": worker} | _about(channels, providers))


async def sleep(conn: AsyncConnection[Any], worker: int, channel: str) -> bool:
    """Say that the worker waits for a notification on `channel`: from now on an enqueue there notifies.

    Returns whether it is said; or else somebody holds the worker's row, or it was struck off.
    """
    return bool((await conn.execute(SLEEP, {"id": worker, "channel": channel})).rowcount)


async def wake(conn: AsyncConnection[Any], worker: int, channel: str) -> bool:
    """Say that the worker is busy with `channel`: enqueues need not notify. Returns whether it is said."""
    return bool((await conn.execute(WAKE, {"id": worker, "channel": channel})).rowcount)


async def leave(conn: AsyncConnection[Any], worker: int) -> None:
    """Strike the worker off."""
    await conn.execute(LEAVE, {"id": worker})


async def sweep(conn: AsyncConnection[Any]) -> int:
    """Strike off the workers that vanished; returns how many."""
    return (await conn.execute(SWEEP)).rowcount
