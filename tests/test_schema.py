from __future__ import annotations

import importlib
import io
import pkgutil
import re
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Session

import outbox.queue
from outbox import migrate, schema
from outbox.executors import _numbered

if TYPE_CHECKING:
    from collections.abc import Iterator

INSERT = """
INSERT INTO outbox.notifications (channel, recipient, template, payload)
VALUES ('email', 'ada@example.org', 'welcome', '{"name": "Ada"}')
"""


def engine(url: str) -> sa.Engine:
    return sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)


def test_the_migrations_go_up_and_down_and_up_again(empty_url: str) -> None:
    assert not migrate.is_current(empty_url)
    migrate.upgrade(empty_url)
    assert migrate.is_current(empty_url)
    migrate.downgrade(empty_url, "base")
    assert not migrate.is_current(empty_url)
    with psycopg.connect(empty_url) as conn:
        left = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'outbox'::regnamespace AND relkind = 'r'"
        )
        assert left.fetchall() == [("migrations",)]
    migrate.upgrade(empty_url)
    assert migrate.is_current(empty_url)


def test_a_chore_that_failed_more_often_than_32_bits_can_count_survives_a_step_down_and_up(cloned_url: str) -> None:
    failures = "SELECT failures FROM outbox.chores"
    with psycopg.connect(cloned_url) as conn:
        conn.execute("INSERT INTO outbox.chores (name, due_at, failures) VALUES ('a', now(), 4294967296)")
    migrate.downgrade(cloned_url, "0004")
    with psycopg.connect(cloned_url) as conn:
        assert conn.execute(failures).fetchall() == [(2_147_483_647,)]
    migrate.upgrade(cloned_url)
    with psycopg.connect(cloned_url) as conn:
        assert conn.execute(failures + " WHERE failures + 1 > 2147483647").fetchall() == [(2_147_483_647,)]


def test_letters_that_are_there_when_the_columns_come_learn_what_was_enqueued(cloned_url: str) -> None:
    migrate.downgrade(cloned_url, "0023")
    with psycopg.connect(cloned_url) as conn:
        conn.execute("""
            INSERT INTO outbox.notifications (channel, recipient, expires_at, unless_read)
            SELECT 'email', 'user' || n, CASE WHEN n < 3 THEN '2100-01-01 00:00+00'::timestamptz END, outbox.uuid7()
            FROM generate_series(1, 3) n
        """)
        conn.execute("""
            INSERT INTO outbox.dead_letters
                (notification_id, enqueued_at, attempts, priority, channel, recipient, payload, reason, resolution,
                 resolved_at)
            SELECT n.id, now(), 1, 5, 'email', n.recipient, '{}', 'rejected',
                   CASE WHEN n.recipient = 'user2' THEN 'discarded' END,
                   CASE WHEN n.recipient = 'user2' THEN now() END
            FROM outbox.notifications n
        """)
    migrate.upgrade(cloned_url)
    with psycopg.connect(cloned_url) as conn:
        known = conn.execute("""
            SELECT d.recipient, d.expires_at IS NOT DISTINCT FROM n.expires_at,
                   d.unless_read IS NOT DISTINCT FROM n.unless_read
            FROM outbox.dead_letters d JOIN outbox.notifications n ON n.id = d.notification_id ORDER BY 1
        """)
        assert known.fetchall() == [("user1", True, True), ("user2", True, True), ("user3", True, True)]


def test_leases_are_not_moved_while_workers_of_an_earlier_version_are_at_work(cloned_url: str) -> None:
    migrate.downgrade(cloned_url, "0006")
    with psycopg.connect(cloned_url) as conn:
        conn.execute("INSERT INTO outbox.workers (pid, host, version, channels) VALUES (1, 'here', '0', '{email}')")
    with pytest.raises(sa.exc.DBAPIError, match="workers of an earlier version are at work"):
        migrate.upgrade(cloned_url)
    with psycopg.connect(cloned_url) as conn:
        conn.execute("DELETE FROM outbox.workers")
    migrate.upgrade(cloned_url)
    assert migrate.is_current(cloned_url)


def test_several_migrations_at_once_wait_for_each_other(empty_url: str) -> None:
    errors: list[Exception] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(empty_url)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert migrate.is_current(empty_url)


