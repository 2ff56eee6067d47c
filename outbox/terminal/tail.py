"""`outbox tail`: attempts as they are settled, a line each."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
from rich.text import Text

from outbox.config.problems import nearest
from outbox.database import describe
from outbox.durations import parse
from outbox.errors import ConfigError, clean
from outbox.queue.follow import FAILED, Following
from outbox.terminal.output import json_line, note, say
from outbox.terminal.session import watching
from outbox.terminal.setup import is_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.queue.follow import Attempt

OUTCOMES = ("sent", "retry", "dead", "deferred", "suppressed", "expired", "ambiguous", "lost", "cancelled")
_COLOURS = {"sent": "green", "dead": "bold red", "retry": "yellow", "ambiguous": "magenta", "lost": "magenta"}
_EVERY = 0.5
_AWAY = 2.0
_KEPT = 2


def run(url: str, given: Mapping[str, Any]) -> int:
    """Print each attempt once, as it is settled, until Ctrl-C, or until nobody reads on.

    Raises:
        ConfigError: an argument was refused.
    """
    since = _seconds(given["since"])
    following = Following(channels=given["channel"] or (), providers=given["provider"] or (), outcomes=_outcomes(given))
    shown = _Lines(as_json=given["json"], recipients=given["recipients"])
    try:
        _follow(url, following, shown, since)
    except BrokenPipeError:
        # Whoever read it has gone, as `head` does. What Python would still flush goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        pass
    return 0


def _follow(url: str, following: Following, shown: _Lines, since: float) -> NoReturn:
    started = False
    while True:
        try:
            with watching(url) as conn:
                if not started:
                    shown.print(following.start(conn, since))
                    started = True
                while True:
                    shown.print(following.look(conn))
                    time.sleep(_EVERY)
        except psycopg.OperationalError as error:
            if not started:
                raise
            note(f"the database is away ({describe(error)}); what is settled meanwhile is shown when it is back")
            time.sleep(_AWAY)


def line_of(attempt: Attempt) -> Text:
    """Return an attempt as one line."""
    took = "-" if attempt.took is None else f"{attempt.took * 1000:,.0f} ms"
    return Text.assemble(
        (f"{attempt.finished_at.astimezone():%H:%M:%S.%f}"[:12], "dim"),
        f"  {clean(attempt.channel or '-'):<8}  ",
        (f"{attempt.outcome:<10}", _COLOURS.get(attempt.outcome, "")),
        f"  {clean(attempt.provider or '-'):<10}  {clean(attempt.error_code or attempt.error_class or '-'):<14}",
        f"  {took:>9}  {attempt.id}",
    )


class _Lines:
    def __init__(self, *, as_json: bool, recipients: bool) -> None:
        self._as_json = as_json
        self._recipients = recipients

    def print(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            if self._as_json:
                sys.stdout.write(json_line(self._document(attempt)) + "\n")
            elif is_terminal():
                say(self._line(attempt))
            else:
                sys.stdout.write(self._line(attempt).plain + "\n")
        sys.stdout.flush()

    def _line(self, attempt: Attempt) -> Text:
        line = line_of(attempt)
        return line.append(f"  {masked(attempt.recipient)}") if self._recipients else line

    def _document(self, attempt: Attempt) -> dict[str, Any]:
        shown = {"recipient": masked(attempt.recipient)} if self._recipients else {}
        return {
            "finished_at": attempt.finished_at,
            "id": attempt.id,
            "claim": attempt.claim,
            "attempt": attempt.attempt,
            "channel": attempt.channel,
            "outcome": attempt.outcome,
            "provider": attempt.provider,
            "error_class": attempt.error_class,
            "error_code": attempt.error_code,
            "took_seconds": attempt.took,
            "worker": attempt.worker,
        } | shown


def masked(recipient: str | None) -> str:
    """Return enough of a recipient to know it again, and too little to write to: `a…@example.org`, `+4…78`."""
    if recipient is None:
        return "-"
    name, at, domain = clean(recipient).rpartition("@")
    if at and name:
        return f"{name[:1]}…@{domain}"
    return f"{domain[:_KEPT]}…{domain[-_KEPT:]}" if len(domain) > 4 * _KEPT else "…"


def _seconds(text: str | None) -> float:
    try:
        return 0.0 if text is None else parse(text)
    except ValueError as error:
        raise ConfigError([f"--since: {error}"]) from None


def _outcomes(given: Mapping[str, Any]) -> Sequence[str]:
    named = given["outcome"] or ()
    problems = [f"--outcome: {name!r} is none; {nearest(name, OUTCOMES)}" for name in named if name not in OUTCOMES]
    if named and given["failed"]:
        problems.append("--failed stands for some outcomes: give it, or --outcome")
    if problems:
        raise ConfigError(problems)
    return FAILED if given["failed"] else named
