"""letter_groups: open dead letters that failed for the same reason, as one. These statements only read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections
from outbox.queue.letter_selection import EVERY, FINGERPRINT, GROUP_OF, MATCHES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from outbox.connections import Parameters, Row
    from outbox.queue.letter_selection import Selection

_READ = "d.channel, d.provider, d.error_class, d.error_code, d.template, d.reason, d.replays, d.died_at"
# The end of the statements, of what is in `letters`. First by the columns, of which there are few: a fingerprint for
# each letter would take as long again. An example, the newest, is looked up in the index on (channel, died_at).
_IN_GROUPS = f"""
), counted AS (
    SELECT d.channel, d.provider, d.error_class, d.error_code, d.template, d.reason, count(*) AS letters,
           count(*) FILTER (WHERE d.replays > 0) AS again, min(d.died_at) AS first, max(d.died_at) AS last
    FROM letters d
    GROUP BY d.channel, d.provider, d.error_class, d.error_code, d.template, d.reason
)
SELECT g.id, g.fingerprint, g.channel, g.provider, g.error_class, g.error_code, g.template, CAST(g.reasons AS text),
       CAST(g.letters AS bigint), CAST(g.again AS bigint), g.first, g.last,
       date_part('epoch', statement_timestamp() - g.first), date_part('epoch', statement_timestamp() - g.last),
       CAST(e.notification_id AS text), e.error, CAST(g.every AS bigint), CAST(g.total AS bigint)
FROM (
    SELECT {GROUP_OF.format("r.fingerprint")} AS id, r.fingerprint,
           min(r.channel) AS channel, min(r.provider) AS provider, min(r.error_class) AS error_class,
           min(r.error_code) AS error_code, min(r.template) AS template,
           jsonb_object_agg(r.reason, r.letters) AS reasons, sum(r.letters) AS letters, sum(r.again) AS again,
           min(r.first) AS first, max(r.last) AS last, count(*) OVER () AS every, sum(sum(r.letters)) OVER () AS total
    FROM (
        SELECT {FINGERPRINT} AS fingerprint, d.reason, min(d.channel) AS channel, min(d.provider) AS provider,
               min(d.error_class) AS error_class, min(d.error_code) AS error_code, min(d.template) AS template,
               sum(d.letters) AS letters, sum(d.again) AS again, min(d.first) AS first, max(d.last) AS last
        FROM counted d
        GROUP BY 1, d.reason
    ) r
    GROUP BY r.fingerprint
    ORDER BY sum(r.letters) DESC, max(r.last) DESC, r.fingerprint COLLATE "C"
    LIMIT CAST(CAST(:limit AS text) AS bigint)
) g
LEFT JOIN LATERAL (
    SELECT d.notification_id, d.error FROM outbox.dead_letters d
    WHERE d.channel = g.channel AND d.died_at = g.last AND d.resolution IS NULL AND {FINGERPRINT} = g.fingerprint
    LIMIT 1
) e ON true
ORDER BY g.letters DESC, g.last DESC, g.fingerprint COLLATE "C"
"""  # noqa: S608 - of constants, as those below

GROUPS = f"""
WITH letters AS NOT MATERIALIZED (
    SELECT {_READ} FROM outbox.dead_letters d WHERE d.resolution IS NULL AND {MATCHES}
{_IN_GROUPS}
"""  # noqa: S608

NEWEST = f"""
WITH letters AS NOT MATERIALIZED (
    SELECT l.*
    FROM unnest(CAST(:channels AS text[])) AS asked (channel)
    CROSS JOIN LATERAL (
        SELECT {_READ} FROM outbox.dead_letters d
        WHERE d.channel = asked.channel AND d.resolution IS NULL
        ORDER BY d.died_at DESC
        LIMIT CAST(CAST(:newest AS text) AS bigint)
    ) l
{_IN_GROUPS}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Group:
    """Open dead letters with one fingerprint; `id` is the beginning of its digest, and stays the same."""

    id: str
    fingerprint: str
    channel: str
    provider: str | None
    error_class: str | None
    error_code: str | None
    template: str | None
    reasons: Mapping[str, int]
    """How many of them were given up for which reason."""
    count: int
    replayed: int
    """How many of them were replayed before, and died again."""
    first_died_at: datetime
    last_died_at: datetime
    first_seconds_ago: float
    last_seconds_ago: float
    example: str | None
    """The id of the newest of them, and what its provider said."""
    error: str | None


@dataclass(frozen=True, slots=True)
class Groups:
    """The largest groups first; `count` is how many there are without the limit, `letters` what all of them hold."""

    groups: Sequence[Group]
    count: int
    letters: int


def groups(conn: Any, selection: Selection = EVERY, *, limit: int | None = None) -> Groups:
    """Return the groups of the open dead letters that match.

    It reads each of these once: about a second for a million.

    Raises:
        NotMigrated: the database has no outbox.
    """
    parameters: Parameters = {**selection.parameters(), "limit": None if limit is None else str(limit)}
    return _groups(connections.run(conn, GROUPS, parameters, allow_autocommit=True))


def groups_of_newest(conn: Any, channels: Sequence[str], *, newest: int = 1_000, limit: int = 1) -> Groups:
    """Return the groups of the newest so many open dead letters of each channel: quick, however many there are.

    Raises:
        NotMigrated: the database has no outbox.
    """
    parameters: Parameters = {"channels": list(channels), "newest": str(newest), "limit": str(limit)}
    return _groups(connections.run(conn, NEWEST, parameters, allow_autocommit=True))


def _groups(rows: Sequence[Row]) -> Groups:
    found = [Group(*(*row[:7], json.loads(row[7]), *row[8:16])) for row in rows]
    return Groups(found, *(rows[0][16:18] if rows else (0, 0)))
