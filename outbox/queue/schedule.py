"""schedule: add what is to be enqueued again and again, once its query was looked at by the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from outbox.errors import InvalidSchedule
from outbox.queue.declared import check_topic
from outbox.queue.definition import read_moment
from outbox.queue.query import Finding, refuse_query

if TYPE_CHECKING:
    from outbox.queue.definition import Definition
    from outbox.steps import Steps

CHECK = """
SELECT CAST(array_to_json(c.columns) AS text), c.search_path, c.problem, c.code,
       CAST(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS text)
FROM outbox.check_schedule(CAST(:query AS text), CAST(CAST(:defaults AS text) AS jsonb), CAST(:time_zone AS text),
                           CAST(current_schemas(false) AS text[])) c
"""

# Whoever replaces a schedule, at each deployment say, and leaves it when it was, moves no occurrence.
ADD = """
INSERT INTO outbox.schedules AS s
    (name, cron, time_zone, query, columns, defaults, search_path, missed, timeout, next_at)
VALUES (CAST(:name AS text), CAST(:cron AS text), CAST(:time_zone AS text), CAST(:query AS text),
        CAST(:columns AS text[]), CAST(CAST(:defaults AS text) AS jsonb), CAST(:search_path AS text),
        CAST(:missed AS text), CAST(CAST(:timeout AS text) AS interval), CAST(CAST(:next_at AS text) AS timestamptz))
ON CONFLICT (name) DO UPDATE
SET cron = EXCLUDED.cron, time_zone = EXCLUDED.time_zone, query = EXCLUDED.query, columns = EXCLUDED.columns,
    defaults = EXCLUDED.defaults, search_path = EXCLUDED.search_path, missed = EXCLUDED.missed,
    timeout = EXCLUDED.timeout, retry_at = NULL, failures = 0, problem = NULL,
    next_at = CASE WHEN (s.cron, s.time_zone) = (EXCLUDED.cron, EXCLUDED.time_zone) THEN s.next_at
                   ELSE EXCLUDED.next_at END
WHERE CAST(CAST(:replace AS text) AS boolean)
RETURNING s.name
"""


def schedule(definition: Definition, *, replace: bool) -> Steps[None]:
    """Add a schedule, whose first occurrence is the next one by the database's clock; or put it in another's place.

    Raises:
        InvalidSchedule: the query will not do, or there is one of that name and it is not to be replaced.
    """
    written = {"query": definition.query, "defaults": definition.defaults, "time_zone": definition.time_zone}
    ((columns, search_path, problem, code, now),) = yield CHECK, written
    found = None if columns is None else json.loads(columns)
    finding = Finding(found, problem, code)
    refuse_query(definition.query, finding, json.loads(definition.defaults), InvalidSchedule)
    yield from check_topic(json.loads(definition.defaults), found or (), InvalidSchedule)
    next_at = definition.occurrences.first_after(read_moment(now))
    added = yield (
        ADD,
        written
        | {
            "name": definition.name,
            "cron": definition.cron,
            "columns": found,
            "search_path": search_path,
            "missed": definition.missed,
            "timeout": f"{definition.timeout:.3f} seconds",
            "next_at": next_at.isoformat(),
            "replace": str(replace).lower(),
        },
    )
    if not added:
        raise InvalidSchedule("name", f"there is a schedule {definition.name!r} already: remove it, or replace it")