def test_a_migration_waits_out_a_lock_instead_of_queueing_behind_it(cloned_url: str) -> None:
    with psycopg.connect(cloned_url) as reader:
        reader.execute("SELECT FROM outbox.notifications")
        undoing = threading.Thread(target=migrate.downgrade, args=(cloned_url, "base"))
        undoing.start()
        undoing.join(timeout=3)
        with psycopg.connect(cloned_url) as application:
            application.execute(INSERT)  # would hang for ever behind an ACCESS EXCLUSIVE lock that is waited for
            application.rollback()
        assert undoing.is_alive()
        reader.rollback()
    undoing.join(timeout=20)
    assert not undoing.is_alive()
    assert not migrate.is_current(cloned_url)


def test_the_metadata_equals_the_migrated_schema(cloned_url: str) -> None:
    with engine(cloned_url).connect() as connection:
        migrate.check_metadata(connection)


def test_the_printed_sql_makes_the_same_schema(empty_url: str) -> None:
    script = io.StringIO()
    migrate.print_sql(script)
    with psycopg.connect(empty_url, autocommit=True) as conn:
        conn.execute(script.getvalue().encode())
        conn.execute(INSERT)
    assert migrate.is_current(empty_url)
    with engine(empty_url).connect() as connection:
        migrate.check_metadata(connection)


def test_every_table_and_column_and_function_is_commented(conn: psycopg.Connection) -> None:
    silent = conn.execute(r"""
        SELECT c.oid::regclass || coalesce('.' || a.attname, '')
        FROM pg_class c
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
          AND (obj_description(c.oid) IS NULL OR (a.attnum IS NOT NULL AND col_description(c.oid, a.attnum) IS NULL))
        UNION ALL
        SELECT p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = 'outbox'::regnamespace AND obj_description(p.oid) IS NULL
    """)
    assert silent.fetchall() == []


def test_every_function_is_safe_from_the_callers_search_path(conn: psycopg.Connection) -> None:
    """Either it pins its own, or its body was resolved when it was made (SQL-standard bodies)."""
    unsafe = conn.execute(r"""
        SELECT p.proname FROM pg_proc p
        WHERE p.pronamespace = 'outbox'::regnamespace AND p.prosqlbody IS NULL
          AND NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']
    """)
    assert unsafe.fetchall() == []


def statements() -> Iterator[tuple[str, str, list[str]]]:
    """Every statement by its name, with those of its module that make temporary tables."""
    for module in pkgutil.iter_modules(outbox.queue.__path__, "outbox.queue."):
        values = {
            name: value for name, value in vars(importlib.import_module(module.name)).items() if type(value) is str
        }
        makes = [value for value in values.values() if value.lstrip().startswith("CREATE TEMPORARY")]
        for name, value in values.items():
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", value):
                yield f"{module.name}.{name}", value, makes


@pytest.mark.parametrize(("sql", "makes"), [pytest.param(sql, makes, id=name) for name, sql, makes in statements()])
def test_every_statement_of_the_package_prepares(conn: psycopg.Connection, sql: str, makes: list[str]) -> None:
    for make in makes:
        conn.execute(make.encode())
    numbered, _ = _numbered(re.sub(r"%\((\w+)\)s", r" :\1 ", sql))
    result = conn.pgconn.prepare(b"", numbered.encode())
    assert result.status == psycopg.pq.ExecStatus.COMMAND_OK, result.error_message.decode()


def test_a_plain_insert_is_a_complete_enqueue(conn: psycopg.Connection) -> None:
    conn.execute(INSERT)
    row = conn.execute("SELECT state, attempts, recipient FROM outbox.status").fetchone()
    assert row == ("due", 0, "ada@example.org")


def test_copy_enqueues(conn: psycopg.Connection) -> None:
    with conn.cursor().copy("COPY outbox.notifications (channel, recipient, idempotency_key) FROM STDIN") as copy:
        for number in range(50):
            copy.write_row(("email", f"user{number % 40}@example.org", f"key {number % 40}"))
    assert conn.execute("SELECT count(*) FROM outbox.status WHERE state = 'due'").fetchone() == (40,)


