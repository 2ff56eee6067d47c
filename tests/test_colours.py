"""Colours are where a person looks and wants them, and nowhere else."""

from __future__ import annotations

import re

import pytest

from outbox.outcomes import Dead, Failure
from tests.command_line import run_on_a_terminal, run_process
from tests.hands import claim, enqueue, settle

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m")
ESCAPE = "\x1b"

COMMANDS = [
    ("--help",),
    ("status",),
    ("workers",),
    ("check",),
    ("doctor", "--only", "connection"),
    ("dead-letters", "list"),
    ("dead-letters", "groups"),
    ("explain", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ("migrate",),
    ("statu",),
]
ids = " ".join


@pytest.fixture
async def url(database_url: str) -> str:
    enqueue(database_url)
    (claimed,) = await claim(database_url)
    refused = Failure("unreachable", "550 5.1.1", "no such user")
    await settle(database_url, claimed, Dead(provider="smtp", failure=refused, reason="unreachable"))
    return database_url


@pytest.mark.parametrize("words", COMMANDS, ids=ids)
async def test_no_color_means_none(url: str, words: tuple[str, ...]) -> None:
    _, seen = run_on_a_terminal(url, *words, env={"NO_COLOR": "1", "FORCE_COLOR": "1"})
    assert seen.strip()
    assert COLOUR.findall(seen) == []


@pytest.mark.parametrize("words", COMMANDS, ids=ids)
async def test_in_a_pipe_all_is_plain(url: str, words: tuple[str, ...]) -> None:
    done = run_process(url, *words)
    assert (done.stdout + done.stderr).strip()
    assert ESCAPE not in done.stdout + done.stderr


@pytest.mark.parametrize("words", [("status",), ("doctor", "--only", "connection"), ("statu",)], ids=ids)
async def test_a_dumb_terminal_gets_text(url: str, words: tuple[str, ...]) -> None:
    _, seen = run_on_a_terminal(url, *words, env={"TERM": "dumb"})
    assert seen.strip()
    assert ESCAPE not in seen


@pytest.mark.parametrize("words", [("status",), ("--help",), ("explain", "nothing")], ids=ids)
async def test_a_terminal_gets_colours_or_weights(url: str, words: tuple[str, ...]) -> None:
    _, seen = run_on_a_terminal(url, *words, env={"NO_COLOR": ""})
    assert ESCAPE in seen


@pytest.mark.parametrize(
    ("env", "coloured"),
    [
        ({"FORCE_COLOR": "1"}, True),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"CLICOLOR_FORCE": "0"}, False),
        ({"FORCE_COLOR": "0"}, False),
        ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, False),
    ],
)
def test_colours_can_be_forced_into_a_pipe(env: dict[str, str], coloured: bool) -> None:  # noqa: FBT001
    done = run_process("", "explain", "nothing", env={"TERM": "xterm"} | env)
    assert bool(COLOUR.search(done.stderr)) is coloured
