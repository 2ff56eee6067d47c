"""escalations: a worker says which ones its configuration has, for applications that know no configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import AsyncConnection, Connection

# The rows are those that `topics` declares before. In order, as it locks them: workers start at the same time.
DECLARE = """
WITH said AS MATERIALIZED (
    SELECT t.name, s.value
    FROM outbox.topics t
    JOIN jsonb_each(%(escalations)s::jsonb) AS s (name, value) ON s.name = t.name
    ORDER BY t.name
    FOR UPDATE OF t
)
UPDATE outbox.topics t
SET escalation = nullif(ARRAY(SELECT w.word FROM jsonb_array_elements_text(said.value) AS w (word)), '{}')
FROM said
WHERE t.name = said.name
"""


async def declare_escalations(conn: AsyncConnection[Any], escalations: Mapping[str, Sequence[str]]) -> None:
    """Say of each topic which steps it has; none is that it has none."""
    if escalations:
        await conn.execute(DECLARE, _said(escalations))


def declare_escalations_now(conn: Connection[Any], escalations: Mapping[str, Sequence[str]]) -> None:
    """Do as `declare_escalations` does, on a synchronous connection and in its transaction."""
    if escalations:
        conn.execute(DECLARE, _said(escalations))


def _said(escalations: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {"escalations": json.dumps({name: list(of) for name, of in escalations.items()})}
