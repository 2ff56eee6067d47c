"""`outbox top`: the screen, or one frame of it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from outbox.durations import parse
from outbox.errors import ConfigError
from outbox.spelling import nearest
from outbox.terminal.top import paper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

THEMES = ("auto", "dark", "light", "terminal")
_SHORTEST = 0.1
_LONGEST = 3_600.0


def run(url: str, given: Mapping[str, Any]) -> int:
    """Show the screen until somebody leaves it; with `once` or `json`, print one frame.

    Raises:
        ConfigError: the arguments will not do, there is no terminal, or the extra is not installed.
    """
    interval = _interval(given["interval"])
    if given["theme"] not in THEMES:
        raise ConfigError(
            [f"--theme {given['theme']}: is none of {', '.join(THEMES)}: {nearest(given['theme'], THEMES)}"]
        )
    asked: Sequence[str] = given["channel"] or ()
    if given["once"] or given["json"]:
        return paper.show(url, lambda channel: not asked or channel in asked, as_json=given["json"])
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(["the screen of outbox top needs a terminal: in a pipe or a script, use --once or --json"])
    return int(_screen().run(url, interval=interval, theme=given["theme"], channels=asked))


def _interval(text: str) -> float:
    try:
        seconds = parse(text)
    except ValueError as error:
        raise ConfigError([f"--interval: {error}"]) from None
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ConfigError([f"--interval {text}: is not between 100ms and 1h"])
    return seconds


def _screen() -> Any:
    """Import the screen, or say what is missing."""
    try:
        return import_module("outbox.terminal.top.screen.app")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        problem = "textual is not installed: the screen of outbox top needs the extra top: pip install 'outbox[top]'"
        raise ConfigError([f"{problem}; --once and --json do without"]) from None
