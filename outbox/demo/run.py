"""`outbox demo`: a database, the scenario, the report, and a clean house afterwards."""

from __future__ import annotations

import shutil
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from outbox.children import Children
from outbox.demo.audit import audit
from outbox.demo.closing import print_document, print_how_to_keep, print_next, print_report
from outbox.demo.database import database_of_its_own, database_on
from outbox.demo.display import Display
from outbox.demo.scenario import play
from outbox.devdb import DevServerError, find_binaries
from outbox.terminal.output import note
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from outbox.demo.evidence import Evidence

_INTERRUPTED = 128 + signal.SIGINT


def run(server_url: str | None, *, signups: int, seed: int, keep: bool, as_json: bool) -> int:
    """Run the demo on a server of its own, or in a new database on that of `server_url`; returns the exit code.

    0 everything adds up, 1 it does not, 130 it was interrupted.

    Raises:
        OutboxError: the demo could not be run to its end.
        psycopg.OperationalError: the server cannot be reached.
    """
    signal.signal(signal.SIGTERM, _leave)
    try:
        return _run(server_url, signups=signups, seed=seed, keep=keep, as_json=as_json)
    except KeyboardInterrupt:
        complain("interrupted; its processes and its files are gone")
        return _INTERRUPTED


def _run(server_url: str | None, *, signups: int, seed: int, keep: bool, as_json: bool) -> int:
    display = Display(Console(stderr=as_json, highlight=False), signups)
    database = database_on(server_url, keep=keep) if server_url else database_of_its_own()
    with database as url, Children("demo") as children:
        with display:
            evidence = play(url, signups, seed, display, children)
        verdict = audit(evidence)
        if as_json:
            print_document(verdict, {"signups": signups, "seed": seed, "database_url": url if keep else None})
        else:
            print_report(verdict)
        if keep and not as_json:
            print_next(url, _story(evidence), _psql())
        elif not keep:
            print_how_to_keep()
        if keep and not server_url:
            _wait_for_ctrl_c()
    return 0 if verdict.holds else FAILED


def _leave(number: int, _: object) -> NoReturn:
    """End as after an exception, so that everything is cleaned up."""
    raise SystemExit(128 + number)


def _story(evidence: Evidence) -> str:
    """Return the id of the notification that had the most trouble, one that outlived its worker if possible."""
    return max(evidence.notifications, key=lambda each: ("lost" in each.outcomes, len(each.outcomes))).id


def _psql() -> str | None:
    """Return psql as it can be typed, if there is one."""
    if shutil.which("psql"):
        return "psql"
    with suppress(DevServerError):
        if (program := find_binaries() / "psql").is_file():
            return str(program)
    return None


def _wait_for_ctrl_c() -> None:
    note("PostgreSQL runs until Ctrl-C, and then all of it goes")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
