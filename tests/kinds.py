"""Every kind of connection that `enqueue` takes, behind one face, so that each promise is tested on all of them."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import django
import psycopg
import sqlalchemy as sa
from django.conf import settings
from django.db import connection, connections
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import outbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from outbox import Cancelled, Enqueued, Selected


class Kind:
    """An open transaction on one kind of connection. `usable` runs a statement of the application's own."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn

    async def enqueue(self, **given: Any) -> Enqueued:
        return outbox.enqueue(self.conn, **given)

    async def enqueue_many(self, given: list[dict[str, Any]]) -> list[Enqueued]:
        return outbox.enqueue_many(self.conn, given)

    async def enqueue_select(self, query: str, parameters: dict[str, Any] | None = None, **given: Any) -> Selected:
        return outbox.enqueue_select(self.conn, query, parameters, **given)

    async def cancel(self, **given: Any) -> Cancelled:
        return outbox.cancel(self.conn, **given)

    async def execute(self, sql: str) -> None:
        self.conn.execute(sql)

    async def commit(self) -> None:
        self.conn.commit()

    async def rollback(self) -> None:
        self.conn.rollback()


class Async(Kind):
    async def enqueue(self, **given: Any) -> Enqueued:
        return await outbox.aenqueue(self.conn, **given)

    async def enqueue_many(self, given: list[dict[str, Any]]) -> list[Enqueued]:
        return await outbox.aenqueue_many(self.conn, given)

    async def enqueue_select(self, query: str, parameters: dict[str, Any] | None = None, **given: Any) -> Selected:
        return await outbox.aenqueue_select(self.conn, query, parameters, **given)

    async def cancel(self, **given: Any) -> Cancelled:
        return await outbox.acancel(self.conn, **given)

    async def execute(self, sql: str) -> None:
        await self.conn.execute(sql)

    async def commit(self) -> None:
        await self.conn.commit()

    async def rollback(self) -> None:
        await self.conn.rollback()


class Alchemy(Kind):
    async def execute(self, sql: str) -> None:
        self.conn.execute(sa.text(sql))


class AsyncAlchemy(Async):
    async def execute(self, sql: str) -> None:
        await self.conn.execute(sa.text(sql))


class Asyncpg(Async):
    async def commit(self) -> None:
        await self.conn.execute("COMMIT")

    async def rollback(self) -> None:
        await self.conn.execute("ROLLBACK")


class Django(Kind):
    async def execute(self, sql: str) -> None:
        with self.conn.cursor() as cursor:
            cursor.execute(sql)


def with_driver(url: str, driver: str) -> sa.URL:
    """The URL for SQLAlchemy; asyncpg takes a socket's folder only as a plain argument."""
    return sa.make_url(url).set(drivername=f"postgresql+{driver}")


@contextmanager
def psycopg_connection(url: str) -> Iterator[Kind]:
    with psycopg.connect(url) as conn:
        yield Kind(conn)
        conn.rollback()


@contextmanager
def psycopg_connection_of_dicts(url: str) -> Iterator[Kind]:
    with psycopg.connect(url, row_factory=dict_row) as conn:
        yield Kind(conn)
        conn.rollback()


@contextmanager
def psycopg_connection_that_binds_in_the_client(url: str) -> Iterator[Kind]:
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as conn:
        yield Kind(conn)
        conn.rollback()


@asynccontextmanager
async def psycopg_async_connection(url: str) -> AsyncIterator[Kind]:
    async with await psycopg.AsyncConnection.connect(url) as conn:
        yield Async(conn)
        await conn.rollback()


@asynccontextmanager
async def psycopg_async_connection_that_binds_in_the_client(url: str) -> AsyncIterator[Kind]:
    async with await psycopg.AsyncConnection.connect(url, cursor_factory=psycopg.AsyncClientCursor) as conn:
        yield Async(conn)
        await conn.rollback()


@contextmanager
def sqlalchemy_connection(url: str) -> Iterator[Kind]:
    engine = sa.create_engine(with_driver(url, "psycopg"))
    with engine.connect() as conn:
        yield Alchemy(conn)
    engine.dispose()


@contextmanager
def sqlalchemy_session(url: str) -> Iterator[Kind]:
    engine = sa.create_engine(with_driver(url, "psycopg"))
    with Session(engine) as session:
        yield Alchemy(session)
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_connection(url: str, driver: str = "psycopg") -> AsyncIterator[Kind]:
    engine = create_async_engine(with_driver(url, driver))
    async with engine.connect() as conn:
        yield AsyncAlchemy(conn)
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_session(url: str, driver: str = "psycopg") -> AsyncIterator[Kind]:
    engine = create_async_engine(with_driver(url, driver))
    async with AsyncSession(engine) as session:
        yield AsyncAlchemy(session)
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_connection_of_asyncpg(url: str) -> AsyncIterator[Kind]:
    async with sqlalchemy_async_connection(url, "asyncpg") as kind:
        yield kind


@asynccontextmanager
async def sqlalchemy_async_session_of_asyncpg(url: str) -> AsyncIterator[Kind]:
    async with sqlalchemy_async_session(url, "asyncpg") as kind:
        yield kind


@asynccontextmanager
async def asyncpg_connection(url: str) -> AsyncIterator[Kind]:
    conn = await asyncpg.connect(url)
    await conn.execute("BEGIN")
    yield Asyncpg(conn)
    await conn.close()


@asynccontextmanager
async def asyncpg_pool_connection_with_a_json_codec(url: str) -> AsyncIterator[Kind]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as conn:
        await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=repr, decoder=repr)
        await conn.execute("BEGIN")
        yield Asyncpg(conn)
        await conn.execute("ROLLBACK")


def django_settings(url: str) -> dict[str, Any]:
    where = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": where["dbname"],
        "USER": where.get("user", ""),
        "PASSWORD": where.get("password", ""),
        "HOST": where.get("host", ""),
        "PORT": where.get("port", ""),
    }


@contextmanager
def django_connection(url: str) -> Iterator[Kind]:
    # Django refuses to block an event loop; here the loop has nothing else to do.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    if not settings.configured:
        settings.configure(DATABASES={"default": django_settings(url)})
        django.setup()
    connections["default"].settings_dict.update(django_settings(url))
    connection.set_autocommit(False)
    yield Django(connection)
    connection.rollback()
    connection.close()


KINDS = (
    psycopg_connection,
    psycopg_connection_of_dicts,
    psycopg_connection_that_binds_in_the_client,
    psycopg_async_connection,
    psycopg_async_connection_that_binds_in_the_client,
    sqlalchemy_connection,
    sqlalchemy_session,
    sqlalchemy_async_connection,
    sqlalchemy_async_session,
    sqlalchemy_async_connection_of_asyncpg,
    sqlalchemy_async_session_of_asyncpg,
    asyncpg_connection,
    asyncpg_pool_connection_with_a_json_codec,
    django_connection,
)


@asynccontextmanager
async def opened(kind: Any, url: str) -> AsyncIterator[Kind]:
    """Open one of `KINDS`, whether its context manager is asynchronous or not."""
    context = kind(url)
    if hasattr(context, "__aenter__"):
        async with context as transaction:
            yield transaction
    else:
        with context as transaction:
            yield transaction
