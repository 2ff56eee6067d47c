"""What docs/steering.md says is so."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import psycopg

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
