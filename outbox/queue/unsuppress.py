"""unsuppress: somebody may be contacted again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox import connections
from outbox.messages import Removed
from outbox.queue.entry import Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.connections import Row
    from outbox.queue.entry import Named

# For applications: what a provider, the law or one of us has said stays.
UNSUPPRESS = """
SELECT lifted, kept FROM outbox.unsuppress(
    CAST(:channel AS text), CAST(:recipient AS text), CAST(:topic AS text), CAST(:sender AS text))
"""

LIFT = """
SELECT lifted, kept FROM outbox.lift_suppression(
    CAST(:channel AS text), CAST(:recipient AS text), CAST(:topic AS text), CAST(:sender AS text),
    CAST(:spared AS text[]))
"""


def remove(
    conn: Any,
    *,
    channel: str,
    recipient: str,
    topic: str | None = None,
    sender: str | None = None,
    strong: bool = False,
    allow_autocommit: bool = False,
) -> Removed:
    """Remove the one suppression that `add` made with these arguments, in the transaction that `conn` is in.

    Its reason must be `unsubscribed`, or a word of your own. `strong` removes the others too, and takes a role that may
    execute `outbox.lift_suppression`. What was ended meanwhile stays so.

    Raises:
        InvalidSuppression: an argument was refused (which, and why).
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    key = Key.of(channel, recipient, topic, sender)
    if strong:
        return lift(conn, key, allow_autocommit=allow_autocommit)
    return _removed(connections.run(conn, UNSUPPRESS, key.parameters(), allow_autocommit=allow_autocommit))


async def aremove(
    conn: Any,
    *,
    channel: str,
    recipient: str,
    topic: str | None = None,
    sender: str | None = None,
    strong: bool = False,
    allow_autocommit: bool = False,
) -> Removed:
    """Do as `remove` does, on an asynchronous connection."""
    key = Key.of(channel, recipient, topic, sender)
    if not strong:
        return _removed(await connections.arun(conn, UNSUPPRESS, key.parameters(), allow_autocommit=allow_autocommit))
    return await alift(conn, key, allow_autocommit=allow_autocommit)


def lift(conn: Any, key: Key, *, spared: Sequence[str] = (), allow_autocommit: bool = False) -> Removed:
    """Remove a suppression whatever its reason is, but for those that are spared; raises as `remove`."""
    return _removed(connections.run(conn, LIFT, _lifting(key, spared), allow_autocommit=allow_autocommit))


async def alift(conn: Any, key: Key, *, spared: Sequence[str] = (), allow_autocommit: bool = False) -> Removed:
    """Do as `lift` does, on an asynchronous connection."""
    return _removed(await connections.arun(conn, LIFT, _lifting(key, spared), allow_autocommit=allow_autocommit))


def _lifting(key: Key, spared: Sequence[str] = ()) -> Named:
    return {**key.parameters(), "spared": list(spared)}


def _removed(rows: Sequence[Row]) -> Removed:
    ((lifted, kept),) = rows
    return Removed(lifted, tuple(kept))
