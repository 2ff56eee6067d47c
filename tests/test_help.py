"""`--help` teaches: every command says what it does, and shows a line that works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

from outbox.__main__ import command_line
from tests.command_line import run, run_process

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDS = {"|", "||", "&&", ">", ">>", "<", ";", "(", ")"}


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command by its words after `outbox`, the groups and the program itself among them."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, (*path, name))


ROOT = get_command(command_line().app)
COMMANDS = dict(walk(ROOT))
EVERY = pytest.mark.parametrize("path", [*COMMANDS], ids=lambda path: " ".join(path) or "outbox")


def examples(command: Any) -> list[str]:
    return [
        " ".join(found.split())
        for found in re.findall(r"^Example: (.*?)(?:\n\n|\Z)", command.help, re.MULTILINE | re.DOTALL)
    ]


def commands_in(line: str) -> list[list[str]]:
    """The words after each `outbox` that a shell would run; those within $(…) too."""
    inner = re.findall(r"\$\((.*?)\)", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[list[str]] = []
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word in _ENDS:
            found += [words[1:]] if words[:1] == ["outbox"] else []
            words = []
        else:
            words.append(word)
    return [*found, *(each for line in inner for each in commands_in(line))]


def find(words: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The command that these words run, and its arguments."""
    path: tuple[str, ...] = ()
    while words and (*path, words[0]) in COMMANDS:
        path, words = (*path, words[0]), words[1:]
    return path, words


@EVERY
def test_a_command_says_what_it_does_and_how_it_is_typed(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert len(command.help.split("\n\n")[0]) > 20
    lines = examples(command)
    assert lines, "it has no line that begins with Example:"
    for line in lines:
        ours = commands_in(line)
        assert any(words[: len(path)] == list(path) for words in ours), f"{line} does not run it"
        for words in ours:
            found, arguments = find(words)
            # It reads what the shell would give it, refuses what it does not know, and runs nothing.
            with COMMANDS[found].make_context(" ".join(found), list(arguments)):
                pass


@EVERY
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    silent = [each.name for each in COMMANDS[path].params if not getattr(each, "help", None)]
    assert silent == []


@EVERY
def test_help_shows_the_example_in_one_piece(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    result = run("", *path, "-h")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    assert "--help" in shown
    for line in examples(COMMANDS[path]):
        assert line in shown


def test_help_waits_for_no_module_that_it_does_not_need() -> None:
    program = "import sys\nfrom outbox.__main__ import command_line\ncommand_line()\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    packages = {name.partition(".")[0] for name in loaded.split()}
    heavy = {"alembic", "httpx", "jinja2", "prometheus_client", "psycopg", "pydantic", "rich", "sqlalchemy", "textual"}
    assert heavy.intersection(packages) == set()


def test_every_command_is_in_a_panel_of_its_kind() -> None:
    panels = {name: command.rich_help_panel for name, command in COMMANDS[()].commands.items() if not command.hidden}
    assert set(panels.values()) == {"Start here", "Database", "Delivery", "Look and mend", "Steer and watch"}


def test_the_program_says_what_exit_codes_mean() -> None:
    assert "0 done, 1 it could not be done" in COMMANDS[()].help


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["statu"], "status"), (["migrat"], "migrate"), (["dead-leters"], "dead-letters"), (["suppress", "ad"], "add")],
)
def test_a_slip_is_answered_with_the_nearest_command(typed: list[str], meant: str) -> None:
    done = run_process("", *typed)
    assert done.returncode == 2
    assert "Did you mean" in done.stderr
    assert f"'{meant}'" in done.stderr


def test_a_slip_in_an_option_is_answered_with_the_nearest_one() -> None:
    done = run_process("", "worker", "--chanel", "email")
    assert done.returncode == 2
    assert "--channel" in done.stderr
