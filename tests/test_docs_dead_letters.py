"""The page about dead letters is run from top to bottom, beside a worker that delivers again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import psycopg

from outbox.outcomes import Sent
from tests.command_line import run
from tests.endings import enter, put_dead
from tests.hands import rows
from tests.test_docs import blocks
from tests.test_letter_commands import BUSY, at_work
from tests.waiting import wait_until

if TYPE_CHECKING:
    import pytest

PAGE = "docs/dead-letters.md"


def test_the_commands_on_the_page_run(cloned_url: str) -> None:
    looks, tries, closes = blocks(PAGE, "bash")
    put_dead(cloned_url, 12, BUSY, template="welcome")
    enter(cloned_url, "email")
    with at_work(cloned_url, lambda _: Sent(provider="smtp")):
        for line in (looks + tries).splitlines():
            result = run(cloned_url, *shlex.split(line, comments=True)[1:])
            assert result.exit_code == 0, (line, result.stderr)
        wait_until(lambda: not rows(cloned_url, "SELECT 1 FROM outbox.queue LIMIT 1"))
    assert rows(cloned_url, "SELECT resolution, count(*) FROM outbox.dead_letters GROUP BY 1") == [("replayed", 12)]

    put_dead(cloned_url, 2, BUSY, template="welcome")
    outputs = [run(cloned_url, *shlex.split(line, comments=True)[1:]).stdout for line in closes.splitlines()]
    assert len(outputs[0].splitlines()) == 2
    assert outputs[1] == "✓ discarded 2 dead letters\n"
    audited = rows(cloned_url, blocks(PAGE, "sql")[0])
    assert [(row[2], row[3], row[4]) for row in audited] == [
        ("discard", "group:c2fc52028c", "a list that was bought"),
        ("replay", "group:c2fc52028c", "the relay is back"),
        ("replay", "group:c2fc52028c", "the relay is back"),
    ]


def test_the_program_on_the_page_replays_the_group(cloned_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    put_dead(cloned_url, 12, BUSY, template="welcome")
    put_dead(cloned_url, 1)
    (program,) = blocks(PAGE, "python")
    with at_work(cloned_url, lambda _: Sent(provider="smtp")), psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn})  # noqa: S102 - our own page
    assert rows(cloned_url, "SELECT count(*) FROM outbox.dead_letters WHERE resolution = 'replayed'") == [(12,)]
    assert capsys.readouterr().out == ""
