"""What people do by hand is written down, once, in the transaction that does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.errors import NotInTransaction
from outbox.queue.audit import list_audit, record
from outbox.terminal.actor import whoami
from tests.hands import rows

if TYPE_CHECKING:
    from psycopg import Connection


def test_what_is_recorded_is_read_back_the_newest_first(conn: Connection) -> None:
    first = record(conn, actor="ada@desk", action="pause", subject="channel:email", reason="a bad template")
    second = record(conn, actor="bob@desk", action="replay", subject="all", details={"count": 3})

    newest, oldest = list_audit(conn)

    assert (newest.id, newest.actor, newest.action, newest.details) == (second, "bob@desk", "replay", {"count": 3})
    assert (oldest.id, oldest.reason, oldest.details) == (first, "a bad template", {})
    assert oldest.login == conn.info.user


def test_it_can_be_asked_for_by_subject_actor_and_action_and_in_pages(conn: Connection) -> None:
    ids = [record(conn, actor=actor, action=action, subject=subject) for actor, action, subject in _DONE]

    assert [entry.id for entry in list_audit(conn, subject="channel:email")] == [ids[2], ids[0]]
    assert [entry.id for entry in list_audit(conn, actor="bob")] == [ids[1]]
    assert [entry.id for entry in list_audit(conn, actions=["resume", "replay"])] == [ids[2], ids[1]]
    assert [entry.id for entry in list_audit(conn, limit=1, before=ids[2])] == [ids[1]]


_DONE = [("ada", "pause", "channel:email"), ("bob", "replay", "all"), ("ada", "resume", "channel:email")]


def test_what_is_undone_was_not_done(conn: Connection) -> None:
    record(conn, actor="ada", action="pause", subject="channel:email")
    conn.rollback()

    assert list_audit(conn) == []


def test_outside_of_a_transaction_nothing_is_recorded(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn, pytest.raises(NotInTransaction):
        record(conn, actor="ada", action="pause", subject="channel:email")


@pytest.mark.parametrize("statement", ["UPDATE outbox.audit SET actor = 'eve'", "DELETE FROM outbox.audit"])
def test_nobody_rewrites_it_the_owner_included(conn: Connection, statement: str) -> None:
    record(conn, actor="ada", action="pause", subject="channel:email")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="written once"):
        conn.execute(statement.encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor": ""},
        {"action": "Do it"},
        {"subject": "x" * 201},
        {"reason": "x" * 1_001},
        {"details": {"x": "y" * 10_000}},
    ],
)
def test_what_is_too_long_or_no_verb_is_refused(conn: Connection, wrong: dict[str, object]) -> None:
    entry: dict[str, object] = {"actor": "ada", "action": "pause", "subject": "channel:email"} | wrong

    with pytest.raises(psycopg.errors.CheckViolation):
        record(conn, **entry)  # type: ignore[arg-type]


def test_who_types_is_a_user_of_a_machine(database_url: str) -> None:
    user, _, host = whoami().partition("@")

    assert user
    assert host
    assert rows(database_url, "SELECT count(*) FROM outbox.audit") == [(0,)]
