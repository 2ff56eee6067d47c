"""server: whether the database can be reached and written to, which version it is, and what it runs out of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, failure, ok, warning
from outbox.doctor.settings import SETTINGS, undone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_WHERE = """
SELECT current_setting('server_version') AS version, current_database() AS database, current_user AS role,
       pg_is_in_recovery() AS standby,
       (SELECT s.reset_val FROM pg_settings s WHERE s.name = 'default_transaction_read_only') AS read_only
"""


def look_at_connection(patient: Patient) -> Iterator[Finding]:
    """Say where we are, and whether anything can be written there."""
    where = patient.ask_one(_WHERE)
    if where.standby:
        problem = f"this is a standby ({where.database} as {where.role}): workers cannot write to it"
        yield failure(
            problem, "outbox doctor --database-url 'postgresql://db1,db2/app?target_session_attrs=read-write'"
        )
    elif where.read_only == "on":
        problem = f"{where.role} may only read here: default_transaction_read_only is on"
        (setting,) = patient.ask(SETTINGS, names=["default_transaction_read_only"])
        yield failure(problem, f"SET default_transaction_read_only = off; {undone(setting, 'off')}")
    else:
        yield ok(
            f"database {where.database} as {where.role}, PostgreSQL {where.version.split()[0]}",
            database=where.database,
            role=where.role,
            version=where.version,
        )


_OLDEST = 140_000
_NEWEST = 180_000  # the newest that the tests have run on
_MAJOR = 10_000
_LISTEN_BUG = (
    "LISTEN, which workers do, may fail with “could not access status of transaction” after a vacuum "
    "(fixed in 18.2, 17.8, 16.12, 15.16 and 14.21)"
)
# By major version: below which minor release, and what is wrong there.
_KNOWN_BUGS: tuple[tuple[dict[int, int], str], ...] = (
    ({14: 4}, "CREATE INDEX and REINDEX CONCURRENTLY may leave rows out of an index (fixed in 14.4)"),
    ({14: 21, 15: 16, 16: 12, 17: 8, 18: 2}, _LISTEN_BUG),
)


def known_bugs(version: int) -> list[str]:
    """Return what is known to be wrong with a version, as `server_version_num` has it."""
    major, minor = divmod(version, _MAJOR)
    return [bug for fixed, bug in _KNOWN_BUGS if minor < fixed.get(major, 0)]


def look_at_version(patient: Patient) -> Iterator[Finding]:
    """Say whether this version will do, and what is wrong with it."""
    version = patient.conn.info.server_version
    name = f"{version // _MAJOR}.{version % _MAJOR}"
    if version < _OLDEST:
        yield failure(
            f"PostgreSQL {name} is too old: 14 or newer is needed",
            "upgrade the server, with pg_upgrade or by a dump",
            version=version,
        )
        return
    for bug in known_bugs(version):
        problem = f"PostgreSQL {name}: {bug}"
        yield warning(problem, f"install the newest {version // _MAJOR}.x and restart the server", version=version)
    if version >= _NEWEST + _MAJOR:
        yield ok(f"PostgreSQL {name}, which is newer than those that this outbox was tested on", version=version)


_CONNECTIONS = """
SELECT count(*) FILTER (WHERE a.datname = current_database()) AS here, count(*) AS everywhere,
       count(*) FILTER (WHERE a.usename = current_user) AS ours,
       CAST(current_setting('max_connections') AS bigint)
           - CAST(current_setting('superuser_reserved_connections') AS bigint) AS most,
       (SELECT nullif(d.datconnlimit, -1) FROM pg_database d WHERE d.datname = current_database()) AS most_here,
       (SELECT nullif(r.rolconnlimit, -1) FROM pg_roles r WHERE r.rolname = current_user) AS most_ours,
       current_database() AS database, current_user AS role
FROM pg_stat_activity a WHERE a.backend_type = 'client backend'
"""
_NEARLY, _FULL = 0.85, 0.97


def look_at_connections(patient: Patient) -> Iterator[Finding]:
    """Compare the connections with each limit that there is."""
    found = patient.ask_one(_CONNECTIONS)
    for used, most, limit, remedy in (
        (found.everywhere, found.most, "max_connections", "ALTER SYSTEM SET max_connections = {more}"),
        (found.here, found.most_here, "the limit of the database", f'ALTER DATABASE "{found.database}" {_LIMIT}'),
        (found.ours, found.most_ours, f"the limit of {found.role}", f'ALTER ROLE "{found.role}" {_LIMIT}'),
    ):
        if most is not None and used > most * _NEARLY:
            problem = f"{used} of {most} connections are taken, by {limit}: soon nobody gets one"
            yield either(used > most * _FULL, problem, remedy.format(more=2 * most), used=used, most=most)


_LIMIT = "CONNECTION LIMIT {more}"

_AGES = """
SELECT age(d.datfrozenxid) AS transactions, mxid_age(d.datminmxid) AS multixacts, d.datname AS database
FROM pg_database d WHERE d.datname = current_database()
"""
_OLD, _VERY_OLD = 600_000_000, 1_500_000_000


def look_at_wraparound(patient: Patient) -> Iterator[Finding]:
    """Compare the oldest transaction that a row still names with how many there can be."""
    found = patient.ask_one(_AGES)
    for age, what in ((found.transactions, "transactions"), (found.multixacts, "multixacts")):
        if age > _OLD:
            problem = f"{what} are {age:,} old, and at 2,146,000,000 the server writes nothing any more"
            yield either(age > _VERY_OLD, problem, "VACUUM (FREEZE)", **{what: age})


_SEQUENCES = """
SELECT s.schemaname || '.' || s.sequencename AS name, CAST(s.last_value AS double precision) / s.max_value AS share
FROM pg_sequences s
WHERE s.schemaname = 'outbox' AND s.last_value > s.max_value * 0.8 AND NOT s.cycle
"""
_USED_UP = 0.95


def look_at_sequences(patient: Patient) -> Iterator[Finding]:
    """Look for a sequence that comes to its end."""
    for found in patient.ask(_SEQUENCES):
        problem = f"{found.name} is at {found.share:.0%} of what it can count to"
        yield either(found.share > _USED_UP, problem, f"ALTER SEQUENCE {found.name} RESTART", sequence=found.name)


CHECKS = (
    Check(
        "connection",
        "whether the database answers, and can be written to",
        "nothing is enqueued and nothing is sent",
        "the URL, the password, `pg_hba.conf`; `target_session_attrs=read-write` where there are standbys",
        "the database answers",
        look_at_connection,
        needs="server",
    ),
    Check(
        "version",
        "a PostgreSQL that is too old, or has a bug that matters here",
        "indexes that miss rows, workers that cannot listen",
        "the newest minor release",
        "no bug is known that matters here",
        look_at_version,
        needs="server",
    ),
    Check(
        "connections",
        "nearly all connections taken: of the server, the database, the role",
        "workers that reconnect, and chores, find no place",
        "`ALTER SYSTEM SET max_connections = …` and a restart, or a pooler",
        "there are connections left",
        look_at_connections,
        needs="server",
    ),
    Check(
        "wraparound",
        "transaction ids and multixacts that come to their end",
        "the server stops writing, to save what it has",
        "`VACUUM (FREEZE)`, after what [pins the horizon](#open-transactions) is gone",
        "transaction ids are young enough",
        look_at_wraparound,
        needs="server",
    ),
    Check(
        "sequences",
        "a sequence near its end",
        "every insert that draws from it fails",
        "`ALTER SEQUENCE … RESTART`",
        "no sequence is near its end",
        look_at_sequences,
    ),
)
