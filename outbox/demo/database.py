"""The demo's database: on a server of its own, or a new one on a server that is there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from outbox.config import libpq_url
from outbox.demo.trouble import DemoError
from outbox.devdb import LocalPostgres
from outbox.scratch import create_database, drop_database, scratch_name, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def database_of_its_own() -> Iterator[str]:
    """Start a PostgreSQL server, and yield the URL of an empty database on it; all is gone at the end.

    Raises:
        DevServerError: there is none to start (install `outbox[dev-server]`), or it does not start.
    """
    with LocalPostgres(durable=True) as server:
        create_database(server.url, "demo")
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
    name = scratch_name("demo")
    try:
        create_database(url, name)
    except psycopg.errors.InsufficientPrivilege:
        raise DemoError("the demo makes a database of its own, and this user may not: give one with CREATEDB") from None
    unwanted = True
    try:
        yield url_of(url, name)
        unwanted = not keep
    finally:
        if unwanted:
            drop_database(url, name)
