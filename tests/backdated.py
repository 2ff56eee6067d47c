"""Days that are over: their partitions, and notifications that were enqueued on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from tests import endings

if TYPE_CHECKING:
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
        day := (clock_timestamp() AT TIME ZONE 'UTC')::date - {days};
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
     (SELECT date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
             - make_interval(hours => %(days)s * 24 - 12) AS at) AS past
RETURNING id
"""


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
    parameters = {
        "days": days, "count": count, "key": key, "channel": channel, "recipient": recipient, "due_in": due_in
    }  # fmt: skip
    with psycopg.connect(url) as conn:
        if partition:
            conn.execute(PARTITIONS.format(days=int(days)).encode())
        ids = [identity for (identity,) in conn.execute(INSERT, parameters)]
        conn.execute("UPDATE outbox.idempotency_keys SET created_at = outbox.uuid7_time(notification_id)")
    if outcome is not None:
        endings.end(url, outcome, channel=channel)
    return ids


def names(url: str) -> set[str]:
    """The days of which there are partitions, as so many days ago, with their parents: `notifications 40`."""
    with psycopg.connect(url) as conn:
        rows = conn.execute("""
            SELECT parent || ' ' || ((clock_timestamp() AT TIME ZONE 'UTC')::date
                                     - (outbox.uuid7_time(lowest) AT TIME ZONE 'UTC')::date)
            FROM outbox.partitions
            WHERE lowest < outbox.uuid7_floor(now() - interval '1 day') AND attached
        """)
        return {name for (name,) in rows}
