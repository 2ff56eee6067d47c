"""finding: what a check found, and what a check is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from outbox.doctor.patient import Patient

Status: TypeAlias = Literal["ok", "unknown", "warning", "failure"]
"""From best to worst. What could not be looked at is `unknown`: neither well nor ill."""
STATUSES: tuple[Status, ...] = ("ok", "unknown", "warning", "failure")

Needs: TypeAlias = Literal["nothing", "connections", "server", "tables"]
"""What a check cannot be made without: connections of its own, and no transaction of ours beside them; a server that
answers; the outbox's tables on it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `remedy` can be typed: a line that begins with outbox into a shell, else into psql."""

    status: Status
    finding: str
    remedy: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and names, for scripts."""
    aside: str = ""
    """What is for the eyes of whoever sits at the terminal, and for no file."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check. What it yields are its findings; if it yields none, all is well, in the words of `fine`."""

    name: str
    looks_for: str
    """What it looks for, as docs/doctor.md says it."""
    harm: str
    """What that does while nobody looks."""
    remedy: str
    """What to do about it, in general; a finding has the very words to type."""
    fine: str
    look: Callable[[Patient], Iterable[Finding]]
    needs: Needs = "tables"


def ok(finding: str, **details: Any) -> Finding:
    """Return that something is as it should be."""
    return Finding("ok", finding, "", details)


def unknown(finding: str, remedy: str = "", **details: Any) -> Finding:
    """Return that something could not be looked at, and what would let it."""
    return Finding("unknown", finding, remedy, details)


def warning(finding: str, remedy: str, *, aside: str = "", **details: Any) -> Finding:
    """Return something that will do harm, or does a little."""
    return Finding("warning", finding, remedy, details, aside)


def failure(finding: str, remedy: str, *, aside: str = "", **details: Any) -> Finding:
    """Return something that does harm now."""
    return Finding("failure", finding, remedy, details, aside)


def either(bad: object, finding: str, remedy: str, *, aside: str = "", **details: Any) -> Finding:
    """Return a failure where it is `bad`, else a warning."""
    return Finding("failure" if bad else "warning", finding, remedy, details, aside)


def worst(findings: Iterable[Finding]) -> Status:
    """Return the worst status of all; ok where there is none."""
    return STATUSES[max((STATUSES.index(each.status) for each in findings), default=0)]
