"""The demo's database: on a server of its own, or a new one on a server that is there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from outbox.config import libpq_url
from outbox.demo.children import DemoError
from outbox.devdb import LocalPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECT_TIMEOUT = 10


@contextmanager
def database_of_its_own() -> Iterator[str]:
    """Start a PostgreSQL server, and yield the URL of an empty database on it; all is gone at the end.

    Raises:
        DevServerError: there is none to start (install `outbox[dev-server]`), or it does not start.
    """
    with LocalPostgres(durable=True) as server:
        _create(server.url, "demo")
        yield server.url_of("demo")


@contextmanager
def database_on(server_url: str, *, keep: bool) -> Iterator[str]:
    """Create a database on the server of this URL, and yield its URL; drop it at the end, or if anything fails.

    What the server holds otherwise is left alone. With `keep`, a demo that came to its end leaves its database.

    Raises:
        ConfigError: that is no URL of a PostgreSQL database.
        DemoError: no database can be created there.
    """
    url = libpq_url(server_url)
    name = f"outbox_demo_{uuid4().hex[:8]}"
    try:
        _create(url, name)
    except psycopg.errors.InsufficientPrivilege:
        raise DemoError("the demo makes a database of its own, and this user may not: give one with CREATEDB") from None
    unwanted = True
    try:
        yield _url_of(url, name)
        unwanted = not keep
    finally:
        if unwanted:
            _run(url, SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


def _url_of(url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    place, _, query = url.partition("?")
    scheme, _, rest = place.partition("://")
    parameters = [part for part in query.split("&") if part and not part.startswith("dbname=")]
    return f"{scheme}://{rest.partition('/')[0]}/{database}" + ("?" + "&".join(parameters) if parameters else "")


def _create(url: str, name: str) -> None:
    # template0: nobody can be connected to it, which template1 does not promise
    _run(url, SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))


def _run(url: str, statement: Composed) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT) as conn:
        conn.execute(statement)
