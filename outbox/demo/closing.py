"""The closing report: the table of the three witnesses, how it went, and what to type next."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outbox.demo.tally import REASONS
from outbox.terminal.output import Column, note, print_facts, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.demo.audit import Line, Verdict

_COLUMNS = (
    Column("the three witnesses", "whole"),
    Column("application", "number"),
    Column("database", "number"),
    Column("mail server", "number"),
    Column("holds", "whole"),
)

_AUDIT_QUERY = (
    "SELECT outcome, error_code, count(*), avg(finished_at - started_at) AS took "
    "FROM outbox.attempts GROUP BY 1, 2 ORDER BY 3 DESC"
)


def print_report(verdict: Verdict) -> None:
    """Print the report, and at its end which lines do not hold."""
    say()
    print_table(_COLUMNS, [_row(line) for line in verdict.lines])
    say()
    print_facts(_facts(verdict))
    say()
    if verdict.holds:
        say("Everything adds up: nothing lost, nothing sent that was rolled back.", "bold green")
    for line in verdict.lines:
        if not line.holds:
            counts = zip(_COLUMNS[1:4], _row(line)[1:4], strict=True)
            said = ", ".join(f"{witness.title} {count}" for witness, count in counts if count)
            say(f"This does not add up: {line.claim}: {said}", "bold red")


def _row(line: Line) -> tuple[str, ...]:
    counts = (line.application, line.database, line.mail_server)
    return line.claim, *("" if count is None else f"{count:,}" for count in counts), "yes" if line.holds else "NO"


def _facts(verdict: Verdict) -> list[tuple[str, str]]:
    return [
        *(("second copies", f"{count:,} because {REASONS[reason]}") for reason, count in verdict.copies.items()),
        ("attempts", _listed(verdict.attempts)),
        ("dead letters", _listed(verdict.dead_letters)),
        ("COMMIT to accepted", _percentiles(verdict.latency_seconds, "")),
        ("at the first attempt", _percentiles(verdict.latency_seconds, "first_attempt_")),
        ("throughput", f"{verdict.accepted_per_second:,.0f} emails accepted a second"),
    ]


def print_document(verdict: Verdict, about: Mapping[str, Any]) -> None:
    """Print the report as JSON, with what it is about in front."""
    print_json({**about, "holds": verdict.holds, **asdict(verdict)})


def print_next(url: str, identity: str | None, psql: str | None) -> None:
    """Print the commands that look at what is there now; `identity` is a notification that has a story to tell."""
    outbox = _program()
    say("What to type next, in another terminal:", "bold")
    commands = [
        f"export OUTBOX_DATABASE_URL={shlex.quote(url)}",
        f"{outbox} status",
        f"{outbox} dead-letters list",
        f"{outbox} explain {identity}" if identity else None,
        f'{psql} "$OUTBOX_DATABASE_URL" -c "{_AUDIT_QUERY}"' if psql else None,
    ]
    for command in filter(None, commands):
        say(f"  {command}")


def print_how_to_keep() -> None:
    """Say how to look around next time."""
    note(
        f"All of it is gone now. `{_program()} demo --keep` keeps the database, to look around with "
        "outbox status, outbox dead-letters list, outbox explain ID and SQL"
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"


def _percentiles(latency: Mapping[str, float], prefix: str) -> str:
    return ", ".join(f"{name} {latency[prefix + name] * 1000:,.0f} ms" for name in ("p50", "p99"))


def _program() -> str:
    """Return the command line's name as it can be typed here."""
    here = Path(sys.argv[0])
    found = shutil.which("outbox")
    if here.stem in {"__main__", "cli"}:
        return f"{Path(sys.executable).name} {'-m outbox' if here.stem == '__main__' else here}"
    return "outbox" if found and here.exists() and here.samefile(found) else str(here)
