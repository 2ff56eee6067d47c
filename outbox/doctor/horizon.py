"""horizon: who keeps PostgreSQL from removing what was settled: sessions, prepared transactions, slots, standbys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, unknown
from outbox.doctor.words import age, literal
from outbox.errors import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_LONG, _VERY_LONG = 30.0, 600.0  # seconds
_MANY = 1_000_000  # transactions

# Of this database: a snapshot of another one holds up nothing here. A vacuum is no holder, and neither are we,
# nor is a session that is idle: while it is handed what it listens for, it says to be in a transaction as old as its
# last statement.
_SESSIONS = """
SELECT a.pid, coalesce(a.usename, '') AS role, coalesce(a.application_name, '') AS application,
       coalesce(host(a.client_addr), 'a socket') AS address, coalesce(a.state, '') AS state,
       date_part('epoch', clock_timestamp() - a.xact_start) AS seconds, coalesce(a.query, '') AS query
FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
  AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL) AND a.state IS DISTINCT FROM 'idle'
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(long)s)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
ORDER BY a.xact_start LIMIT 5
"""
_BLIND = """
SELECT count(*) AS hidden FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.query = '<insufficient privilege>'
"""


def look_at_sessions(patient: Patient) -> Iterator[Finding]:
    """Name the sessions whose transaction has been open for long."""
    for held in patient.ask(_SESSIONS, long=_LONG):
        role, application = clean(held.role, 64), clean(held.application, 64)
        who = f"pid {held.pid} ({role}{f', {application}' if application else ''}, from {held.address})"
        problem = f"{who} has kept a transaction open for {age(held.seconds)}, {held.state}"
        details = {"pid": held.pid, "role": role, "application": application, "state": held.state}
        yield either(
            held.seconds > _VERY_LONG,
            problem,
            f"SELECT pg_terminate_backend({held.pid})",
            aside=without_values(held.query),
            **details,
            seconds=round(held.seconds),
        )
    if patient.ask_one(_BLIND).hidden:
        problem = f"{patient.role} does not see the sessions of others"
        yield unknown(problem, f'GRANT pg_read_all_stats TO "{patient.role}"')


# What a statement may hold of a person: texts (in those that begin with an E, a backslash quotes), numbers, and
# comments, where people put anything. A quoted name is matched to be kept: there may be a quote in it. What was cut off
# in the middle ends with the statement.
_VALUES = re.compile(
    r"""
    (?P<name> "(?:[^"]|"")*(?:"|$) )
    | --[^\n]*
    | /\*(?:(?!/\*).)*?\*/ | /\*.*                    # one within another hides all that follows
    | (?<!\w)[eE]'(?:[^'\\]|''|\\.)*(?:'|\\?$)
    | '(?:[^']|'')*(?:'|$)
    | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|$)
    | (?<![\w$])\d[\w.]*
    """,
    re.DOTALL | re.VERBOSE,
)
_SHOWN = 120


def without_values(query: str) -> str:
    """Return the first words of a statement with every value in it left out: those may be of a person."""
    return clean(_VALUES.sub(lambda found: found["name"] or "?", query), _SHOWN)


_PREPARED = """
SELECT p.gid, p.owner, date_part('epoch', clock_timestamp() - p.prepared) AS seconds
FROM pg_prepared_xacts p
WHERE p.database = current_database() AND p.prepared < clock_timestamp() - make_interval(secs => %(long)s)
ORDER BY p.prepared LIMIT 5
"""


def look_at_prepared(patient: Patient) -> Iterator[Finding]:
    """Name the prepared transactions that nobody has ended."""
    for held in patient.ask(_PREPARED, long=_LONG):
        problem = f"the prepared transaction {clean(held.gid, 64)!r} of {held.owner} is {age(held.seconds)} old"
        remedy = f"ROLLBACK PREPARED {literal(held.gid)}"
        yield either(held.seconds > _VERY_LONG, problem, remedy, gid=held.gid, seconds=round(held.seconds))


_SLOTS = """
SELECT s.slot_name AS name, s.slot_type AS kind, s.active, s.wal_status,
       age(s.xmin) AS rows_of, age(s.catalog_xmin) AS catalog_of,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) END AS behind
