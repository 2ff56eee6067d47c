from __future__ import annotations

import contextlib
import secrets
import struct
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.devdb import LocalPostgres
from outbox.doctor import horizon
from outbox.doctor.horizon import without_values
from tests.doctor.examined import becomes, finding, findings, session, status, type_
from tests.hands import rows
from tests.listening import handed_notifications
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def replicated() -> Iterator[str]:
    """A server that can have replication slots and prepared transactions."""
    settings = {"wal_level": "logical", "max_prepared_transactions": "5", "max_replication_slots": "5"}
    with LocalPostgres(durable=False, settings=settings) as server:
        yield server.url


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "_LONG", 0.1)


def test_a_session_that_keeps_a_transaction_open_is_named_and_ended(cloned_url: str) -> None:
    assert status(cloned_url, "open-transactions") == "ok"
    writes = "CREATE TEMPORARY TABLE people AS SELECT 'ada@example.org' AS email, 42 AS age -- of Ada"
    with session(cloned_url, writes, application_name="night report") as held:
        becomes(cloned_url, "open-transactions", "warning")
        found = finding(cloned_url, "open-transactions")
        pid = held.info.backend_pid
        assert found.finding.startswith(f"pid {pid} (postgres, night report, from ")
        assert found.finding.endswith("idle in transaction")
        assert found.details["pid"] == pid
        assert found.aside == "CREATE TEMPORARY TABLE people AS SELECT ? AS email, ? AS age ?"
        assert "query" not in found.details
        type_(cloned_url, found.remedy)
        becomes(cloned_url, "open-transactions", "ok")
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")


def test_a_session_that_is_handed_what_it_listens_for_keeps_none_open(cloned_url: str) -> None:
    with handed_notifications(cloned_url, application_name="an application"):
        assert status(cloned_url, "open-transactions") == "ok"


def test_one_that_lasts_for_minutes_is_a_failure(cloned_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "_VERY_LONG", 0.1)
    with session(cloned_url, "SELECT pg_current_xact_id()"):
        becomes(cloned_url, "open-transactions", "failure")


def test_a_snapshot_of_another_database_holds_nothing_up(cloned_url: str, empty_url: str) -> None:
    with session(empty_url, "SELECT pg_current_xact_id()"):
        becomes(empty_url, "open-transactions", "warning")
        assert status(cloned_url, "open-transactions") == "ok"


def test_who_may_not_see_the_sessions_of_others_is_told_so_and_what_to_grant(cloned_url: str) -> None:
    role = f"t{secrets.token_hex(4)}"
    type_(cloned_url, f"CREATE ROLE {role} LOGIN")
    url = f"{cloned_url}{'&' if '?' in cloned_url else '?'}options=-c%20role%3D{role}"
    try:
        with session(cloned_url, "SELECT pg_current_xact_id()"):
            becomes(cloned_url, "open-transactions", "warning")
            found = finding(url, "open-transactions")
            assert (found.status, found.remedy) == ("unknown", f'GRANT pg_read_all_stats TO "{role}"')
            type_(cloned_url, found.remedy)
            assert status(url, "open-transactions") == "warning"
    finally:
        type_(cloned_url, f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT 'it''s Ada', E'x', 42, 1.5e3, t1.c2", "SELECT ?, ?, ?, ?, t1.c2"),
        ("SELECT $$Ada$$, $a$B$b$$a$ /* secret */", "SELECT ?, ? ?"),
        ("UPDATE people SET name = 'cut off in the mid", "UPDATE people SET name = ?"),
        ("SELECT 1 -- ada@example.org", "SELECT ? ?"),
        ("SELECT\n\t$1\x07", "SELECT $1"),
        ("SELECT E'it\\'s Ada', 'a\\', 'Ada'", "SELECT ?, ?, ?"),
        ("SELECT \"it's\", 'Ada' FROM \"t'2\"", 'SELECT "it\'s", ? FROM "t\'2"'),
        ("/* app:a */ SELECT 1 /* of /* Ada */ 'x' */ SELECT", "? SELECT ? ?"),
    ],
)
def test_a_query_is_shown_without_the_values_in_it(query: str, shown: str) -> None:
    assert without_values(query) == shown


PIECES = st.sampled_from(["'", "''", "\\", "\\'", '"', "$", "$a$", "$$", "--", "/*", "*/", "E", "geheim", "1", "\n"])
QUOTED = (
    lambda text: "'" + text.replace("'", "''") + "'",
    lambda text: "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    lambda text: f"$of$ {text} $of$",
    lambda text: f"-- {text}".replace("\n", " ") + "\n",
)


@given(st.lists(st.tuples(st.lists(PIECES, max_size=6), st.sampled_from(QUOTED)), max_size=5), st.integers(0, 200))
def test_nothing_that_is_quoted_is_shown_however_it_is_quoted_and_wherever_it_is_cut(
    values: list[tuple[list[str], Callable[[str], str]]], cut: int
) -> None:
    query = "SELECT a " + " , b ".join(quote("geheim".join(["", *pieces, ""])) for pieces, quote in values)
    assert "geheim" not in without_values(query[:cut])


