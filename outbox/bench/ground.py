"""The database that is measured: one of our own beside theirs, or an empty one of theirs that was given for it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from outbox.bench.client import APPLICATION
from outbox.bench.leftovers import mark
from outbox.bench.place import no_right_to_create
from outbox.bench.trouble import BenchError
from outbox.migrate import upgrade
from outbox.schema import SCHEMA
from outbox.scratch import create_database, drop_database, scratch_name, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.bench.place import Place

_CONNECT_TIMEOUT = 10
_OURS = "outbox_bench"  # the schema beside the outbox's, for the floor, and as the mark of an unfinished --here
_OTHERS = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1 LIMIT 1
"""
_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s)"


@contextmanager
def ground_beside(url: str, place: Place) -> Iterator[str]:
    """Make a database on the server of this URL, and yield its URL; it is dropped at the end, however that comes.

    Raises:
        BenchError: it cannot be made, or not be dropped again.
    """
    name = scratch_name("bench")
    try:
        try:
            create_database(url, name)
        except psycopg.errors.InsufficientPrivilege:
            raise BenchError(no_right_to_create(place.role)) from None
        with _control(url_of(url, name), name) as conn:
            mark(conn)
            _like_theirs(conn, name, place)
            _open(conn)
            _furnish(url_of(url, name), conn)
            yield url_of(url, name)
    finally:
        with _unhurried():
            try:
                drop_database(url, name)
            except psycopg.Error as error:
                raise BenchError(
                    f"the database {name} could not be dropped: when you can, DROP DATABASE {name} WITH (FORCE)"
                ) from error


@contextmanager
def ground_here(url: str) -> Iterator[str]:
    """Use this database, which has to be empty, and leave it empty.

    Raises:
        BenchError: it is not empty.
    """
    with _control(url, "") as conn:
        _refuse_what_is_theirs(conn)
        _open(conn)  # before the `try`: what somebody else made meanwhile is not ours to drop
        try:
            _furnish(url, conn)
            yield url
        finally:
            with _unhurried(), conn.transaction():
                conn.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(SCHEMA)))
                conn.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(_OURS)))


def _refuse_what_is_theirs(conn: psycopg.Connection[Any]) -> None:
    name = conn.info.dbname
    there = {row[0] for row in conn.execute(_SCHEMAS, [[SCHEMA, _OURS]])}
    if _OURS in there:
        raise BenchError(
            f"an earlier bench in {name} goes on, or was killed: if it was, DROP SCHEMA IF EXISTS {SCHEMA}, {_OURS} "
            "CASCADE; and look before that there is no outbox of yours in it"
        )
    if SCHEMA in there:
        raise BenchError(
            f"{name} has a schema {SCHEMA}, which bench leaves alone: name an empty database, or no --here"
        )
    if (row := conn.execute(_OTHERS).fetchone()) is not None:
        raise BenchError(f"{name} is not empty, it has {row[0]}: name an empty database, or no --here")


def _open(conn: psycopg.Connection[Any]) -> None:
    try:
        conn.execute(SQL("CREATE SCHEMA {}").format(Identifier(_OURS)))
    except psycopg.errors.InsufficientPrivilege:
        raise BenchError(
            f"no schema can be made in {conn.info.dbname}: give this user CREATE on the database"
        ) from None
    except psycopg.errors.DuplicateSchema:
        raise BenchError(f"another bench has just begun in {conn.info.dbname}") from None


def _furnish(url: str, conn: psycopg.Connection[Any]) -> None:
    conn.execute("CREATE TABLE outbox_bench.floor (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, words text)")
    upgrade(url)


def _like_theirs(conn: psycopg.Connection[Any], name: str, place: Place) -> None:
    """Wait for the disk, or not, as in their database: what is set for a database alone is no other's."""
    value = Literal(place.settings["synchronous_commit"])
    conn.execute(SQL("ALTER DATABASE {} SET synchronous_commit = {}").format(Identifier(name), value))


@contextmanager
def _control(url: str, made: str) -> Iterator[psycopg.Connection[Any]]:
    """Be connected as long as the block lasts: whoever looks for leftovers sees that we are here."""
    try:
        conn = psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_TIMEOUT, application_name=APPLICATION)
    except psycopg.OperationalError as error:
        if not made:
            raise
        raise BenchError(
            f"the database {made} was made, and cannot be reached by the same address; if that is a pooler's, give the "
            "server's own"
        ) from error
    with conn:
        yield conn


@contextmanager
def _unhurried() -> Iterator[None]:
    """Let no second Ctrl-C come in between."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