FROM pg_replication_slots s WHERE NOT s.temporary
ORDER BY s.slot_name
"""
_GIB = 1024**3
_MUCH_WAL, _TOO_MUCH_WAL = 1, 20  # GiB


def look_at_slots(patient: Patient) -> Iterator[Finding]:
    """Name the slots that keep old rows or old WAL, for somebody who does not come."""
    for slot in patient.ask(_SLOTS):
        transactions = max(slot.rows_of or 0, slot.catalog_of or 0)
        pins = slot.rows_of is not None or slot.catalog_of is not None
        behind = float(slot.behind or 0) / _GIB
        if not ((pins and (not slot.active or transactions > _MANY)) or behind > _MUCH_WAL):
            continue
        state = "in use" if slot.active else "used by nobody"
        keeps = [
            *(["old rows"] if slot.rows_of is not None else ["old rows of the catalog"] if pins else []),
            *([f"{behind:.1f} GiB of WAL"] if behind > _MUCH_WAL else []),
        ]
        problem = f"the {slot.kind} replication slot {slot.name}, {state}, keeps {' and '.join(keeps)}"
        remedy = f"SELECT pg_drop_replication_slot({literal(slot.name)})"
        if slot.active:
            remedy = "SELECT * FROM pg_stat_replication"
        bad = transactions > _MANY or behind > _TOO_MUCH_WAL
        yield either(bad, problem, remedy, slot=slot.name, active=slot.active, transactions=transactions)


_STANDBYS = """
SELECT r.pid, coalesce(r.application_name, '') AS name, coalesce(host(r.client_addr), 'a socket') AS address,
       age(r.backend_xmin) AS transactions
FROM pg_stat_replication r
WHERE age(r.backend_xmin) > %(many)s
ORDER BY transactions DESC LIMIT 5
"""
# A standby says its horizon every ten seconds, so that it always is a little old.
_FEEDBACK_MANY = 100_000


def look_at_standbys(patient: Patient) -> Iterator[Finding]:
    """Name the standbys on which a long query runs, whose hot_standby_feedback holds rows here."""
    for standby in patient.ask(_STANDBYS, many=_FEEDBACK_MANY):
        name = clean(standby.name, 64)
        problem = (
            f"the standby {name} (pid {standby.pid}, from {standby.address}) holds rows of the last "
            f"{standby.transactions:,} transactions, by hot_standby_feedback: a query on it takes long"
        )
        remedy = "on the standby: ALTER SYSTEM SET hot_standby_feedback = off; SELECT pg_reload_conf()"
        details = {"pid": standby.pid, "standby": name, "transactions": standby.transactions}
        yield either(standby.transactions > _MANY, problem, remedy, **details)


_NEEDED = "vacuum removes nothing, so that each claim walks over all that was settled since"

CHECKS = (
    Check(
        "open-transactions",
        "sessions whose transaction has been open for 30 s and more, by pid; on a terminal also what they ran last",
        _NEEDED,
        "`SELECT pg_terminate_backend(…)`; `idle_in_transaction_session_timeout` for the role it came from",
        "no transaction is open for long",
        look_at_sessions,
        needs="server",
    ),
    Check(
        "prepared-transactions",
        "transactions that were prepared (two-phase commit), and never ended",
        "as open transactions, and across restarts",
        "`COMMIT PREPARED …` or `ROLLBACK PREPARED …`",
        "no prepared transaction is left",
        look_at_prepared,
        needs="server",
    ),
    Check(
        "replication-slots",
        "replication slots that keep old rows or WAL for somebody who does not come",
        "as open transactions; or the disk fills with WAL until the server stops",
        "`SELECT pg_drop_replication_slot(…)`",
        "no replication slot keeps anything",
        look_at_slots,
        needs="server",
    ),
    Check(
        "standbys",
        "standbys that hold rows here by `hot_standby_feedback`",
        "as open transactions",
        "end the query on the standby, or `hot_standby_feedback = off` there",
        "no standby holds anything up",
        look_at_standbys,
        needs="server",
    ),
)
