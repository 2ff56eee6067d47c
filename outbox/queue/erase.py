"""erase: remove what is stored about one person, and leave counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections
from outbox.addresses import one_form
from outbox.messages import Erased

if TYPE_CHECKING:
    from datetime import datetime

    from outbox.connections import Parameters

ERASE = """
SELECT notifications, cancelled, leased, attempts, dead_letters, inbox, idempotency_keys, suppressions
FROM outbox.erase(CAST(:recipient AS text), CAST(:channel AS text), CAST(CAST(:suppressions AS text) AS boolean))
"""

# The same in pieces: a person's notifications are looked for in a day's partition at a time.
ERASE_SLICE = """
SELECT notifications, cancelled, leased, attempts, dead_letters, inbox, idempotency_keys, 0
FROM outbox.erase_notifications(CAST(:recipient AS text), CAST(:channel AS text),
                                CAST(CAST(:since AS text) AS timestamptz), CAST(CAST(:until AS text) AS timestamptz))
"""

ERASE_KEYS = """
SELECT idempotency_keys, next_page
FROM outbox.erase_keys(CAST(:recipient AS text), CAST(:channel AS text), CAST(CAST(:page AS text) AS bigint))
"""

ERASE_SUPPRESSIONS = "SELECT outbox.erase_suppressions(CAST(:recipient AS text), CAST(:channel AS text))"

# A slice is a partition; what lies before the first, or after the last, is one more.
SLICES = """
WITH bounds AS (
    SELECT outbox.uuid7_time(bound) AS moment
    FROM outbox.partitions p
    CROSS JOIN LATERAL (VALUES (p.lowest), (p.beyond)) AS of (bound)
    WHERE p.parent = 'notifications' AND bound IS NOT NULL
    GROUP BY 1
)
SELECT lag(b.moment) OVER (ORDER BY b.moment), b.moment FROM bounds b
UNION ALL
SELECT max(b.moment), NULL FROM bounds b
"""

COUNT_SLICE = """
WITH ends AS (
    SELECT coalesce(outbox.uuid7_floor(CAST(CAST(:since AS text) AS timestamptz)),
                    '00000000-0000-0000-0000-000000000000') AS lowest,
           coalesce(outbox.uuid7_floor(CAST(CAST(:until AS text) AS timestamptz)),
                    'ffffffff-ffff-ffff-ffff-ffffffffffff') AS beyond
), successors AS MATERIALIZED (
    SELECT DISTINCT line.id
    FROM outbox.dead_letters d CROSS JOIN LATERAL unnest(outbox.line_of(d.notification_id)) AS line (id)
    WHERE d.replaced_by IS NOT NULL
      AND d.notification_id >= (SELECT lowest FROM ends) AND d.notification_id < (SELECT beyond FROM ends)
      AND outbox.is_of(d.channel, d.recipient, CAST(:channel AS text), CAST(:recipient AS text))
), furthest AS (
    SELECT CASE WHEN EXISTS (SELECT FROM successors) THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff' ELSE beyond END AS id
    FROM ends
), theirs AS MATERIALIZED (
    SELECT n.id, n.idempotency_key
    FROM outbox.notifications n
    WHERE n.id >= (SELECT lowest FROM ends) AND n.id < (SELECT beyond FROM ends)
      AND outbox.is_of(n.channel, n.recipient, CAST(:channel AS text), CAST(:recipient AS text))
    UNION ALL  -- what went to somebody else in the place of theirs; what went to them is counted in its own slice
    SELECT n.id, n.idempotency_key
    FROM successors s
    CROSS JOIN LATERAL (SELECT * FROM outbox.notifications m WHERE m.id = s.id LIMIT 1) n
    WHERE NOT outbox.is_of(n.channel, n.recipient, CAST(:channel AS text), CAST(:recipient AS text))
), waiting AS (
    SELECT (q.leased_until > statement_timestamp()) IS TRUE AS leased
    FROM theirs JOIN outbox.queue q ON q.id = theirs.id
)
SELECT (SELECT count(*) FROM theirs) - (SELECT count(*) FROM waiting WHERE leased),
       (SELECT count(*) FROM waiting WHERE NOT leased), (SELECT count(*) FROM waiting WHERE leased),
       (SELECT count(*) FROM theirs JOIN outbox.attempts a ON a.notification_id = theirs.id
        WHERE a.notification_id >= (SELECT lowest FROM ends) AND a.notification_id < (SELECT id FROM furthest)
          AND (a.provider_message_id IS NOT NULL OR a.error IS NOT NULL)),
       (SELECT count(*) FROM outbox.dead_letters d
        WHERE d.notification_id >= (SELECT lowest FROM ends) AND d.notification_id < (SELECT beyond FROM ends)
          AND outbox.is_of(d.channel, d.recipient, CAST(:channel AS text), CAST(:recipient AS text)))
       + (SELECT count(*) FROM successors s JOIN outbox.dead_letters d ON d.notification_id = s.id
          WHERE NOT outbox.is_of(d.channel, d.recipient, CAST(:channel AS text), CAST(:recipient AS text))),
       (SELECT count(*) FROM outbox.inbox i
        WHERE i.notification_id >= (SELECT lowest FROM ends) AND i.notification_id < (SELECT beyond FROM ends)
          AND i.recipient = CAST(:recipient AS text) AND coalesce(CAST(:channel AS text), 'inapp') = 'inapp')
       + (SELECT count(*) FROM successors s JOIN outbox.inbox i ON i.notification_id = s.id
          WHERE i.recipient <> CAST(:recipient AS text)),
       (SELECT count(*) FROM theirs WHERE theirs.idempotency_key IS NOT NULL), 0
