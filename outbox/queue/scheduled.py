"""scheduled: which schedules there are, and what became of their occurrences. These statements only read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox.queue.definition import read_moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from outbox.steps import Steps

# Moments come as microseconds: an application may have changed how its driver reads a timestamp.
LIST = """
SELECT s.name, s.cron, s.time_zone, s.missed, CAST(date_part('epoch', s.timeout) AS double precision),
       CAST(CAST(extract(epoch FROM s.created_at) * 1000000 AS bigint) AS text),
       CAST(CAST(extract(epoch FROM s.next_at) * 1000000 AS bigint) AS text),
       CAST(CAST(extract(epoch FROM s.retry_at) * 1000000 AS bigint) AS text),
       CAST(CAST(extract(epoch FROM s.paused_at) * 1000000 AS bigint) AS text),
       s.failures, s.problem,
       CAST(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS text)
FROM outbox.schedules s
WHERE CAST(:name AS text) IS NULL OR s.name = CAST(:name AS text)
ORDER BY s.name
"""

CONTENTS = """
SELECT s.query, CAST(array_to_json(s.columns) AS text), CAST(s.defaults AS text), s.search_path
FROM outbox.schedules s
WHERE s.name = CAST(:name AS text)
"""

RUNS = """
SELECT r.schedule, CAST(CAST(extract(epoch FROM r.occurrence) * 1000000 AS bigint) AS text),
       CAST(CAST(extract(epoch FROM r.ran_at) * 1000000 AS bigint) AS text),
       r.seconds, r.enqueued, r.failures, r.ran_by, r.error
FROM outbox.schedules s
CROSS JOIN LATERAL (
    SELECT * FROM outbox.schedule_runs r
    WHERE r.schedule = s.name ORDER BY r.occurrence DESC LIMIT CAST(CAST(:limit AS text) AS bigint)
) r
WHERE CAST(:name AS text) IS NULL OR s.name = CAST(:name AS text)
ORDER BY r.schedule, r.occurrence DESC
"""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands; moments are in UTC."""

    name: str
    cron: str
    time_zone: str
    missed: str
    """skip, once or all: what is done about occurrences that nobody ran in time."""
    timeout: float
    """Seconds."""
    created_at: datetime
    next_at: datetime
    """The occurrence that is run next."""
    retry_at: datetime | None
    """Not before this moment, because it failed."""
    paused_at: datetime | None
    failures: int
    """In a row."""
    problem: str | None
    """Why it failed last; None when it did not."""
    now: datetime
    """The database's clock, when it was asked."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a schedule enqueues, and which fields are the same for each notification."""

    query: str
    columns: Sequence[str]
    defaults: Mapping[str, Any]
    search_path: str


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one occurrence. It has failed, so far, where there is an `error`."""

    schedule: str
    occurrence: datetime
    ran_at: datetime
    seconds: float | None
    enqueued: int | None
    failures: int
    ran_by: str
    error: str | None


def list_schedules(name: str | None = None) -> Steps[list[Schedule]]:
    """Return the schedules, or the one of that name, in the order of their names."""
    rows = yield LIST, {"name": name}
    return [_schedule(*row) for row in rows]


def _schedule(*row: Any) -> Schedule:
    *definition, created_at, next_at, retry_at, paused_at, failures, problem, now = row
    moments = (read_moment(created_at), read_moment(next_at), _may(retry_at), _may(paused_at))
    return Schedule(*(*definition, *moments, failures, problem, read_moment(now)))


def show_contents(name: str) -> Steps[Contents | None]:
    """Return what a schedule enqueues."""
    rows = yield CONTENTS, {"name": name}
    return Contents(rows[0][0], json.loads(rows[0][1]), json.loads(rows[0][2]), rows[0][3]) if rows else None


def list_runs(name: str | None = None, *, limit: int) -> Steps[list[Run]]:
    """Return the last occurrences of each schedule, or of one, the latest first."""
    rows = yield RUNS, {"name": name, "limit": str(limit)}
    return [Run(row[0], read_moment(row[1]), read_moment(row[2]), *row[3:]) for row in rows]


def _may(microseconds: str | None) -> datetime | None:
    return None if microseconds is None else read_moment(microseconds)
