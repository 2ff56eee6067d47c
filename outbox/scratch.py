"""A database of our own on somebody's server: made beside theirs, and dropped again."""

from __future__ import annotations

from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Composed, Identifier

_CONNECT_TIMEOUT = 10


def scratch_name(purpose: str) -> str:
    """Return a name that no other database has: `outbox_demo_1a2b3c4d`."""
    return f"outbox_{purpose}_{uuid4().hex[:8]}"


def create_database(url: str, name: str) -> None:
    """Create an empty database on the server of this URL.

    Raises:
        psycopg.errors.InsufficientPrivilege: this user may not.
    """
    # template0: nobody can be connected to it, which template1 does not promise
    _run(url, SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))


def drop_database(url: str, name: str) -> None:
    """Drop a database on the server of this URL, whoever is connected to it; none of that name is fine, too."""
    _run(url, SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def url_of(url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    place, _, query = url.partition("?")
    scheme, _, rest = place.partition("://")
    parameters = [part for part in query.split("&") if part and not part.startswith("dbname=")]
    return f"{scheme}://{rest.partition('/')[0]}/{database}" + ("?" + "&".join(parameters) if parameters else "")


def _run(url: str, statement: Composed) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT) as conn:
        conn.execute(statement)
