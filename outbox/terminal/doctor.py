"""`outbox doctor` as people see it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.text import Text

from outbox import config
from outbox.doctor.examination import choose, examine
from outbox.doctor.finding import STATUSES, worst
from outbox.doctor.patient import Patient
from outbox.errors import ConfigError, clean
from outbox.telling.words import counted
from outbox.terminal.output import Column, print_json, print_table, say
from outbox.terminal.progress import waiting
from outbox.terminal.setup import FAILED, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from outbox.doctor.examination import Result
    from outbox.doctor.finding import Finding, Status

_MARKS: dict[Status, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "unknown": ("?", "dim"),
    "warning": ("!", "bold yellow"),
    "failure": ("✗", "bold red"),
}
_NAME = 22
_LONGEST = 400


def run(path: Path | None, url: str | None, only: Sequence[str], *, strict: bool, as_json: bool) -> int:
    """Make the checks, and print what each found as soon as it did; 1 if something fails.

    With `strict`, also where something is a warning, or could not be looked at.

    Raises:
        ConfigError: there is no check of that name, or the file that was named is not there.
    """
    checks = choose(only)
    patient = _patient(path, url)
    try:
        results = []
        coming = iter(examine(patient, checks))
        while (result := _next(coming)) is not None:
            results.append(result)
            if not as_json:
                _show(result)
    finally:
        patient.close()
    status = worst(finding for result in results for finding in result.findings)
    if as_json:
        print_json(_document(status, results))
    else:
        _sum_up(results)
    return FAILED if status == "failure" or (strict and status != "ok") else 0


def _next(coming: Iterator[Result]) -> Result | None:
    with waiting("examining"):
        return next(coming, None)


def list_checks(*, as_json: bool) -> int:
    """Print what there is to check."""
    checks = choose(())
    if as_json:
        print_json([{"name": check.name, "looks_for": check.looks_for} for check in checks])
    else:
        print_table((Column("check", "whole"), Column("looks for")), [[each.name, each.looks_for] for each in checks])
    return 0


def _patient(path: Path | None, url: str | None) -> Patient:
    """Take the configuration as it is: its mistakes are one thing to find, and no reason to find nothing else."""
    file = config.find_file(path)
    if file is not None and not file.exists():
        raise ConfigError([f"{file} is not a file; --config or OUTBOX_CONFIG names it"])
    try:
        found, problems = config.survey(path, overrides={"database.url": url})
    except ConfigError as error:
        return Patient(url, config.Config(), error.problems)
    named = found.database.url
    return Patient(None if named is None else named.get_secret_value(), found, problems)


def _show(result: Result) -> None:
    for finding in result.findings:
        words = clean(finding.finding, _LONGEST)
        if not is_terminal():
            remedy = f"; remedy: {clean(finding.remedy)}" if finding.remedy else ""
            say(f"{finding.status:<7}  {result.check.name:<{_NAME}}  {words}{remedy}")
            continue
        mark, style = _MARKS[finding.status]
        name = Text(f"{result.check.name:<{_NAME}}", "dim" if finding.status in {"ok", "unknown"} else "bold")
        say(Text.assemble((mark, style), " ", name, " ", words))
        if finding.aside:
            say(Text.assemble(" " * (_NAME + 3), ("it ran last: ", "dim"), clean(finding.aside)))
        if finding.remedy:
            say(Text.assemble(" " * (_NAME + 3), ("→ ", "cyan"), clean(finding.remedy)))


def _sum_up(results: Sequence[Result]) -> None:
    counts = Counter(result.status for result in results)
    if set(counts) <= {"ok"}:
        say(f"{counted(len(results), 'check')}, and all is well")
        return
    words = {"ok": "well", "unknown": "not looked at", "warning": "with warnings", "failure": "failing"}
    parts = [f"{counts[status]} {words[status]}" for status in reversed(STATUSES) if counts[status]]
    say(f"{counted(len(results), 'check')}: {', '.join(parts)}")


def _document(status: Status, results: Sequence[Result]) -> dict[str, Any]:
    return {
        "status": status,
        "findings": [_finding(result, finding) for result in results for finding in result.findings],
    }


def _finding(result: Result, finding: Finding) -> dict[str, Any]:
    return {
        "name": result.check.name,
        "status": finding.status,
        "finding": finding.finding,
        "remedy": finding.remedy or None,
        "details": dict(finding.details),
    }
