"""vacuum: whether the small hot tables are kept small, and the planner knows what they are like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, ok, warning
from outbox.doctor.words import age

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_TABLES = """
SELECT CAST(s.relid AS regclass)::text AS name, s.n_live_tup AS live, s.n_dead_tup AS dead,
       s.n_mod_since_analyze AS changed,
       coalesce(s.last_analyze, s.last_autoanalyze) IS NULL AS never_analyzed,
       date_part('epoch', clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum)) AS since,
       pg_relation_size(s.relid) AS bytes, pg_indexes_size(s.relid) AS index_bytes
FROM pg_stat_user_tables s
WHERE s.relid = ANY (CAST(%(names)s AS regclass[]))
"""
HOT = ("outbox.queue", "outbox.workers", "outbox.limits", "outbox.throttles", "outbox.chores", "outbox.digests")

_WORKERS = """
SELECT count(*) FILTER (WHERE a.backend_type = 'autovacuum worker') AS busy,
       CAST(current_setting('autovacuum_max_workers') AS bigint) AS most
FROM pg_stat_activity a
"""
_MANY_DEAD = 20_000  # a claim walks over each of them that its index range holds
_HOW_MANY_TIMES = 2  # as many dead as live ones
_LATE = 300.0


def look_at_dead_rows(patient: Patient) -> Iterator[Finding]:
    """Look for a table with many dead rows, which autovacuum has not been at lately."""
    for table in patient.ask(_TABLES, names=list(HOT)):
        late = table.since is None or table.since > _LATE
        if table.dead > max(_MANY_DEAD, _HOW_MANY_TIMES * table.live) and late:
            when = "has never been vacuumed" if table.since is None else f"was vacuumed {age(table.since)} ago"
            problem = f"{table.name} has {table.dead:,} dead rows to {table.live:,} live ones, and {when}"
            details = {"table": table.name, "dead": table.dead, "live": table.live}
            yield warning(problem, f"VACUUM (ANALYZE) {table.name}", **details)
    workers = patient.ask_one(_WORKERS)
    if workers.busy >= workers.most:
        problem = f"all {workers.most} autovacuum workers are busy: what is hot may have to wait for what is large"
        remedy = f"ALTER SYSTEM SET autovacuum_max_workers = {2 * workers.most}"
        yield warning(problem, remedy, busy=workers.busy)


_SMALL = 64 * 1024 * 1024
_ROW, _ENTRY = 400, 300  # bytes a row takes with its room for changes, and its entries in all indexes; generously
_BLOATED, _VERY_BLOATED = 4, 20


def look_at_bloat(patient: Patient) -> Iterator[Finding]:
    """Compare the size of each table, and of its indexes, with what its rows need."""
    for table in patient.ask(_TABLES, names=list(HOT)):
        for what, size, needed, remedy in (
            (table.name, table.bytes, table.live * _ROW, f"VACUUM (FULL, ANALYZE) {table.name}"),
            (
                f"the indexes of {table.name}",
                table.index_bytes,
                table.live * _ENTRY,
                f"REINDEX TABLE CONCURRENTLY {table.name}",
            ),
        ):
            enough = max(needed, _SMALL)
            if size > enough * _BLOATED:
                mib = size // 1024 // 1024
                problem = f"{what}: {mib:,} MiB for {table.live:,} rows"
                details = {"table": table.name, "bytes": size, "rows": table.live}
                yield either(size > enough * _VERY_BLOATED, problem, remedy, **details)


_BIG = """
SELECT CAST(s.relid AS regclass)::text AS name, s.n_live_tup AS live
FROM pg_stat_user_tables s
WHERE s.schemaname = 'outbox' AND s.n_live_tup > %(few)s AND coalesce(s.last_analyze, s.last_autoanalyze) IS NULL
  AND s.n_mod_since_analyze > %(few)s
ORDER BY s.n_live_tup DESC LIMIT 5
"""
_FEW = 10_000


def look_at_statistics(patient: Patient) -> Iterator[Finding]:
    """Look for a table that has grown large, and was never analyzed."""
    unknown_to_the_planner = patient.ask(_BIG, few=_FEW)
    for table in unknown_to_the_planner:
        problem = f"{table.name} has about {table.live:,} rows, and was never analyzed: plans are guesses"
        yield warning(problem, f"ANALYZE {table.name}", table=table.name, rows=table.live)
    if not unknown_to_the_planner:
        yield ok("the planner knows every large table")


CHECKS = (
    Check(
        "dead-rows",
        "many dead rows in a hot table, and no vacuum; autovacuum workers all busy",
        "each claim walks over them, and takes a hundred times as long",
        "`VACUUM (ANALYZE) outbox.queue`; if they stay, something [pins the horizon](#open-transactions)",
        "the hot tables are vacuumed",
        look_at_dead_rows,
    ),
    Check(
        "bloat",
        "a hot table, or its indexes, much larger than its rows need",
        "claims and vacuums read pages that hold nothing",
        "`REINDEX TABLE CONCURRENTLY outbox.queue`; `VACUUM (FULL) outbox.queue`, which holds up everybody for as "
        "long as it takes to copy the rows",
        "the hot tables are as large as their rows need",
        look_at_bloat,
    ),
    Check(
        "statistics",
        "a large table that was never analyzed",
        "plans that read whole tables",
        "`ANALYZE`",
        "the planner knows every large table",
        look_at_statistics,
    ),
)
