"""partitions: whether the days ahead have theirs, and what lies in the DEFAULT partitions instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, failure, ok, warning
from outbox.doctor.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_MISSING = """
SELECT parent.name, CAST(min(ahead.day) AS text) AS first, count(*) AS days,
       CAST(min(ahead.day) AS date) - CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) AS away
FROM (VALUES ('notifications'), ('attempts')) AS parent (name)
CROSS JOIN LATERAL (
    SELECT CAST(CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) + n AS date) AS day FROM generate_series(0, 13) AS n
) ahead
WHERE NOT EXISTS (
    SELECT FROM outbox.partitions p
    WHERE p.parent = parent.name AND p.attached
      AND p.lowest <= outbox.uuid7_floor(ahead.day::timestamp AT TIME ZONE 'UTC')
      AND p.beyond > outbox.uuid7_floor(ahead.day::timestamp AT TIME ZONE 'UTC')
)
GROUP BY parent.name ORDER BY parent.name
"""
_SOON = 2  # days


def look_at_partitions(patient: Patient) -> Iterator[Finding]:
    """Look whether the next 14 days have their partitions."""
    for missing in patient.ask(_MISSING):
        problem = (
            f"{missing.name} has no partition for {missing.days} of the next 14 days, from {missing.first} on: "
            "those rows go to the DEFAULT partition"
        )
        yield either(missing.away < _SOON, problem, "outbox migrate", table=missing.name, first=missing.first)


# Counted up to a point: there may be millions.
_STRAYS = """
SELECT 'notifications' AS name,
       (SELECT count(*) FROM (SELECT FROM outbox.notifications_default LIMIT %(most)s) few) AS rows
UNION ALL
SELECT 'attempts', (SELECT count(*) FROM (SELECT FROM outbox.attempts_default LIMIT %(most)s) few)
"""
_MOST = 10_000


def look_at_defaults(patient: Patient) -> Iterator[Finding]:
    """Look for rows whose day had no partition when they came."""
    for strays in patient.ask(_STRAYS, most=_MOST):
        if strays.rows:
            number = f"{_MOST:,} rows or more" if strays.rows == _MOST else counted(strays.rows, "row")
            days = patient.config.retention.days
            problem = (
                f"{number} in the DEFAULT partition of {strays.name}: they are served, but not dropped by the day; "
                f"retention deletes them one by one when they are {days} days old"
            )
            yield warning(problem, "outbox migrate && outbox retention", table=strays.name, rows=strays.rows)


_DETACHED = "SELECT p.name, p.bytes FROM outbox.partitions p WHERE NOT p.attached ORDER BY p.name"
# Not by retention, which says so in a comment: by somebody, or by a restore that was cut short.
_BY_HAND = r"""
SELECT c.relname AS name, split_part(c.relname, '_', 1) AS parent,
       CAST(outbox.uuid7_floor(day.begins AT TIME ZONE 'UTC') AS text) AS lowest,
       CAST(outbox.uuid7_floor((day.begins + interval '1 day') AT TIME ZONE 'UTC') AS text) AS beyond
FROM pg_class c
CROSS JOIN LATERAL (SELECT CAST(to_date(split_part(c.relname, '_', 2), 'YYYYMMDD') AS timestamp) AS begins) day
WHERE c.relnamespace = CAST('outbox' AS regnamespace) AND c.relkind = 'r' AND NOT c.relispartition
  AND c.relname ~ '^(notifications|attempts)_[0-9]{8}$'
  AND NOT EXISTS (SELECT FROM outbox.partitions p WHERE p.name = c.relname)
ORDER BY c.relname
"""
_NAMED = 4


def look_at_detached(patient: Patient) -> Iterator[Finding]:
    """Look for partitions that were detached, and not dropped."""
    for lost in patient.ask(_BY_HAND):
        problem = f"{lost.name} is no partition of {lost.parent} any more: what lies in it is not found"
        remedy = (
            f"ALTER TABLE outbox.{lost.parent} ATTACH PARTITION outbox.{lost.name} "
            f"FOR VALUES FROM ('{lost.lowest}') TO ('{lost.beyond}')"
        )
        yield failure(problem, remedy, partition=lost.name)
    detached = patient.ask(_DETACHED)
    if detached:
        names = [partition.name for partition in detached]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        problem = f"detached by retention, and not dropped: {', '.join(names[:_NAMED])}{more}"
        size = sum(partition.bytes for partition in detached)
        yield warning(problem, "outbox retention", partitions=names, bytes=size)


_EXPIRED = """
SELECT p.name, p.bytes,
       EXISTS (SELECT FROM outbox.queue q WHERE q.id >= p.lowest AND q.id < p.beyond) AS held,
       CAST(date_part('day', clock_timestamp() - outbox.uuid7_time(p.beyond)) AS bigint) AS old
