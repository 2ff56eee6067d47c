"""Running the commands: in this process, in one of their own, and in one on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from outbox.__main__ import command_line

if TYPE_CHECKING:
    import typer
    from typer.testing import Result


@cache
def _app() -> typer.Typer:
    app = command_line().app
    assert app is not None
    return app  # type: ignore[no-any-return]


def run(url: str, *arguments: object, given: str | None = None) -> Result:
    """Run a command in this process, with `given` on its standard input."""
    env = {"OUTBOX_DATABASE_URL": url, "OUTBOX_CONFIG": None}
    result = CliRunner().invoke(_app(), [str(argument) for argument in arguments], input=given, env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_process(url: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, its output in pipes."""
    return subprocess.run(_words(arguments), check=False, capture_output=True, text=True, env=_env(url), timeout=60)


def run_on_a_terminal(url: str, *arguments: object, answer: str = "", columns: int = 160) -> tuple[int, str]:
    """Run a command on a terminal, where somebody types `answer`; return its exit code and all that was to be seen."""
    ours, theirs = pty.openpty()
    env = _env(url) | {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "50"}
    with subprocess.Popen(_words(arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says EIO when the other end is closed
                break
            if not part:
                break
            seen += part
        process.wait(timeout=60)
    os.close(ours)
    return process.returncode, seen.decode()


def _words(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "outbox", *(str(argument) for argument in arguments)]


def _env(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    return kept | {"OUTBOX_DATABASE_URL": url}
