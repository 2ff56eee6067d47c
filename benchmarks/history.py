"""Millions of rows of days that are over, as they would have come, on a server that is there for them alone."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from outbox.devdb import LocalPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "4GB"}

_PARTITIONS = """
DO $$
DECLARE
    day    date;
    parent text;
    part   text;
BEGIN
    FOR day IN SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date - n FROM generate_series(1, {days}) AS n LOOP
        FOREACH parent IN ARRAY ARRAY['notifications', 'attempts'] LOOP
            part := parent || to_char(day, '_YYYYMMDD');
            EXECUTE format('CREATE TABLE outbox.%I (LIKE outbox.%I INCLUDING ALL)', part, parent);
            EXECUTE format('ALTER TABLE outbox.%I ATTACH PARTITION outbox.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, part, outbox.uuid7_floor(day::timestamp AT TIME ZONE 'UTC'),
                           outbox.uuid7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
        END LOOP;
    END LOOP;
END
$$
"""

# In the order of their ids, as they would have come; each delivered, each with a key, 10 to a person.
_ROWS = (
    """
    INSERT INTO outbox.notifications (id, created_at, run_at, channel, recipient, template, payload, idempotency_key)
    SELECT overlay(gen_random_uuid()::text PLACING left(outbox.uuid7_floor(past.at)::text, 14) || '7' FROM 1)::uuid,
           past.at, past.at, 'email', 'user' || n % ({rows} / 10) || '@example.org', 'welcome',
           jsonb_build_object('name', 'Ada', 'text', repeat('x', 250)), 'welcome:' || n
    FROM generate_series(1, {rows}) AS n
    CROSS JOIN LATERAL (
        SELECT date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
               - interval '{days} days' + n * (interval '{days} days' / ({rows} + 1)) AS at
    ) AS past
    """,
    """
    INSERT INTO outbox.attempts
        (notification_id, claim, attempt, outcome, provider, provider_message_id, started_at, finished_at)
    SELECT id, 1, 1, 'sent', 'smtp', '250 ok ' || id, created_at, created_at FROM outbox.notifications
    """,
    """
    INSERT INTO outbox.idempotency_keys (notification_id, created_at, channel, key, digest)
    SELECT id, created_at, channel, idempotency_key, substr(sha256(uuid_send(id)), 1, 16) FROM outbox.notifications
    """,
)


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """Yield the URL of an empty database, on a cluster of its own or on that server; it is dropped at the end."""
    if url is None:
        with LocalPostgres(settings=_SETTINGS) as own:
            yield own.url
        return
    name = f"outbox_history_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield make_conninfo(url, dbname=name)
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def load(url: str, rows: int, days: int) -> None:
    """Fill the tables with so many delivered notifications on so many days before today."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_PARTITIONS.format(days=days).encode())
        conn.execute("SET session_replication_role = replica")  # history: nothing is to be queued
        conn.execute("SET synchronous_commit = off")
        for statement in _ROWS:
            conn.execute(statement.format(rows=rows, days=days).encode())
        for table in ("notifications", "attempts", "idempotency_keys"):
            conn.execute(f"VACUUM ANALYZE outbox.{table}".encode())
        conn.execute("CHECKPOINT")
