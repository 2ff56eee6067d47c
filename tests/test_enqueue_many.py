"""Many at once go by COPY; nothing else may tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

import outbox
from outbox.queue import bulk, enqueue_many

MANY = 400
ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "payload": {"text": "Hi"}}
HARD: list[dict[str, Any]] = [
    ADA | {"payload": {"text": 'a "quote", a \\backslash\\, a\ttab, a\nline, \\N and \\.'}},
    ADA | {"payload": {"text": "snow ☃, 𝄞, \u2028"}, "headers": {"x": "\\"}, "locale": "pt-BR"},
    ADA | {"template": "back\\slash", "topic": "news", "group_key": "order:1", "priority": "bulk"},
    ADA | {"run_at": timedelta(days=2, microseconds=7), "expires_at": timedelta(days=3)},
    ADA | {"run_at": datetime(2031, 2, 3, 4, 5, 6, 789_012, UTC), "expires_at": datetime(2032, 1, 1, tzinfo=UTC)},
    {"channel": "push", "recipient": "a\\b", "idempotency_key": "\\N"},
    {"channel": "push", "recipient": "NULL"},
]


@pytest.fixture(params=["by COPY", "in statements"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(enqueue_many, "_WORTH_A_COPY", 1 if request.param == "by COPY" else 10**9)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_every_field_is_stored_as_it_was_given(conn: psycopg.Connection[Any]) -> None:
    results = outbox.enqueue_many(conn, HARD)
    assert all(result.created for result in results)
    for given, result in zip(HARD, results, strict=True):
        row = conn.execute(
            """
            SELECT channel, recipient, template, locale, payload, headers, topic, group_key, idempotency_key,
                   run_at - created_at, expires_at - created_at, run_at, expires_at, priority
            FROM outbox.notifications WHERE id = %s
            """,
            [result.id],
        ).fetchone()
        assert row is not None
        names = ("channel", "recipient", "template", "locale", "payload", "headers", "topic", "group_key")
        wanted: dict[str, Any] = {"payload": {}} | given
        assert row[:9] == (*(wanted.get(name) for name in names), wanted.get("idempotency_key"))
        run_at, expires_at = wanted.get("run_at", timedelta(0)), wanted.get("expires_at")
        assert run_at in {row[9], row[11]}
        assert expires_at in {row[10], row[12]}
        assert row[13] == (8 if "priority" in given else 5)
    queued = conn.execute(
        "SELECT count(*) FROM outbox.queue q JOIN outbox.notifications n USING (id, run_at, priority)"
    )
    assert queued.fetchone() == (len(HARD),)


@pytest.mark.usefixtures("way")
def test_one_of_many_is_stored_as_one_alone_is(conn: psycopg.Connection[Any]) -> None:
    given = [one for one in HARD if "idempotency_key" not in one] + [
        {"channel": "sms", "recipient": "+49 (30) 1234", "payload": None, "template": None, "ordering_key": "order:1"},
        ADA | {"unless_sent": str(UUID(int=8)), "time_zone": "Europe/Berlin", "priority": 0, "locale": None},
        ADA | {"payload": {"cc": ["grace@example.org"]}},
        {"channel": "push", "recipient": "ada", "unless_read": UUID(int=7)},
        {"channel": "push", "recipient": "é" * 1024},
    ]
    columns = """
        SELECT channel, recipient, template, locale, payload, headers, topic, group_key, ordering_key, time_zone,
               unless_read, unless_sent, trace, priority, date_trunc('day', run_at), date_trunc('day', expires_at)
        FROM outbox.notifications WHERE id = %s
    """
    for one, many in zip(given, outbox.enqueue_many(conn, given), strict=True):
        alone = outbox.enqueue(conn, **one)
        first, second = (conn.execute(columns, [answer.id]).fetchone() for answer in (alone, many))
        assert first == second


@pytest.mark.usefixtures("way")
def test_the_encoding_of_the_connection_is_heeded(conn: psycopg.Connection[Any]) -> None:
    conn.execute("SET client_encoding = 'latin1'")
    given = [{"channel": "push", "recipient": "Zoë", "payload": {"text": "Grüße"}, "topic": None} for _ in range(MANY)]
    (first, *_) = outbox.enqueue_many(conn, given)
    conn.execute("SET client_encoding = 'utf8'")
    row = conn.execute("SELECT recipient, payload FROM outbox.notifications WHERE id = %s", [first.id]).fetchone()
    assert row == ("Zoë", {"text": "Grüße"})


class Level(int, Enum):
    SECOND = 2


class AnyCase(str):
    """A text that equals itself in capitals, as those of some libraries do."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


@pytest.mark.usefixtures("way")
def test_texts_and_numbers_of_other_kinds_are_stored_as_what_they_are(conn: psycopg.Connection[Any]) -> None:
    names = ["ADA", "Ada"]
    given = [{"channel": "push", "recipient": AnyCase(name), "priority": Level.SECOND} for name in names]
    ids = [answer.id for answer in outbox.enqueue_many(conn, given)]
    stored = "SELECT recipient, priority FROM outbox.notifications WHERE id = ANY (%s) ORDER BY id"
    assert conn.execute(stored, [ids]).fetchall() == [(name, 2) for name in names]


