"""Days that are over: their partitions, and notifications that were enqueued on them.

So many days ago is always counted from the day on which a test first asks, for midnight may pass while it runs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg

from tests import endings
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from outbox.outcomes import Outcome

PARTITIONS = """
DO $$
DECLARE
    day    date;
    parent text;
    part   text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['notifications', 'attempts'] LOOP
        day := '{day}';
        part := parent || to_char(day, '_YYYYMMDD');
        CONTINUE WHEN to_regclass('outbox.' || part) IS NOT NULL;
        EXECUTE format('CREATE TABLE outbox.%I (LIKE outbox.%I INCLUDING ALL)', part, parent);
        EXECUTE format('ALTER TABLE outbox.%I ATTACH PARTITION outbox.%I FOR VALUES FROM (%L) TO (%L)', parent, part,
                       outbox.uuid7_floor(day::timestamp AT TIME ZONE 'UTC'),
                       outbox.uuid7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
    END LOOP;
END
$$
"""

INSERT = """
INSERT INTO outbox.notifications (id, created_at, run_at, channel, recipient, payload, idempotency_key)
SELECT overlay(gen_random_uuid()::text PLACING left(outbox.uuid7_floor(past.at)::text, 14) || '7' FROM 1)::uuid,
       past.at, past.at + %(due_in)s::interval, %(channel)s, coalesce(%(recipient)s, 'user' || n || '@example.org'),
       '{"subject": "Hello", "text": "Hi"}', %(key)s || ':' || n
FROM generate_series(1, %(count)s) AS n,
     (SELECT (%(day)s::date + time '12:00') AT TIME ZONE 'UTC' AS at) AS past
RETURNING id
"""

_first_asked: dict[int, date] = {}


def today(url: str) -> date:
    """The day (UTC) on which this was first asked of this very database, as its clock said then."""
    sql = "SELECT oid, (clock_timestamp() AT TIME ZONE 'UTC')::date FROM pg_database WHERE datname = current_database()"
    ((database, day),) = rows(url, sql)
    return _first_asked.setdefault(database, day)


def wait_out_the_last_seconds_of_the_day(url: str) -> None:
    """Wait for the next day if this one is nearly over, where what is tested is true for no longer than the day."""
    is_time = "SELECT 1 WHERE (clock_timestamp() AT TIME ZONE 'UTC')::time < '23:59:50'"
    wait_until(lambda: rows(url, is_time), timeout=20)


def put_days_ago(
    url: str,
    days: int,
    count: int = 1,
    outcome: Outcome | None = None,
    *,
    key: str | None = None,
    channel: str = "email",
    recipient: str | None = None,
    due_in: str = "0",
    partition: bool = True,
) -> list[UUID]:
    """Enqueue so many at noon (UTC) so many days ago, into a partition of that day unless told not to.

    What is due ends as `outcome`, if one is given. `due_in` is how long after their enqueue they are due.
    """
    day = today(url) - timedelta(days=days)
    parameters = {
        "day": day, "count": count, "key": key, "channel": channel, "recipient": recipient, "due_in": due_in
    }  # fmt: skip
    with psycopg.connect(url) as conn:
        if partition:
            conn.execute(PARTITIONS.format(day=day).encode())
        ids = [identity for (identity,) in conn.execute(INSERT, parameters)]
        conn.execute("UPDATE outbox.idempotency_keys SET created_at = outbox.uuid7_time(notification_id)")
    if outcome is not None:
        endings.end(url, outcome, channel=channel)
    return ids


def names(url: str) -> set[str]:
    """The days before yesterday of which there are partitions, with their parents: `notifications 40` (days ago)."""
    query = """
        SELECT parent || ' ' || %s - past.day
        FROM outbox.partitions, CAST(outbox.uuid7_time(lowest) AT TIME ZONE 'UTC' AS date) AS past (day)
        WHERE past.day < %s - 1 AND attached
    """
    return {name for (name,) in rows(url, query, today(url), today(url))}
