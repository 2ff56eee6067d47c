from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import psycopg
import pytest
import sqlalchemy as sa
from django.db import connection, transaction
from sqlalchemy.ext.asyncio import create_async_engine

import outbox
from tests.kinds import KINDS, django_connection, opened, with_driver
from tests.recorder import delivered

if TYPE_CHECKING:
    from collections.abc import Callable

WELCOME: dict[str, Any] = {
    "channel": "email",
    "recipient": "ada@example.org",
    "payload": {"subject": "Welcome", "text": "Hello, Zoë 👋"},
    "idempotency_key": "welcome:1",
}

every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])


@every_kind
async def test_what_is_committed_is_delivered(kind: Any, database_url: str) -> None:
    async with opened(kind, database_url) as transaction:
        result = await transaction.enqueue(
            **WELCOME, group_key="user:1", headers={"List-Unsubscribe": "<https://example.org>"}
        )
        await transaction.commit()
    assert result.created
    assert type(result.id) is UUID
    (notification,) = await delivered(database_url)
    assert notification.id == result.id
    assert notification.payload == WELCOME["payload"]
    assert notification.headers == {"List-Unsubscribe": "<https://example.org>"}


@every_kind
async def test_what_is_rolled_back_is_never_sent(kind: Any, database_url: str) -> None:
    async with opened(kind, database_url) as transaction:
        await transaction.enqueue(**WELCOME)
        await transaction.rollback()
    assert await delivered(database_url) == []


@every_kind
async def test_what_a_rolled_back_savepoint_held_is_never_sent(kind: Any, database_url: str) -> None:
    async with opened(kind, database_url) as transaction:
        await transaction.execute("SAVEPOINT before")
        await transaction.enqueue(**WELCOME)
        await transaction.execute("ROLLBACK TO SAVEPOINT before")
        kept = await transaction.enqueue(**WELCOME | {"recipient": "grace@example.org"})
        await transaction.commit()
    assert [notification.id for notification in await delivered(database_url)] == [kept.id]


@every_kind
async def test_a_repeated_key_returns_the_first_notification(kind: Any, database_url: str) -> None:
    async with opened(kind, database_url) as transaction:
        first = await transaction.enqueue(**WELCOME)
        second = await transaction.enqueue(**WELCOME)
        await transaction.commit()
    assert (second.id, second.created) == (first.id, False)
    assert len(await delivered(database_url)) == 1


@every_kind
async def test_a_key_with_other_content_is_an_error_and_the_transaction_stays_usable(
    kind: Any, database_url: str
) -> None:
    async with opened(kind, database_url) as transaction:
        first = await transaction.enqueue(**WELCOME)
        with pytest.raises(outbox.IdempotencyConflict) as conflict:
            await transaction.enqueue(**WELCOME | {"recipient": "eve@example.org"})
        assert conflict.value.existing_id == first.id
        assert conflict.value.refused_id != first.id
        await transaction.execute("SELECT 1")
        await transaction.commit()
    assert [notification.recipient for notification in await delivered(database_url)] == ["ada@example.org"]


@every_kind
async def test_many_are_enqueued_with_one_result_each_in_order(kind: Any, database_url: str) -> None:
    given = [
        {"channel": "email", "recipient": f"user{n}@example.org", "idempotency_key": f"key {n % 4}" if n % 2 else None}
        for n in (4, 1, 2, 3)
    ]
    given.append(given[1])
    async with opened(kind, database_url) as transaction:
        results = await transaction.enqueue_many(given)
        await transaction.commit()
    assert [result.created for result in results] == [True, True, True, True, False]
    assert results[4].id == results[1].id
    recipients = {notification.id: notification.recipient for notification in await delivered(database_url)}
    assert [recipients[result.id] for result in results] == [one["recipient"] for one in given]


@every_kind
async def test_cancelling_is_part_of_the_transaction(kind: Any, database_url: str) -> None:
    async with opened(kind, database_url) as transaction:
        await transaction.enqueue(**WELCOME)
        await transaction.commit()
    async with opened(kind, database_url) as transaction:
        assert (await transaction.cancel(idempotency_key="welcome:1")).cancelled == 1
        await transaction.rollback()
    async with opened(kind, database_url) as transaction:
        assert await transaction.cancel(idempotency_key="welcome:1") == outbox.Cancelled(1, 0, 0, 0, 0)
        await transaction.commit()
    assert await delivered(database_url) == []