def test_insert_select_enqueues(conn: psycopg.Connection) -> None:
    conn.execute("""
        INSERT INTO outbox.notifications (channel, recipient, payload)
        SELECT 'sms', '+4470090000' || n, jsonb_build_object('text', n) FROM generate_series(10, 59) AS n
    """)
    assert conn.execute("SELECT count(*) FROM outbox.queue WHERE channel = 'sms'").fetchone() == (50,)


def test_an_orm_object_enqueues(database_url: str) -> None:
    class Base(DeclarativeBase):
        pass

    class Notification(Base):
        __table__ = schema.notifications

    with Session(engine(database_url)) as session:
        session.add(
            Notification(channel="email", recipient="ada@example.org", payload={"subject": "Hello", "text": "Hi"})
        )
        session.commit()
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT channel, priority FROM outbox.queue").fetchall() == [("email", 5)]


def test_ids_made_one_after_another_are_in_order_and_carry_their_time(conn: psycopg.Connection) -> None:
    row = conn.execute("""
        WITH made AS MATERIALIZED (SELECT n, outbox.uuid7() AS id FROM generate_series(1, 20000) AS n)
        SELECT count(*) FILTER (WHERE id < previous),
               max(abs(date_part('epoch', clock_timestamp() - outbox.uuid7_time(id)))),
               bool_and(outbox.uuid7_floor(outbox.uuid7_time(id)) <= id)
        FROM (SELECT id, lag(id) OVER (ORDER BY n) AS previous FROM made) made
    """).fetchone()
    assert row is not None
    backwards, age, floored = row
    assert backwards < 20_000 * 0.5  # only ids of one 4,096th of a millisecond are in no order
    assert age < 5
    assert floored


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "gen_random_uuid()"),
        ("priority", "10"),
        ("channel", "'E-Mail'"),
        ("recipient", "''"),
        ("recipient", "E'a@b.c\\r\\nRCPT TO:<x@y.z>'"),
        ("payload", "'[]'"),
        ("headers", "'1'"),
        ("idempotency_key", "repeat('k', 256)"),
        ("expires_at", "'infinity'"),
        ("run_at", "'-infinity'"),
        ("created_at", "'9999-12-31'"),
    ],
)
def test_the_table_refuses_nonsense(conn: psycopg.Connection, column: str, value: str) -> None:
    given = {"channel": "'email'", "recipient": "'ada@example.org'"} | {column: value}
    with pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(
            f"INSERT INTO outbox.notifications ({', '.join(given)}) VALUES ({', '.join(given.values())})".encode()
        )


def test_a_notification_cannot_be_changed(conn: psycopg.Connection) -> None:
    conn.execute(INSERT)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="never updated"):
        conn.execute("UPDATE outbox.notifications SET recipient = 'eve@example.org'")


def test_a_deleted_notification_leaves_no_work_behind(conn: psycopg.Connection) -> None:
    conn.execute(INSERT)
    conn.execute("DELETE FROM outbox.notifications")
    assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (0,)


def test_rows_of_a_day_without_a_partition_are_taken_by_the_default_one(cloned_url: str) -> None:
    with psycopg.connect(cloned_url, autocommit=True) as conn:
        conn.execute("""
            INSERT INTO outbox.notifications (id, channel, recipient)
            SELECT overlay(outbox.uuid7()::text PLACING left(floor::text, 13) FROM 1)::uuid,
                   'email', 'ada@example.org'
            FROM outbox.uuid7_floor(now() + interval '16 days') AS floor
        """)
        assert conn.execute("SELECT count(*) FROM outbox.notifications_default").fetchone() == (1,)
        (made,) = conn.execute("SELECT outbox.ensure_partitions(20)").fetchone() or (0,)
        assert made in {2 * 6 - 1, 2 * 7 - 1}, "six days lack theirs, or seven when midnight has passed since migrating"
        assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (1,)


def test_raw_sql_with_a_used_key_and_other_content_is_refused(conn: psycopg.Connection) -> None:
    insert = (
        "INSERT INTO outbox.notifications (channel, recipient, idempotency_key) VALUES ('email', %s, 'k') RETURNING id"
    )
    assert conn.execute(insert, ["ada@example.org"]).fetchone()
    assert conn.execute(insert, ["ada@example.org"]).fetchone() is None
    with pytest.raises(psycopg.errors.UniqueViolation, match="different content"):
        conn.execute(insert, ["eve@example.org"])