def test_a_prepared_transaction_that_nobody_ended_is_named_and_rolled_back(replicated: str) -> None:
    assert status(replicated, "prepared-transactions") == "ok"
    with psycopg.connect(replicated) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS t ()")
        conn.execute("PREPARE TRANSACTION 'it''s left'")
        conn.rollback()
    becomes(replicated, "prepared-transactions", "warning")
    found = finding(replicated, "prepared-transactions")
    assert found.finding.startswith('the prepared transaction "it\'s left" of postgres is ')
    type_(replicated, found.remedy)
    assert status(replicated, "prepared-transactions") == "ok"


def test_a_logical_slot_that_nobody_reads_is_named_and_dropped(replicated: str) -> None:
    assert status(replicated, "replication-slots") == "ok"
    rows(replicated, "SELECT pg_create_logical_replication_slot('left', 'pgoutput')")
    found = finding(replicated, "replication-slots")
    assert found.status == "warning"
    assert found.finding == "the logical replication slot left, used by nobody, keeps old rows of the catalog"
    type_(replicated, found.remedy)
    assert status(replicated, "replication-slots") == "ok"


def test_a_slot_that_keeps_much_wal_is_a_failure(replicated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "_MUCH_WAL", 1 / 1024)
    monkeypatch.setattr(horizon, "_TOO_MUCH_WAL", 2 / 1024)
    rows(replicated, "SELECT pg_create_physical_replication_slot('standby', true)")
    assert status(replicated, "replication-slots") == "ok"
    rows(replicated, "CREATE TABLE filler AS SELECT repeat('x', 2000) FROM generate_series(1, 3000)")
    found = finding(replicated, "replication-slots")
    assert found.status == "failure"
    assert found.finding.endswith("GiB of WAL")
    type_(replicated, found.remedy)
    rows(replicated, "DROP TABLE filler")


@contextlib.contextmanager
def standby(url: str, xmin: int, slot: str = "") -> Iterator[None]:
    """A standby with hot_standby_feedback, as far as the server can see: it says which rows it still needs."""
    with psycopg.connect(f"{url}&replication=database", autocommit=True, application_name="db2") as conn:
        pgconn = conn.pgconn
        ((_, timeline, position, _),) = conn.execute("IDENTIFY_SYSTEM").fetchall()
        pgconn.send_query(f"START_REPLICATION {slot} PHYSICAL {position} TIMELINE {timeline}".encode())
        wait_until(lambda: pgconn.get_result().status == psycopg.pq.ExecStatus.COPY_BOTH)  # type: ignore[union-attr]
        clock = int((time.time() - 946_684_800) * 1_000_000)  # of PostgreSQL: microseconds since 2000
        pgconn.put_copy_data(struct.pack("!cqiiii", b"h", clock, xmin, 0, 0, 0))
        pgconn.flush()
        yield
        conn.close()


def old_row(url: str) -> int:
    """An id of a transaction since which there were twenty."""
    ((xmin,),) = rows(url, "SELECT CAST(CAST(pg_current_xact_id() AS text) AS integer)")
    with psycopg.connect(url, autocommit=True) as conn:
        for _ in range(20):
            conn.execute("SELECT pg_current_xact_id()")
    return int(xmin)


def test_a_standby_that_needs_old_rows_is_named(replicated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(horizon, "_FEEDBACK_MANY", 10)
    with standby(replicated, old_row(replicated)):
        becomes(replicated, "standbys", "warning")
        found = finding(replicated, "standbys")
        assert found.finding.startswith("the standby db2 (pid ")
        assert found.details["transactions"] >= 20
    becomes(replicated, "standbys", "ok")


def test_the_slot_of_a_standby_is_named_while_that_needs_old_rows_and_when_it_is_gone(
    replicated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(replicated, "SELECT pg_create_physical_replication_slot('db2', true)")
    with standby(replicated, old_row(replicated), "SLOT db2"):
        wait_until(lambda: rows(replicated, "SELECT 1 FROM pg_replication_slots WHERE xmin IS NOT NULL"))
        assert status(replicated, "replication-slots") == "ok", "it is in use, and not far behind"
        monkeypatch.setattr(horizon, "_MANY", 10)
        found = finding(replicated, "replication-slots")
        assert (found.status, found.details["active"]) == ("failure", True)
        type_(replicated, found.remedy)
    monkeypatch.undo()
    wait_until(lambda: rows(replicated, "SELECT 1 FROM pg_replication_slots WHERE active") == [])
    found = finding(replicated, "replication-slots")
    assert (found.status, found.details["active"]) == ("warning", False)
    assert found.finding == "the physical replication slot db2, used by nobody, keeps old rows"
    type_(replicated, found.remedy)
    assert status(replicated, "replication-slots") == "ok"


def test_all_of_them_together_are_told_one_by_one(replicated: str) -> None:
    names: list[Any] = []
    with session(replicated, "SELECT pg_current_xact_id()"), session(replicated, "SELECT pg_current_xact_id()"):
        wait_until(lambda: len(findings(replicated, "open-transactions")) == 2)
        names = [one.details["pid"] for one in findings(replicated, "open-transactions")]
    assert len(set(names)) == 2