FROM outbox.partitions p
WHERE p.attached
  AND p.beyond <= outbox.uuid7_floor(clock_timestamp() - make_interval(days => %(days)s + 1))
ORDER BY p.beyond, p.name
"""
_LONG_OVERDUE = 7  # days


def look_at_retention(patient: Patient) -> Iterator[Finding]:
    """Look for partitions that are older than the configuration says, by more than a day."""
    days = patient.config.retention.days
    expired = patient.ask(_EXPIRED, days=days)
    going = [partition for partition in expired if not partition.held]
    held = [partition for partition in expired if partition.held]
    if going:
        oldest = going[0].old
        problem = (
            f"{counted(len(going), 'partition')} older than the {days} days of retention.days, the oldest {oldest} days"
        )
        bad = oldest > days + _LONG_OVERDUE
        yield either(bad, problem, "outbox retention", partitions=len(going), oldest_days=oldest)
    if held:
        problem = f"{held[0].name} is past its time, and stays: something in the queue is {held[0].old} days old"
        yield warning(problem, "outbox doctor --only overdue", partition=held[0].name)
    if not expired:
        yield ok(f"nothing is older than the {days} days of retention.days", days=days)


_KEYS = """
SELECT greatest(c.reltuples, 0) AS rows, greatest(c.relpages, 1) AS pages
FROM pg_class c WHERE c.oid = CAST('outbox.idempotency_keys' AS regclass)
"""
# A small table is read whole, of a large one no more pages than that.
_EXPIRED_KEYS = """
SELECT count(*) AS looked_at,
       count(*) FILTER (WHERE k.created_at < clock_timestamp() - make_interval(days => %(days)s)) AS expired
FROM outbox.idempotency_keys k TABLESAMPLE SYSTEM (%(percent)s)
"""
_PAGES = 2_000
_SLACK = 2  # days, for what is at work
_FEW, _TOO_MANY = 0.05, 0.5


def look_at_keys(patient: Patient) -> Iterator[Finding]:
    """Look at a sample of the idempotency keys for those past their time."""
    table = patient.ask_one(_KEYS)
    percent = min(100.0, 100.0 * _PAGES / table.pages)
    days = patient.config.retention.key_days
    found = patient.ask_one(_EXPIRED_KEYS, days=days + _SLACK, percent=percent)
    share = found.expired / found.looked_at if found.looked_at else 0.0
    if share > _FEW:
        problem = f"{share:.0%} of the idempotency keys are older than {days} days, and still there"
        yield either(share > _TOO_MANY, problem, "outbox retention", share=round(share, 3))


CHECKS = (
    Check(
        "partitions",
        "days ahead without a partition",
        "rows go to the DEFAULT partitions, and are not dropped by the day",
        "`outbox migrate`; a worker makes them too",
        "the next 14 days have their partitions",
        look_at_partitions,
    ),
    Check(
        "default-partitions",
        "rows in the DEFAULT partitions",
        "they are deleted one by one, and their day gets no partition",
        "`outbox migrate && outbox retention`, once in a fortnight, or a worker that runs",
        "the DEFAULT partitions are empty",
        look_at_defaults,
    ),
    Check(
        "detached-partitions",
        "partitions that were detached, and not dropped or attached again",
        "space that nobody gets back; a day that nobody finds",
        "`outbox retention`; `ALTER TABLE … ATTACH PARTITION …`",
        "no detached partition is left",
        look_at_detached,
    ),
    Check(
        "retention",
        "partitions older than `retention.days`",
        "the disk fills, and people's data is kept for longer than was promised",
        "`outbox retention`",
        "nothing is older than it may be",
        look_at_retention,
    ),
    Check(
        "idempotency-keys",
        "idempotency keys past their time, in a sample",
        "a table that grows for ever, and an index that no longer fits into memory",
        "`outbox retention`",
        "the idempotency keys are young enough",
        look_at_keys,
    ),
)
