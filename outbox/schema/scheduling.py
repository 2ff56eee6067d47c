"""The tables of what is enqueued again and again."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, JSONB

from outbox.schema.columns import EMPTY, MOMENT, NOW, key, may, metadata, need

schedules = Table(
    "schedules",
    metadata,
    need("created_at", MOMENT, "When it was added", server_default=NOW),
    need("next_at", MOMENT, "The occurrence that is run next"),
    may("retry_at", MOMENT, "Not before this moment, because it failed"),
    may("paused_at", MOMENT, "Since when it is paused; empty when it is not"),
    need(
        "timeout",
        INTERVAL,
        "A run that takes longer is undone, and has failed",
        server_default=text("'00:01:00'::interval"),
    ),
    need("failures", BigInteger, "How often in a row it has failed", server_default=text("0")),
    key("name", Text, "Its name"),
    need("cron", Text, "When: minute, hour, day of month, month, day of week, as cron has them"),
    need(
        "time_zone",
        Text,
        "By whose clocks; also the time zone that the query runs in",
        server_default=text("'UTC'::text"),
    ),
    need(
        "missed",
        Text,
        "Of occurrences that were missed: skip runs none, once the latest, all each of them",
        server_default=text("'once'::text"),
    ),
    need("query", Text, "A SELECT; each row it returns is a notification"),
    need("columns", ARRAY(Text), "The columns that it returns, which are fields of a notification"),
    need("defaults", JSONB, "Fields that it does not return, the same for each notification", server_default=EMPTY),
    need(
        "search_path",
        Text,
        "Where the query finds its tables: the search path of whoever added it",
        server_default=text("''::text"),
    ),
    may("problem", Text, "Why it failed last; empty when it did not"),
    comment="What is enqueued again and again: a query, and when it comes due",
)

schedule_runs = Table(
    "schedule_runs",
    metadata,
    key("occurrence", MOMENT, "When it was due; when it was asked for, if somebody ran it by hand"),
    need("ran_at", MOMENT, "When it was done, or failed last", server_default=NOW),
    may("seconds", Double, "How long it took; empty while it has failed"),
    may("enqueued", BigInteger, "How many notifications it enqueued; empty while it has failed"),
    need("failures", BigInteger, "How often it failed before", server_default=text("0")),
    key("schedule", Text, "The schedule"),
    need("ran_by", Text, "The worker's process, as host:pid; of a run by hand, the role"),
    may("error", Text, "Why it failed last; empty when it is done"),
    ForeignKeyConstraint(
        ["schedule"], ["outbox.schedules.name"], name="schedule_runs_schedule_fkey", ondelete="CASCADE"
    ),
    comment="What became of each occurrence: the unique constraint that makes it run once",
)