@every_kind
async def test_two_transactions_racing_on_one_key_make_one_notification(kind: Any, database_url: str) -> None:
    """The second waits for the first; when that commits it is told so, and when it rolls back it takes the key."""
    with psycopg.connect(database_url) as first:
        outbox.enqueue(first, **WELCOME)
        committer = threading_timer(0.3, first.commit)
        async with opened(kind, database_url) as second:
            result = await second.enqueue(**WELCOME)
            await second.commit()
        await committer
    assert not result.created
    assert len(await delivered(database_url)) == 1


@every_kind
async def test_the_loser_of_a_race_wins_when_the_winner_rolls_back(kind: Any, database_url: str) -> None:
    with psycopg.connect(database_url) as first:
        outbox.enqueue(first, **WELCOME)
        roll_back = threading_timer(0.3, first.rollback)
        async with opened(kind, database_url) as second:
            result = await second.enqueue(**WELCOME)
            await second.commit()
        await roll_back
    assert result.created
    assert [notification.id for notification in await delivered(database_url)] == [result.id]


def threading_timer(seconds: float, call: Callable[[], None]) -> asyncio.Future[None]:
    """Call it later in a thread, for the kinds that block the event loop."""

    def later() -> None:
        time.sleep(seconds)  # what is waited for is that the other transaction waits, which nothing shows but time
        call()

    return asyncio.get_running_loop().run_in_executor(None, later)


def test_a_psycopg_connection_in_autocommit_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        with pytest.raises(outbox.NotInTransaction, match="allow_autocommit"):
            outbox.enqueue(conn, **WELCOME)
        with conn.transaction():
            assert outbox.enqueue(conn, **WELCOME).created
        assert not outbox.enqueue(conn, **WELCOME, allow_autocommit=True).created


async def test_an_asyncpg_connection_without_a_transaction_is_refused(database_url: str) -> None:
    conn = await asyncpg.connect(database_url)
    with pytest.raises(outbox.NotInTransaction):
        await outbox.aenqueue(conn, **WELCOME)
    async with conn.transaction():
        assert (await outbox.aenqueue(conn, **WELCOME)).created
    await conn.close()


def test_a_sqlalchemy_connection_in_autocommit_is_refused(database_url: str) -> None:
    engine = sa.create_engine(with_driver(database_url, "psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as conn, pytest.raises(outbox.NotInTransaction):
        outbox.enqueue(conn, **WELCOME)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
async def test_an_asynchronous_sqlalchemy_connection_in_autocommit_is_refused(database_url: str, driver: str) -> None:
    engine = create_async_engine(with_driver(database_url, driver), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    async with engine.connect() as conn:
        with pytest.raises(outbox.NotInTransaction):
            await outbox.aenqueue(conn, **WELCOME)


def test_djangos_connection_in_autocommit_is_refused_outside_atomic(database_url: str) -> None:
    with django_connection(database_url):
        connection.set_autocommit(True)
        with pytest.raises(outbox.NotInTransaction):
            outbox.enqueue(connection, **WELCOME)
        with transaction.atomic():
            assert outbox.enqueue(connection, **WELCOME).created
        connection.set_autocommit(False)


async def test_the_wrong_function_for_the_connection_says_which_is_right(database_url: str) -> None:
    with (
        psycopg.connect(database_url) as conn,
        pytest.raises(TypeError, match="is synchronous: use the function without"),
    ):
        await outbox.aenqueue(conn, **WELCOME)
    async with await psycopg.AsyncConnection.connect(database_url) as conn:
        with pytest.raises(TypeError, match="is asynchronous: use the function whose name begins with an a"):
            outbox.enqueue(conn, **WELCOME)


def test_an_unknown_connection_is_refused_with_the_known_ones() -> None:
    with sqlite3.connect(":memory:") as conn, pytest.raises(TypeError, match=r"sqlite3\.Connection is no connection"):
        outbox.enqueue(conn, **WELCOME)
    conn.close()


def test_who_has_cursors_of_their_own_sees_what_is_executed(database_url: str) -> None:
    seen: list[str] = []

    class Tracing(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            seen.append(str(query))
            return super().execute(query, *arguments, **options)

    with psycopg.connect(database_url, cursor_factory=Tracing) as conn:
        outbox.enqueue(conn, channel="push", recipient="ada")
    assert ["INSERT INTO outbox.notifications" in query for query in seen] == [True]


@every_kind
async def test_a_database_without_the_outbox_says_what_to_run(kind: Any, empty_url: str) -> None:
    async with opened(kind, empty_url) as transaction:
        with pytest.raises(outbox.NotMigrated, match="outbox migrate"):
            await transaction.enqueue(**WELCOME)
        await transaction.rollback()
