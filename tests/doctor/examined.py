"""Making single checks, and typing the remedies of what they find."""

from __future__ import annotations

import contextlib
import re
import shlex
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.config import Config
from outbox.doctor.examination import choose, examine
from outbox.doctor.finding import worst
from outbox.doctor.patient import Patient
from tests.command_line import run
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding, Status


def findings(url: str, name: str, settings: Config | None = None) -> list[Finding]:
    """Make one check."""
    patient = Patient(url, settings or Config())
    try:
        (result,) = [result for result in examine(patient, choose([name])) if result.check.name == name]
    finally:
        patient.close()
    return list(result.findings)


def finding(url: str, name: str, settings: Config | None = None) -> Finding:
    """Make one check that finds one thing amiss; what is well beside it does not count."""
    found = findings(url, name, settings)
    amiss = [one for one in found if one.status != "ok"]
    assert len(amiss) == 1, found
    return amiss[0]


def status(url: str, name: str, settings: Config | None = None) -> Status:
    """Make one check, and return the worst of what it found."""
    return worst(findings(url, name, settings))


def becomes(url: str, name: str, expected: Status, settings: Config | None = None) -> None:
    """Wait until a check finds what is expected: statistics, and the ends of sessions, take a moment."""
    wait_until(lambda: status(url, name, settings) == expected)


def type_(url: str, remedy: str, *more: str) -> None:
    """Do what a remedy says: commands in a shell (each with some arguments more), anything else in psql."""
    if remedy.startswith("outbox "):
        for command in remedy.split(" && "):
            result = run(url, *shlex.split(command)[1:], *more)
            assert result.exit_code == 0, (command, result.output)
        return
    with psycopg.connect(url, autocommit=True) as conn:
        for statement in remedy.split("; "):
            conn.execute(statement.encode())


@contextlib.contextmanager
def session(url: str, *statements: str, **parameters: Any) -> Iterator[psycopg.Connection[Any]]:
    """Somebody's session, in a transaction in which these were run; it may be killed meanwhile."""
    conn = psycopg.connect(url, **parameters)
    try:
        for statement in statements:
            conn.execute(statement.encode())
        yield conn
    finally:
        conn.close()


def database(url: str) -> str:
    """The name of the database, for ALTER DATABASE."""
    (found,) = re.findall(r"/([^/?]+)(?:\?|$)", url)
    return str(found)
