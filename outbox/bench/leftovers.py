"""What earlier runs left on a server because they were killed: databases with our name and our mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

_CONNECT_TIMEOUT = 10
MARK = "outbox bench: may be dropped when nobody is connected; begun "
_FIND = """
SELECT d.datname, coalesce(starts_with(c.description, %s), false),
       (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid), right(c.description, 20)
FROM pg_database d
LEFT JOIN pg_shdescription c ON c.objoid = d.oid AND c.classoid = 'pg_database'::regclass
WHERE d.datname ~ '^outbox_bench_[0-9a-f]{8}$'
ORDER BY d.datname
"""
_MARK = "SELECT %s || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"')"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A database of an earlier run, or of one that goes on elsewhere."""

    name: str
    dropped: bool
    about: str
    """Why it is still there, where it is."""

    @property
    def remedy(self) -> str:
        """What to type in psql, where it is to go."""
        return f"DROP DATABASE {self.name} WITH (FORCE)"


def mark(conn: psycopg.Connection[Any]) -> None:
    """Mark the database that we are connected to as ours, so that it can be dropped if we cannot do it any more."""
    row = conn.execute(_MARK, [MARK]).fetchone()
    name = Identifier(conn.info.dbname)
    conn.execute(SQL("COMMENT ON DATABASE {} IS {}").format(name, row[0] if row else MARK))


def clear(url: str) -> list[Leftover]:
    """Drop what has our mark and nobody uses, as a run that goes on does its own; return what was there."""
    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT) as conn:
        found = conn.execute(_FIND, [MARK]).fetchall()
        return [_dealt_with(conn, *each) for each in found]


def _dealt_with(conn: psycopg.Connection[Any], name: str, marked: bool, connected: int, begun: str) -> Leftover:  # noqa: FBT001
    if not marked:
        return Leftover(name, dropped=False, about="has the name of one of ours, and not our mark")
    if connected:
        return Leftover(name, dropped=False, about=f"is in use: of a run that began at {begun}, and may go on")
    try:
        conn.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        return Leftover(name, dropped=False, about=f"was left by somebody else's run that began at {begun}")
    except psycopg.errors.ObjectInUse:
        return Leftover(name, dropped=False, about=f"is in use: of a run that began at {begun}, and may go on")
    return Leftover(name, dropped=True, about=f"was left by a run that began at {begun} and was killed")