def test_ids_are_in_order_and_lie_in_todays_partition(conn: psycopg.Connection[Any]) -> None:
    results = outbox.enqueue_many(conn, [ADA] * MANY)
    ids = [result.id for result in results]
    assert ids == sorted(ids)
    assert {(identity.version, identity.variant) for identity in ids} == {(7, "specified in RFC 4122")}
    count = conn.execute(
        """
        SELECT count(*) FILTER (WHERE abs(date_part('epoch', outbox.uuid7_time(id) - created_at)) < 1),
               count(*) FILTER (WHERE tableoid = 'outbox.notifications_default'::regclass)
        FROM outbox.notifications
        """
    ).fetchone()
    assert count == (MANY, 0)


def test_a_million_ids_of_one_moment_are_all_different() -> None:
    assert len(set(bulk.ids(1_000_000, 1_700_000_000_000_000))) == 1_000_000


@pytest.mark.usefixtures("way")
def test_one_bad_row_leaves_nothing_and_the_transaction_usable(conn: psycopg.Connection[Any]) -> None:
    before = outbox.enqueue(conn, **ADA)
    rows: list[dict[str, Any]] = [ADA | {"idempotency_key": f"k{n}"} for n in range(MANY)]
    rows[MANY - 2] = ADA | {"priority": "later"}
    with pytest.raises(outbox.InvalidNotification, match=rf"^\[{MANY - 2}\]\.priority: "):
        outbox.enqueue_many(conn, rows)
    assert conn.execute("SELECT id FROM outbox.notifications").fetchall() == [(before.id,)]
    assert conn.execute("SELECT count(*) FROM outbox.idempotency_keys").fetchone() == (0,)
    assert outbox.enqueue(conn, **ADA, idempotency_key="k1").created
    with pytest.raises(outbox.IdempotencyConflict):
        outbox.enqueue(conn, **ADA | {"recipient": "grace@example.org"}, idempotency_key="k1")


@pytest.mark.usefixtures("way")
def test_a_repeated_key_gets_the_first_ones_id(conn: psycopg.Connection[Any]) -> None:
    first = outbox.enqueue(conn, **ADA, idempotency_key="k7")
    rows = [ADA | {"idempotency_key": f"k{n // 2}"} for n in range(MANY)]
    results = outbox.enqueue_many(conn, rows)
    assert [result.created for result in results] == [n % 2 == 0 and n // 2 != 7 for n in range(MANY)]
    assert results[14].id == results[15].id == first.id
    assert all(results[n].id == results[n + 1].id for n in range(0, MANY, 2))
    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (MANY // 2,)
    assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (MANY // 2,)
    assert outbox.enqueue_many(conn, rows) == [outbox.Enqueued(result.id, created=False) for result in results]


@pytest.mark.usefixtures("way")
def test_a_key_that_stands_for_other_content_is_an_error(conn: psycopg.Connection[Any]) -> None:
    outbox.enqueue(conn, **ADA | {"payload": {"text": "Bye"}}, idempotency_key="k3")
    with pytest.raises(outbox.IdempotencyConflict, match="k3"):
        outbox.enqueue_many(conn, [ADA | {"idempotency_key": f"k{n}"} for n in range(MANY)])
    conn.commit()
    assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (MANY,), "all the others are enqueued"
    assert not outbox.enqueue(conn, **ADA | {"payload": {"text": "Bye"}}, idempotency_key="k3").created


def test_a_rolled_back_savepoint_leaves_nothing(conn: psycopg.Connection[Any]) -> None:
    conn.execute("SELECT 1")
    with conn.transaction(force_rollback=True):
        outbox.enqueue_many(conn, [ADA] * MANY)
    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (0,)


def test_through_sqlalchemy_many_are_part_of_its_transaction(database_url: str) -> None:
    engine = sa.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database_url), poolclass=sa.NullPool
    )
    count = sa.text("SELECT count(*) FROM outbox.notifications")
    with engine.connect() as conn:
        outbox.enqueue_many(conn, [ADA] * MANY)
        conn.rollback()
        assert conn.scalar(count) == 0
        outbox.enqueue_many(conn, [ADA] * MANY)
        conn.commit()
    with engine.connect() as conn:
        assert conn.scalar(count) == MANY
    engine.dispose()


async def test_an_asynchronous_connection_copies_too(aconn: psycopg.AsyncConnection[Any]) -> None:
    results = await outbox.aenqueue_many(aconn, [ADA] * MANY)
    assert len({result.id for result in results}) == MANY
    cursor = await aconn.execute("SELECT count(*) FROM outbox.queue")
    assert await cursor.fetchone() == (MANY,)
    await aconn.rollback()


def test_in_autocommit_it_is_one_statement_and_not_several_transactions(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        with pytest.raises(outbox.NotInTransaction):
            outbox.enqueue_many(conn, [ADA] * MANY)
        assert len(outbox.enqueue_many(conn, [ADA] * MANY, allow_autocommit=True)) == MANY
        with conn.transaction():
            assert len(outbox.enqueue_many(conn, [ADA] * MANY)) == MANY
        assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (2 * MANY,)