"""

COUNT_SUPPRESSIONS = """
SELECT count(*) FROM outbox.suppressions s
WHERE outbox.is_of(s.channel, s.recipient, CAST(:channel AS text), CAST(:recipient AS text))
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Whose data: an address, number, token or URL, on one channel or on all."""

    recipient: str
    channel: str | None = None

    def __post_init__(self) -> None:
        """Refuse nobody.

        Raises:
            ValueError: the recipient is empty.
        """
        if not self.recipient:
            raise ValueError("whose data? the recipient is empty")

    def parameters(self) -> dict[str, str | list[str | None] | None]:
        """Return the statements' parameters by name."""
        return {"recipient": one_form(self.channel or "sms", self.recipient), "channel": self.channel}


@dataclass(frozen=True, slots=True)
class Slice:
    """From one moment to another; None is without a beginning, or an end."""

    since: datetime | None
    until: datetime | None

    def parameters(self) -> dict[str, str | list[str | None] | None]:
        """Return the statements' parameters by name."""
        moments = {"since": self.since, "until": self.until}
        return {name: None if moment is None else moment.isoformat() for name, moment in moments.items()}


def erase(
    conn: Any,
    *,
    recipient: str,
    channel: str | None = None,
    suppressions: bool = False,
    allow_autocommit: bool = False,
) -> Erased:
    """Erase what is stored about one person, in the transaction that `conn` is in.

    That is their notifications, dead letters and inbox, and what was enqueued in the place of their dead letters, to
    whomever. What still waits is cancelled; attempts stay as bare facts, and
    idempotency keys as digests, so that a second enqueue with an old key still sends nothing. What a worker holds this
    moment is left, and counted as `leased`: erase again when it is sent.

    It reads all notifications there are: about half a second for a million. `outbox erase` does it in small steps.

    Args:
        conn: any synchronous connection that `enqueue` takes, of a role that may execute `outbox.erase`.
        recipient: the address, number, token or URL, as it was enqueued; upper and lower case are the same in email.
        channel: only this channel.
        suppressions: remove these too. Without it they stay, since they are what keeps the person from being contacted.
        allow_autocommit: insist on a connection in autocommit mode.

    Raises:
        ValueError: the recipient is empty.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    parameters = _parameters(recipient, channel, suppressions=suppressions)
    return Erased(*connections.run(conn, ERASE, parameters, allow_autocommit=allow_autocommit)[0])


async def aerase(
    conn: Any,
    *,
    recipient: str,
    channel: str | None = None,
    suppressions: bool = False,
    allow_autocommit: bool = False,
) -> Erased:
    """Do as `erase` does, on an asynchronous connection."""
    parameters = _parameters(recipient, channel, suppressions=suppressions)
    return Erased(*(await connections.arun(conn, ERASE, parameters, allow_autocommit=allow_autocommit))[0])


def _parameters(recipient: str, channel: str | None, *, suppressions: bool) -> Parameters:
    return Person(recipient, channel).parameters() | {"suppressions": str(suppressions)}


def list_slices(conn: Any) -> list[Slice]:
    """Return the slices of time to erase one after the other: together, ever.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return [Slice(*row) for row in connections.run(conn, SLICES, {}, allow_autocommit=True)]


def erase_slice(conn: Any, person: Person, time: Slice) -> Erased:
    """Erase what was enqueued in a slice of time, with all that was copied from it; raises as `erase`."""
    return Erased(*connections.run(conn, ERASE_SLICE, person.parameters() | time.parameters())[0])


def count_slice(conn: Any, person: Person, time: Slice) -> Erased:
    """Return what `erase_slice` would do; writes nothing."""
    return Erased(
        *connections.run(conn, COUNT_SLICE, person.parameters() | time.parameters(), allow_autocommit=True)[0]
    )


def erase_keys(conn: Any, person: Person, page: int = 0) -> tuple[int, int | None]:
    """Erase the keys that name the person and have outlived their notifications, from a page of their table on.

    Returns how many these were, and the page to go on from, or None at the end; raises as `erase`.
    """
    found, next_page = connections.run(conn, ERASE_KEYS, person.parameters() | {"page": str(page)})[0]
    return found, next_page


def erase_suppressions(conn: Any, person: Person) -> int:
    """Remove the person's suppressions: they may be contacted again. Returns how many; raises as `erase`."""
    return int(connections.run(conn, ERASE_SUPPRESSIONS, person.parameters())[0][0])


def count_suppressions(conn: Any, person: Person) -> int:
    """Return how many suppressions the person has."""
    return int(connections.run(conn, COUNT_SUPPRESSIONS, person.parameters(), allow_autocommit=True)[0][0])
