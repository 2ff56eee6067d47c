"""settings: those of PostgreSQL that lose data or cut workers off, wherever they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.doctor.finding import Check, either, failure, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

# reset_val is what a session of this role begins with; what we have set for this transaction does not show.
SETTINGS = """
SELECT s.name, s.reset_val AS value, s.source, current_user AS role, current_database() AS database
FROM pg_settings s WHERE s.name = ANY (%(names)s)
"""
# Settings made for a role of a worker that is connected now: it may be another one than ours.
_OF_WORKERS = """
SELECT DISTINCT r.rolname AS role, made.setting
FROM pg_stat_activity a
JOIN pg_roles r ON r.oid = a.usesysid AND r.rolname <> current_user
JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase IN (0, a.datid)
CROSS JOIN LATERAL unnest(s.setconfig) AS made (setting)
WHERE a.datname = current_database()
  AND a.application_name IN ('outbox claim', 'outbox settle', 'outbox lifeline', 'outbox chores')
"""

_UNSAFE = {
    "fsync": "a crash of the machine may destroy the whole database",
    "full_page_writes": "a crash of the machine may leave pages half written",
}
_DURABLE = ("on", "remote_write", "remote_apply", "local")


def look_at_durability(patient: Patient) -> Iterator[Finding]:
    """Look at what makes a commit last."""
    for setting in patient.ask(SETTINGS, names=[*_UNSAFE, "synchronous_commit"]):
        if setting.name in _UNSAFE and setting.value == "off":
            problem = f"{setting.name} is off: {_UNSAFE[setting.name]}"
            yield failure(problem, _on_again(setting), setting=setting.name)
        if setting.name == "synchronous_commit" and setting.value not in _DURABLE:
            problem = "synchronous_commit is off: a crash takes the last commits along, enqueues and outcomes"
            yield warning(problem, undone(setting, "on"), setting=setting.name)


# The shortest, in seconds, that no worker runs into: a chore may take 20 s, a heartbeat comes every 15 s at least.
_SHORTEST = {
    "statement_timeout": 30.0,
    "lock_timeout": 1.0,
    "idle_in_transaction_session_timeout": 5.0,
    "idle_session_timeout": 60.0,
    "transaction_timeout": 60.0,
}
_ISOLATION = "default_transaction_isolation"


def look_at_timeouts(patient: Patient) -> Iterator[Finding]:
    """Look for limits that a worker runs into, for our role and for those of workers that are connected."""
    for setting in patient.ask(SETTINGS, names=[*_SHORTEST, _ISOLATION]):
        if problem := _limiting(setting.name, setting.value):
            yield warning(f"{problem} for {setting.role}", undone(setting, "0"), setting=setting.name)
    for other in patient.ask(_OF_WORKERS):
        name, _, value = other.setting.partition("=")
        if problem := _limiting(name, _milliseconds(value)):
            remedy = f'ALTER ROLE "{other.role}" RESET {name}'
            yield warning(f"{problem} for {other.role}, as whom workers are connected", remedy, setting=name)


def _limiting(name: str, value: str) -> str | None:
    if name == _ISOLATION and value != "read committed":
        return f"{name} is {value}: statements of workers and applications fail where they would wait,"
    if name in _SHORTEST and value.isdigit() and 0 < int(value) < _SHORTEST[name] * 1000:
        return f"{name} is {int(value) / 1000:g} s, which cuts workers off,"
    return None


_UNITS = {"ms": 1.0, "s": 1e3, "min": 6e4, "h": 3.6e6, "d": 8.64e7, "": 1.0}


def _milliseconds(value: str) -> str:
    """Return what a role's setting says, which has kept the unit that it was made with."""
    number = value.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = value.removeprefix(number).strip()
    return f"{float(number) * _UNITS[unit]:.0f}" if number.isdigit() and unit in _UNITS else value


def undone(setting: Any, normal: str) -> str:
    """Return what takes a setting, a row of SETTINGS, back where it was made; `normal` is what it should be."""
    match setting.source:
        case "user":
            return f'ALTER ROLE "{setting.role}" RESET {setting.name}'
        case "database":
            return f'ALTER DATABASE "{setting.database}" RESET {setting.name}'
        case "database user":
            return f'ALTER ROLE "{setting.role}" IN DATABASE "{setting.database}" RESET {setting.name}'
        case "client":
            return f"take {setting.name} out of the options of the URL"
    return f'ALTER ROLE "{setting.role}" SET {setting.name} = {_quoted(setting.name, normal)}'


def _on_again(setting: Any) -> str:
    """Return what turns a setting of the whole server on."""
    if setting.source == "command line":
        return f"start the server without -c {setting.name}=off"
    return f"ALTER SYSTEM SET {setting.name} = on; SELECT pg_reload_conf()"


def _quoted(name: str, normal: str) -> str:
    return "'read committed'" if name == _ISOLATION else normal


_VACUUM = ("autovacuum", "track_counts")


def look_at_autovacuum(patient: Patient) -> Iterator[Finding]:
    """Look whether autovacuum is on: for the server, and for each table."""
    for setting in patient.ask(SETTINGS, names=list(_VACUUM)):
        if setting.value == "off":
            problem = f"{setting.name} is off: nothing removes the rows that were settled"
            yield failure(problem, _on_again(setting), setting=setting.name)
    for table in patient.ask(_TURNED_OFF):
        hot = table.name in {"queue", "workers"}
        problem = f"autovacuum is turned off for {table.object}"
        yield either(hot, problem, f"ALTER TABLE {table.object} RESET (autovacuum_enabled)", table=table.object)


_TURNED_OFF = """
SELECT c.relname AS name, CAST(c.oid AS regclass)::text AS object
FROM pg_class c CROSS JOIN LATERAL pg_options_to_table(c.reloptions) AS made
WHERE c.relnamespace = CAST('outbox' AS regnamespace) AND made.option_name = 'autovacuum_enabled'
  AND lower(made.option_value) IN ('off', 'false', 'no', '0', 'f', 'n')
"""

CHECKS = (
    Check(
        "durability",
        "`fsync`, `full_page_writes` or `synchronous_commit` turned off",
        "what was acknowledged is lost in a crash, or all there is",
        "`ALTER SYSTEM SET fsync = on`, and so on",
        "what is committed lasts",
        look_at_durability,
        needs="server",
    ),
    Check(
        "timeouts",
        "timeouts of the role or the database that cut workers off; another isolation level than read committed",
        "chores that never end well, connections that break again and again",
        "`ALTER ROLE … RESET statement_timeout`, and so on",
        "no setting cuts a worker off",
        look_at_timeouts,
        needs="server",
    ),
    Check(
        "autovacuum",
        "autovacuum turned off, for the server or for a table; `track_counts` turned off",
        "each claim walks over all rows that were ever settled",
        "`ALTER TABLE outbox.queue RESET (autovacuum_enabled)`, `ALTER SYSTEM SET autovacuum = on`",
        "autovacuum is on",
        look_at_autovacuum,
    ),
)
