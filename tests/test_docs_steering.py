"""What docs/steering.md and docs/terminal.md say is so."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg

from outbox.queue.follow import Attempt
from outbox.terminal.tail import line_of
from tests.command_line import run
from tests.endings import enter
from tests.hands import rows
from tests.test_docs import blocks

if TYPE_CHECKING:
    import pytest

PAGE = "docs/steering.md"


def test_the_commands_of_the_page_run(database_url: str) -> None:
    enter(database_url, "email")
    (commands,) = blocks(PAGE, "bash")
    for line in commands.splitlines():
        arguments = shlex.split(line, comments=True)[1:]
        assert run(database_url, *arguments, *["--force"] * (arguments[0] == "pause")).exit_code == 0, line
    done = rows(database_url, "SELECT action, subject, reason FROM outbox.audit ORDER BY id")
    assert done == [
        ("pause", "channel:email", "the welcome says Hello None"),
        ("pause", "provider:ses", None),
        ("resume", "channel:email", None),
        ("resume", "provider:ses", None),
    ]


def test_the_functions_and_the_sql_of_the_page_do_the_same(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database_url) as conn:
        exec(blocks(PAGE, "python")[0], {"conn": conn})  # noqa: S102 - our own page
    assert capsys.readouterr().out == "provider:ses on-call outage\n"
    pauses, reads, resumes = blocks(PAGE, "sql")[0].strip().splitlines()
    rows(database_url, pauses)
    assert [(scope, name) for scope, name, *_ in rows(database_url, reads)] == [("channel", "email")]
    rows(database_url, resumes)
    assert rows(database_url, reads) == []


def test_the_commands_of_the_page_about_the_terminal_run(database_url: str) -> None:
    enter(database_url, "email")
    commands = blocks("docs/terminal.md", "bash")[0]
    for line in commands.splitlines():
        done = run(database_url, *shlex.split(line, comments=True)[1:])
        assert done.exit_code == 0, (line, done.stderr)


def test_the_lines_on_the_page_are_as_tail_writes_them() -> None:
    (shown,) = blocks("docs/terminal.md", "console")
    for line in shown.splitlines()[1:]:
        took, _, identity = line.split()[-3:]
        _, channel, outcome, provider, *code = line.split()[:-3]
        moment = datetime.fromisoformat(f"2026-01-01T{line.split()[0]}").astimezone()
        attempt = Attempt(
            UUID(identity), 1, 1, channel, None, outcome, provider, None, " ".join(code), 1, moment, int(took) / 1_000
        )
        assert line_of(attempt).plain == line
