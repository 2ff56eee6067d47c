"""docs/tutorial.md is followed to the letter, in a fresh environment, with a database and a mail server of its own."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.typing_along import Step, Terminal, steps

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PORTS = ("5433", "2525", "8000", "8420")


def _with_free_ports(page: str) -> tuple[str, dict[str, int]]:
    """The page with other ports, since those may be taken here: the one thing in which it is not followed."""
    probes = [socket.socket() for _ in PORTS]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    free = {port: probe.getsockname()[1] for port, probe in zip(PORTS, probes, strict=True)}
    for probe in probes:
        probe.close()
    return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: str(free[found[0]]), page), free


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the checkout in it, and a `python3` that is ours."""
    (tmp_path / "outbox").symlink_to(ROOT)
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n')
    python.chmod(0o755)
    return tmp_path


def _environment(home: Path) -> dict[str, str]:
    """What a person's terminal has, and nothing that could lead to the checkout."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR", "USER") if name in os.environ}
    path = f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    return kept | {"HOME": str(home), "PATH": path, "TERM": "dumb", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}


def _follow(step: Step, terminals: dict[int, Terminal], folder: Path) -> None:
    for number in step.interrupted:
        terminals[number].interrupt()
    terminal = terminals[step.terminal]
    if step.language == "bash" and step.terminal == 1:
        terminal.finish(step.text)
    elif step.language == "bash":
        terminal.type(step.text)
    elif step.language == "text":
        terminal.sees(step.text)
    else:
        name = re.match(r"# (\w+\.py)\n", step.text)
        assert name, step
        (folder / name[1]).write_text(step.text)


@pytest.mark.timeout(900)  # an environment is made, six programs are started, and waits of retries are waited for
def test_the_tutorial_leads_to_a_delivered_email_and_to_all_that_it_promises_after_it(home: Path) -> None:
    page, ports = _with_free_ports(PAGE)
    pip = f'pip() {{ (cd {ROOT} && {sys.executable} -m tests.installing "$@"); }}'  # no package index here
    with contextlib.ExitStack() as opened:
        terminals = {
            number: opened.enter_context(Terminal(home, _environment(home), pip)) for number in range(6, 0, -1)
        }
        shown = set()
        for step in steps(page):
            _follow(step, terminals, home / "shop")
            shown.add(step.terminal)
            if step.language == "text" and "the dashboard is at" in step.text:
                with urllib.request.urlopen(f"http://127.0.0.1:{ports['8420']}/") as answer:
                    assert "outbox" in answer.read().decode()
        assert shown == {1, 2, 3, 4, 5, 6}
