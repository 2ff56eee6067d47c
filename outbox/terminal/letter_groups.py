"""`outbox dead-letters groups` as people see it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from outbox.queue.letter_groups import groups
from outbox.telling.words import age, counted
from outbox.terminal.output import Column, fits, note, print_blocks, print_json, print_table
from outbox.terminal.progress import waiting
from outbox.terminal.session import reading

if TYPE_CHECKING:
    from outbox.queue.letter_groups import Group
    from outbox.queue.letter_selection import Selection

_COLUMNS = (
    Column("group", "whole"),
    Column("letters", "number"),
    Column("died again", "number"),
    Column("first", "number"),
    Column("last", "number"),
    Column("failed", "whole"),
    Column("reason"),
    Column("example", "cut"),
)


def show(url: str, selection: Selection, *, limit: int, as_json: bool) -> int:
    """Print the groups of the open dead letters that match, the largest first."""
    with waiting("grouping dead letters"), reading(url) as conn:
        found = groups(conn, selection, limit=limit)
    if as_json:
        print_json(
            {"groups": [asdict(group) for group in found.groups], "total": found.count, "letters": found.letters}
        )
        return 0
    if not found.groups:
        note("no open dead letter matches")
        return 0
    rows = [_row(group) for group in found.groups]
    (print_table if fits(_COLUMNS, rows) else print_blocks)(_COLUMNS, rows)
    if found.count > len(rows):
        note(f"the largest {len(rows):,} of {found.count:,}; --limit shows more")
    largest = found.groups[0]
    letters = counted(found.letters, "open dead letter")
    note(f"{letters}; one of the first group: outbox dead-letters show {largest.example}")
    note(f"try ten of it, then the rest: outbox dead-letters replay --group {largest.id} --canary 10")
    return 0


def _row(group: Group) -> list[str]:
    return [
        group.id,
        f"{group.count:,}",
        f"{group.replayed:,}",
        f"{age(group.first_seconds_ago)} ago",
        f"{age(group.last_seconds_ago)} ago",
        group.fingerprint,
        ", ".join(
            f"{reason} {count:,}" if len(group.reasons) > 1 else reason for reason, count in group.reasons.items()
        ),
        group.error or "",
    ]
