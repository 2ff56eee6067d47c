"""deaths: how many dead letters are open, and how fast they come. This statement only reads.

It may be asked every second: whatever is beyond a number that nobody will read by hand is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from outbox import connections
from outbox.queue.leaps import WITH_OPEN_LETTERS

MOST = 10_000
"""Of each channel, no more are counted."""
NEWEST = 500
"""Of so many, the newest, it is worth while to ask every second what they died of."""

# The channels are found by leaps along the index of those that are open, by channel and time; its front is counted.
DEATHS = f"""
WITH RECURSIVE {WITH_OPEN_LETTERS}
SELECT c.channel, count(*), count(*) FILTER (WHERE n.died_at > statement_timestamp() - interval '5 minutes'),
       count(*) FILTER (WHERE n.died_at > statement_timestamp() - interval '1 hour'),
       date_part('epoch', statement_timestamp() - max(n.died_at))
FROM channels c
CROSS JOIN LATERAL (
    SELECT d.died_at FROM outbox.dead_letters d
    WHERE d.resolution IS NULL AND d.channel = c.channel
    ORDER BY d.died_at DESC
    LIMIT CAST(CAST(:most AS text) AS bigint)
) n
WHERE c.channel IS NOT NULL
GROUP BY c.channel
ORDER BY c.channel
"""  # noqa: S608 - of constants


@dataclass(frozen=True, slots=True)
class Deaths:
    """The open dead letters of one channel."""

    channel: str
    open: int
    """`MOST` stands for that many or more, here and below."""
    lately: int
    """Of the last five minutes."""
    hour: int
    last: float
    """Seconds since the newest."""


def deaths(conn: Any) -> list[Deaths]:
    """Return the counts of each channel that has open dead letters.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return [Deaths(*row) for row in connections.run(conn, DEATHS, {"most": str(MOST)}, allow_autocommit=True)]
