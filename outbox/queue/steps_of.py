"""steps_of: the others that a notification has to do with, because one is not sent if another was read, or was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from outbox import connections

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

# The steps of one escalation were enqueued together, and have one group key, which many may have as well: another
# escalation, too. So it is the conditions that lead from one to the next. What was enqueued by itself is found by its
# condition, and by what it waits for while it waits.
STEPS_OF = """
WITH RECURSIVE asked AS MATERIALIZED (
    SELECT n.id, n.group_key, n.unless_read, n.unless_sent,
           outbox.uuid7_floor(outbox.uuid7_time(n.id) - interval '1 second') AS lowest,
           outbox.uuid7_floor(outbox.uuid7_time(n.id) + interval '1 second') AS beyond
    FROM outbox.notifications n WHERE n.id = CAST(CAST(:id AS text) AS uuid)
), near AS MATERIALIZED (
    SELECT n.id, n.unless_read, n.unless_sent
    FROM asked a JOIN outbox.notifications n ON n.group_key = a.group_key AND n.id >= a.lowest AND n.id < a.beyond
    UNION
    SELECT n.id, n.unless_read, n.unless_sent
    FROM asked a JOIN outbox.notifications n ON n.id IN (a.id, a.unless_read, a.unless_sent)
    UNION
    SELECT q.id, q.unless_read, NULL FROM asked a JOIN outbox.queue q ON q.unless_read = a.id
), linked AS (
    SELECT n.id, other FROM near n CROSS JOIN LATERAL (VALUES (n.unless_read), (n.unless_sent)) AS to_it (other)
    WHERE other IN (SELECT id FROM near)
), found AS (
    SELECT a.id FROM asked a
    UNION
    SELECT CASE WHEN l.id = f.id THEN l.other ELSE l.id END FROM found f JOIN linked l ON f.id IN (l.id, l.other)
)
SELECT s.id, s.channel, s.state, s.next_due_at
FROM outbox.status s
WHERE s.id = ANY (ARRAY(SELECT f.id FROM found f)) AND (SELECT count(*) FROM found) > 1
ORDER BY s.run_at, s.id
"""


class StepState(NamedTuple):
    """One of several ways, and where it is; `due_at` while it waits."""

    id: UUID
    channel: str
    state: str
    due_at: datetime | None


def steps_of(conn: Any, id: UUID | str) -> Sequence[StepState]:  # noqa: A002 - the name of the column
    """Return the steps that a notification is one of, in the order in which they are due; nothing if it stands alone.

    Raises:
        NotMigrated: the database has no outbox.
    """
    rows = connections.run(conn, STEPS_OF, {"id": str(id)}, allow_autocommit=True)
    return [StepState(UUID(str(row[0])), *row[1:]) for row in rows]
