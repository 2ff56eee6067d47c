"""Where it would be measured: what can be seen of a server before anything is done to it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.bench.trouble import BenchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.bench.plan import Plan

SETTINGS = (
    "fsync",
    "synchronous_commit",
    "synchronous_standby_names",
    "full_page_writes",
    "wal_sync_method",
    "commit_delay",
    "shared_buffers",
    "max_connections",
)
_CONNECT_TIMEOUT = 10
_FACTS = """
SELECT current_setting('server_version'), current_database(), current_user, pg_is_in_recovery(),
       (SELECT r.rolcreatedb OR r.rolsuper FROM pg_roles r WHERE r.rolname = current_user),
       current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
       - (SELECT sum(numbackends) FROM pg_stat_database)  -- of pg_stat_activity, not everybody sees all
"""
_NAMED = "SELECT name, setting || coalesce(unit, '') FROM pg_settings WHERE name = ANY (%s)"


@dataclass(frozen=True, slots=True)
class Place:
    """A database, its server, and what we may do there."""

    host: str
    database: str
    role: str
    version: str
    is_near: bool
    is_encrypted: bool
    is_standby: bool
    may_create: bool
    free_connections: int
    settings: Mapping[str, str]


def look_at(url: str) -> Place:
    """Connect, read, and leave.

    Raises:
        psycopg.OperationalError: it cannot be reached.
    """
    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT) as conn:
        version, database, role, standby, may_create, free = conn.execute(_FACTS).fetchone() or ("", "", "", 0, 0, 0)
        settings = dict(conn.execute(_NAMED, [list(SETTINGS)]).fetchall())
        settings["synchronous_commit"] = _shown(conn, "synchronous_commit")
        return Place(
            host=conn.info.host,
            database=database,
            role=role,
            version=version.split()[0],
            is_near=is_near(conn.info.host, conn.info.hostaddr),
            is_encrypted=bool(conn.pgconn.ssl_in_use),
            is_standby=bool(standby),
            may_create=bool(may_create),
            free_connections=int(free) + 1,  # that of ours is there already
            settings=settings,
        )


def is_near(host: str, address: str) -> bool:
    """Tell whether a server is on this machine: by a Unix socket, or a loopback address (which may be a tunnel's)."""
    if not host or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(address or host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse(place: Place, plan: Plan, *, here: bool) -> None:
    """Say what would go wrong, before it does.

    Raises:
        BenchError: with the remedy.
    """
    if place.is_standby:
        raise BenchError(f"{place.host or 'this'} is a standby, where nothing can be written: name the primary")
    if not (here or place.may_create):
        raise BenchError(no_right_to_create(place.role))
    if place.free_connections < plan.connections:
        raise BenchError(
            f"it would hold up to {plan.connections} connections, and the server has {place.free_connections} left of "
            f"{place.settings.get('max_connections', 'its')}: try --clients 1, or when there are more"
        )


def no_right_to_create(role: str) -> str:
    """Return what to do where no database can be made."""
    return (
        f"bench makes a database of its own, and {role} may not: ALTER ROLE {role} CREATEDB; "
        "or name an empty database of yours by --database-url, with --here"
    )


def _shown(conn: psycopg.Connection[Any], name: str) -> str:
    row = conn.execute("SELECT current_setting(%s)", [name]).fetchone()
    return str(row[0]) if row else ""
