"""Running the commands: in this process, in one of their own, and in one on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from outbox.__main__ import command_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import typer
    from typer.testing import Result


NOTHING: Mapping[str, str] = MappingProxyType({})


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


def run_process(
    url: str, *arguments: object, cwd: Path | None = None, env: Mapping[str, str] = NOTHING
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, its output in pipes, with `env` over the environment."""
    return subprocess.run(
        _words(arguments), check=False, capture_output=True, text=True, env={**_env(url), **env}, timeout=60, cwd=cwd
    )


def started(url: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own, its output in pipes."""
    pipe = subprocess.PIPE
    return subprocess.Popen(_words(arguments), stdout=pipe, stderr=pipe, text=True, env=_env(url))


def run_on_a_terminal(
    url: str,
    *arguments: object,
    answer: str = "",
    columns: int = 160,
    cwd: Path | None = None,
    env: Mapping[str, str] = NOTHING,
) -> tuple[int, str]:
    """Run a command on a terminal, where somebody types `answer`; return its exit code and all that was to be seen."""
    ours, theirs = pty.openpty()
    env = {**_env(url), "TERM": "xterm", "COLUMNS": str(columns), "LINES": "50", **env}
    with subprocess.Popen(_words(arguments), stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=cwd) as process:
        os.close(theirs)
        try:
            os.write(ours, answer.encode())
            seen = _read(ours)
            process.wait(timeout=60)
        finally:
            process.kill()  # one that waits for an answer that nobody gives would be waited for
    os.close(ours)
    return process.returncode, seen.decode()


def _read(terminal: int) -> bytes:
    seen = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux says EIO when the other end is closed
            return seen
        if not part:
            return seen
        seen += part


def _words(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "outbox", *(str(argument) for argument in arguments)]


def _env(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    return kept | {"OUTBOX_DATABASE_URL": url}
