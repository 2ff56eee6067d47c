"""The findings as tables: for a terminal, for the message of a failed test, and for docs/reliability.md."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.stage import Findings

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_BEGIN = "<!-- written by make chaos: begin -->"
_END = "<!-- written by make chaos: end -->"


def verdict(findings: Findings) -> str:
    """Return one word."""
    return "met" if findings.met else "missed"


def terminal_table(everything: Sequence[Findings]) -> Table:
    """Return the table for a terminal."""
    table = Table("#", "scenario", "run", "target", "measured", "verdict", title="make chaos", show_lines=True)
    for findings in everything:
        style = "green" if findings.met else "bold red"
        table.add_row(
            str(findings.scenario.number),
            findings.scenario.title,
            findings.ran,
            "\n".join(f"{check.name} {check.target}" for check in findings.checks),
            "\n".join(check.measured if check.met else f"[bold red]{check.measured}[/]" for check in findings.checks),
            f"[{style}]{verdict(findings)}[/]",
        )
    return table


def plain(findings: Findings, *, full: bool) -> str:
    """Return the findings as lines, with the command that plays the scenario again."""
    lines = [
        f"{'met   ' if each.met else 'MISSED'} {each.name}: {each.measured} ({each.target})" for each in findings.checks
    ]
    number, size = findings.scenario.number, "" if full else " --reduced"
    again = f"python -m tests.chaos{size} --only {number} --seed {findings.seed}"
    return "\n".join([f"{findings.scenario} ({findings.ran})", *lines, *findings.notes, f"again: {again}"])


def write_page(
    everything: Sequence[Findings], before: Sequence[Findings], *, seed: int, server: str, load: float
) -> None:
    """Write the table into docs/reliability.md, between its marks; the words around it stay.

    `before` is what missed a target, and was played again.

    Raises:
        ValueError: the page has no such marks.
    """
    page = PAGE.read_text(encoding="utf-8")
    head, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no marks to write between")
    body = "\n".join([_circumstances(everything, seed, server, load), "", *_rows(everything), *_again(before)])
    PAGE.write_text(f"{head}{begin}\n\n{body}\n\n{end}{after}", encoding="utf-8")


def _circumstances(everything: Sequence[Findings], seed: int, server: str, load: float) -> str:
    minutes = sum(findings.took for findings in everything) / 60
    met = sum(findings.met for findings in everything)
    return (
        f"{met} of {len(everything)} scenarios met every target on {datetime.now(UTC):%Y-%m-%d}, in {minutes:.0f} "
        f"minutes, with `--seed {seed}`.\n\n"
        f"outbox {version('outbox')}, psycopg {version('psycopg')}, Python {platform.python_version()}, "
        f"PostgreSQL {server}, {platform.system()} {platform.machine()} with {os.cpu_count()} cores; "
        f"load average before the first scenario {load:.1f}, after the last {os.getloadavg()[0]:.1f}."
    )


def _rows(everything: Sequence[Findings]) -> list[str]:
    lines = ["| # | scenario | run | target | measured | verdict |", "| --- | --- | --- | --- | --- | --- |"]
    for findings in everything:
        targets = "<br>".join(f"{check.name} {check.target}" for check in findings.checks)
        measured = "<br>".join(check.measured if check.met else f"**{check.measured}**" for check in findings.checks)
        cells = [
            str(findings.scenario.number),
            findings.scenario.title,
            findings.ran,
            targets,
            measured,
            verdict(findings),
        ]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return lines


def _again(before: Sequence[Findings]) -> list[str]:
    """What the table does not show: the runs that missed a target before the one in it."""
    if not before:
        return []
    lines = ["", "Played again, because they missed a target the first time:", ""]
    for findings in before:
        missed = [f"{check.name} {check.measured} ({check.target})" for check in findings.checks if not check.met]
        lines.append(f"- {findings.scenario.number}: {'; '.join(missed)}")
    return lines
