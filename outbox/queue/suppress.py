"""suppress: somebody must not be contacted from now on, and what waits for them ends, in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox import connections
from outbox.messages import Suppressed
from outbox.queue.entry import Entry, Key

if TYPE_CHECKING:
    from datetime import datetime, timedelta

SUPPRESS = """
SELECT created, stands, ended, in_hand FROM outbox.suppress(
    CAST(:channel AS text), CAST(:recipient AS text), CAST(:reason AS text), CAST(:topic AS text),
    coalesce(CAST(CAST(:until AS text) AS timestamptz), clock_timestamp() + CAST(CAST(:lasting AS text) AS interval)),
    CAST(:source AS text), CAST(:sender AS text))
"""


def add(
    conn: Any,
    *,
    channel: str,
    recipient: str,
    reason: str,
    topic: str | None = None,
    sender: str | None = None,
    source: str = "manual",
    until: datetime | timedelta | None = None,
    allow_autocommit: bool = False,
) -> Suppressed:
    """Add a suppression in the transaction that `conn` is in, and end what waits for its recipient as `suppressed`.

    What is enqueued later, and what was committed meanwhile, ends so when its turn comes: each claim looks. Of two for
    one key the stronger reason stays, and the longer time. Roll back, and nothing has happened.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        channel: the channel, such as `email`.
        recipient: the address, number, token or URL, as it is enqueued; in email, upper and lower case are the same.
        reason: `unsubscribed`, `complaint`, `hard_bounce`, `stop`, `manual`, or a word of your own.
        topic: only what is about this; without it, everything.
        sender: only by this sender of ours. What waits is then left to the claims, which know who would send it.
        source: who says so.
        until: until this moment (an aware datetime), or for so long (a timedelta); without it, for good. What comes due
            later is left alone.
        allow_autocommit: insist on a connection in autocommit mode.

    Raises:
        InvalidSuppression: an argument was refused (which, and why); nothing reached the database.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    entry = Entry.of(Key.of(channel, recipient, topic, sender), reason, source, until)
    return Suppressed(*connections.run(conn, SUPPRESS, entry.parameters(), allow_autocommit=allow_autocommit)[0])


async def aadd(
    conn: Any,
    *,
    channel: str,
    recipient: str,
    reason: str,
    topic: str | None = None,
    sender: str | None = None,
    source: str = "manual",
    until: datetime | timedelta | None = None,
    allow_autocommit: bool = False,
) -> Suppressed:
    """Do as `add` does, on an asynchronous connection."""
    entry = Entry.of(Key.of(channel, recipient, topic, sender), reason, source, until)
    rows = await connections.arun(conn, SUPPRESS, entry.parameters(), allow_autocommit=allow_autocommit)
    return Suppressed(*rows[0])
