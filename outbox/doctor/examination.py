"""examination: every check, one after another; none of them can stop the others."""

from __future__ import annotations

import difflib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from outbox.database import describe
from outbox.defects import place
from outbox.doctor import (
    chores,
    configuration,
    delivery,
    endings,
    fleet,
    horizon,
    locks,
    partitions,
    rights,
    server,
    settings,
    structure,
    vacuum,
    wire,
)
from outbox.doctor.finding import failure, ok, unknown, worst
from outbox.doctor.patient import PATIENCE, Unreachable
from outbox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from outbox.doctor.finding import Check, Finding, Status
    from outbox.doctor.patient import Patient

CHECKS: tuple[Check, ...] = tuple(
    check
    for module in (
        *(server, wire, structure, rights, settings, configuration),
        *(partitions, vacuum, horizon, locks),
        *(fleet, delivery, chores, endings),
    )
    for check in module.CHECKS
)
"""In the order in which they are made: what others rest on comes first."""

# By the catalog, which everybody may read: what may not be looked at is there all the same.
_THERE = """
SELECT count(*) > 0 AS there FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'outbox' AND c.relname = 'queue'
"""
_LONGEST = 60.0  # seconds for all of them


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found: at least one thing, if only that all is well."""

    check: Check
    findings: tuple[Finding, ...]

    @property
    def status(self) -> Status:
        """The worst of what it found."""
        return worst(self.findings)


def choose(names: Sequence[str]) -> tuple[Check, ...]:
    """Return the checks of these names, in the order in which they are made; all of them without any names.

    Raises:
        ConfigError: there is no such check; says which one it resembles.
    """
    known = {check.name: check for check in CHECKS}
    strange = [name for name in names if name not in known]
    if strange:
        raise ConfigError([f"--only: there is no check {name!r}; {_nearest(name, list(known))}" for name in strange])
    return tuple(check for check in CHECKS if not names or check.name in names)


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else "outbox doctor --list names them"


def examine(patient: Patient, checks: Sequence[Check] = CHECKS) -> Iterator[Result]:
    """Yield what each check found, as soon as it did. That the database cannot be reached is told in any case."""
    deadline = time.monotonic() + _LONGEST
    reached = migrated = True
    if any(check.needs != "nothing" for check in checks):
        (connection,) = server.CHECKS[:1]
        findings = _made(connection, patient, PATIENCE)
        reached = not any(finding.status == "unknown" or finding.details.get("unreachable") for finding in findings)
        migrated = reached and _is_migrated(patient)
        if connection in checks or worst(findings) != "ok":
            yield Result(connection, findings)
        checks = [check for check in checks if check is not connection]
    for check in checks:
        if check.needs != "nothing" and not reached:
            findings = (unknown("not looked at: there is no connection"),)
        elif check.needs == "tables" and not migrated:
            findings = (unknown("not looked at: the database has no outbox", "outbox migrate"),)
        else:
            findings = _made(check, patient, min(PATIENCE, max(deadline - time.monotonic(), 0.1)))
        yield Result(check, findings)


def _is_migrated(patient: Patient) -> bool:
    try:
        with patient.sitting():
            return bool(patient.ask_one(_THERE).there)
    except (Unreachable, psycopg.Error):
        return False


def _made(check: Check, patient: Patient, seconds: float) -> tuple[Finding, ...]:
    """Make one check, whatever happens in it: what it found before it failed counts as well."""
    found: list[Finding] = []
    try:
        if check.needs in {"nothing", "connections"}:
            found.extend(check.look(patient))
        else:
            with patient.sitting(seconds):
                for finding in check.look(patient):
                    found.append(finding)  # noqa: PERF402 - one by one, so that those before an error are kept
    except Unreachable as error:
        problem = f"the database cannot be reached: {error}"
        found.append(failure(problem, 'pg_isready -d "$OUTBOX_DATABASE_URL"', unreachable=True))
    except psycopg.Error as error:
        found.append(_stopped(error, patient.role, seconds))
    except Exception as error:  # noqa: BLE001 - a defect in one check is no reason to be silent about all the others
        found.append(unknown(f"could not be looked at: {place(error)}, a defect of this check"))
    return tuple(found) or (ok(check.fine),)


def _stopped(error: psycopg.Error, role: str, seconds: float) -> Finding:
    match error:
        case errors.InsufficientPrivilege():
            return unknown(f"could not be looked at: {describe(error)}", f'GRANT outbox_auditor TO "{role}"')
        case errors.QueryCanceled():
            return unknown(f"could not be looked at within {seconds:g} s")
        case errors.LockNotAvailable():
            return unknown("could not be looked at: a table is locked", "outbox doctor --only held-locks")
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.UndefinedFunction():
            problem = f"could not be looked at: the schema is not that of this outbox ({describe(error)})"
            return unknown(problem, "outbox migrate")
    return unknown(f"could not be looked at: {describe(error)}")
