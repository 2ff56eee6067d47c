"""What a command leaves on a connection that a pooler may share with others, and which commands refuse such a one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest

from outbox.importing.mapping import Mapping, Rule
from outbox.importing.source import Entry
from outbox.importing.task_list import transfer, translated
from outbox.importing.transfer import Tally, Transfer
from outbox.terminal import session
from tests.command_line import run
from tests.hands import rows

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.importing.source import Source

OFTEN = 8  # psycopg prepares what it has sent five times
PREPARED = "SELECT count(*) FROM pg_prepared_statements"
POOLED = (
    "error: this command needs a session of its own, and the connection goes through a pooler: "
    "connect to PostgreSQL itself (--database-url)\n"
)
SUPPRESSION = "channel,recipient,reason\nemail,ada@example.org,stop\n"
PREFERENCE = "channel,recipient,topic,wanted\nemail,ada@example.org,news,no\n"
WRITTEN = "SELECT (SELECT count(*) FROM outbox.suppressions), (SELECT count(*) FROM outbox.preferences)"
MAPPING = """
[tasks."shop.tasks.welcome"]
channel = "email"
recipient = "{email}"
"""


def task_of(number: int) -> dict[str, Any]:
    """Return a task as `celery inspect scheduled --json` has it."""
    named = {"email": f"user{number}@example.org", "subject": "a", "text": "b"}
    return {"id": f"task-{number}", "name": "shop.tasks.welcome", "args": [], "kwargs": named}


@pytest.mark.parametrize("connect", [session.writing, session.reading, session.watching, session.staging])
def test_no_command_prepares_a_statement(database_url: str, connect: Any) -> None:
    with connect(database_url) as conn:
        for _ in range(OFTEN):
            conn.execute("SELECT 1")
        assert conn.execute(PREPARED).fetchone() == (0,)


async def test_nor_does_one_that_is_asynchronous(database_url: str) -> None:
    async with session.awriting(database_url) as conn:
        for _ in range(OFTEN):
            await conn.execute("SELECT 1")
        assert await (await conn.execute(PREPARED)).fetchone() == (0,)


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--json",)])
@pytest.mark.parametrize(("table", "lines"), [("suppress", SUPPRESSION), ("preference", PREFERENCE)])
def test_an_import_of_a_file_refuses_a_pooler_and_says_what_to_do(
    database_url: str, monkeypatch: pytest.MonkeyPatch, table: str, lines: str, more: tuple[str, ...]
) -> None:
    monkeypatch.setattr(session, "is_pooled", lambda _: True)
    done = run(database_url, table, "import", "-", *more, given=lines)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", POOLED)
    assert rows(database_url, WRITTEN) == [(0, 0)]


def test_the_server_itself_is_not_taken_for_a_pooler(database_url: str) -> None:
    with session.staging(database_url) as conn:
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert not session.is_pooled(conn)


class OneRow:
    """A source that has one row, once; it sees how long a lock is waited for."""

    name = "one-row"

    def __init__(self, *conns: psycopg.Connection[Any]) -> None:
        self._conns = conns
        self.seen: list[str] = []

    def take(self, _: object, after: object, *__: object, **___: object) -> list[Entry]:
        self.seen.extend(map(patience, self._conns))
        return [] if after else [Entry(1, "task", (1,), {})]

    def translate(self, _: Entry) -> list[dict[str, Any]]:
        return [{"channel": "sms", "recipient": "+447700900001", "payload": {"text": "a"}, "idempotency_key": "one"}]

    def behind(self, *_: object) -> tuple[()]:
        return ()

    def mark(self, *_: object) -> None:
        self.seen.extend(map(patience, self._conns))


def patience(conn: psycopg.Connection[Any]) -> str:
    (found,) = conn.execute("SHOW lock_timeout").fetchall()
    return str(found[0])


@pytest.mark.parametrize("databases", [1, 2])
def test_how_long_an_import_waits_for_locks_ends_with_its_transaction(database_url: str, databases: int) -> None:
    with psycopg.connect(database_url) as here, psycopg.connect(database_url) as other:
        there = here if databases == 1 else other
        source = OneRow(here, there)
        importing = Transfer(cast("Source", source), there, here, Tally())
        for moved in (True, False):
            assert importing.step(10) == moved
            assert {conn.info.transaction_status for conn in (here, there)} == {psycopg.pq.TransactionStatus.IDLE}
            assert [patience(conn) for conn in (here, there)] == ["0", "0"]
            here.rollback()
            there.rollback()
    assert source.seen == ["5s"] * 6


def test_how_long_an_import_of_tasks_waits_for_locks_ends_with_its_transaction(database_url: str) -> None:
    rules = Mapping(tasks={"shop.tasks.welcome": Rule(channel="email", recipient="{email}")})
    tally = Tally()
    with psycopg.connect(database_url) as conn:
        found = translated(iter([task_of(number) for number in range(3)]), rules, tally)
        while transfer(found, conn, 2, tally):
            assert patience(conn) == "0"
            conn.rollback()
    assert tally.imported.total() == 3


def test_an_import_gives_up_a_lock_that_somebody_keeps(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.importing.transfer.PATIENCE", "SELECT set_config('lock_timeout', '200ms', true)")
    file, rules = tmp_path / "tasks.json", tmp_path / "mapping.toml"
    file.write_text("".join(json.dumps(task_of(number)) + "\n" for number in range(3)))
    rules.write_text(MAPPING)
    with psycopg.connect(database_url) as somebody:
        somebody.execute("LOCK TABLE outbox.idempotency_keys")
        done = run(database_url, "import", "celery", file, "--map", rules)
    assert (done.exit_code, "canceling statement due to lock timeout" in done.stderr) == (1, True)
    assert run(database_url, "import", "celery", file, "--map", rules).stdout == "✓ imported 3 from celery\n"
