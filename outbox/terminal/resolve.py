"""`outbox dead-letters discard` and `reopen` as people see them: told before and after, a thousand in a transaction."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from outbox.errors import ConfigError
from outbox.queue.dead_letters import find_dead_letters
from outbox.queue.discard import LONGEST_REASON
from outbox.queue.discard import discard as close
from outbox.queue.judge import judge
from outbox.queue.reopen import reopen as open_again
from outbox.telling.forecast import left_alone, left_alone_document
from outbox.telling.words import counted
from outbox.terminal.actor import whoami
from outbox.terminal.output import done, note, print_json, say
from outbox.terminal.progress import bar
from outbox.terminal.session import writing
from outbox.terminal.setup import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from psycopg import Connection

    from outbox.queue.judge import Judged
    from outbox.queue.letter_selection import Selection
    from outbox.terminal.selection import Asked

CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class How:
    """How a command goes about it: only telling what would happen, without asking, printing JSON; and why."""

    dry_run: bool
    sure: bool
    as_json: bool
    because: str | None = None

    def __post_init__(self) -> None:
        """Refuse a reason that there is no room for.

        Raises:
            ConfigError: it is too long.
        """
        if self.because is not None and len(self.because) > LONGEST_REASON:
            raise ConfigError([f"--because: at most {LONGEST_REASON:,} characters, not {len(self.because):,}"])


def discard(url: str, asked: Asked, how: How) -> int:
    """Close the dead letters without replaying them, after asking; 1 if some of those named by id were not.

    Raises:
        ConfigError: there is nobody to ask, and it is not sure.
    """
    if not (how.dry_run or how.sure or somebody_is_there()):
        raise ConfigError(["discard asks before it closes anything, and there is nobody to ask: add --yes"])
    with writing(url) as conn:
        ids = selected(conn, asked)
        if how.dry_run:
            _foretell_closing(judged(conn, ids), as_json=how.as_json)
            return 0
        if ids and not how.sure and not typer.confirm(f"Discard {counted(len(ids), 'dead letter')}?", err=True):
            return FAILED
        skipped = _discard(conn, ids, how, found_by(asked))
    return FAILED if skipped and asked.ids else 0


def reopen(url: str, ids: Sequence[UUID], how: How) -> int:
    """Open discarded dead letters again; 1 if some were not."""
    with writing(url) as conn:
        reopened = open_again(conn, ids, actor=whoami(), reason=how.because)
    if how.as_json:
        print_json({"reopened": len(reopened), "left_alone": left_alone_document(reopened.skipped)})
    else:
        tell("reopened", len(reopened), "", reopened.skipped)
    return FAILED if reopened.skipped else 0


def selected(conn: Connection[Any], asked: Asked) -> list[UUID]:
    """Return the ids of what was asked for, the oldest first if by a filter; and say so if there are none."""
    ids = list(asked.ids) or find_dead_letters(conn, asked.selection)
    conn.commit()  # no transaction stays open while a person thinks
    if not ids:
        note("no open dead letter matches")
    return ids


def found_by(asked: Asked) -> Selection | None:
    """Return what the audit names in the place of ids."""
    return None if asked.ids else asked.selection


def judged(conn: Connection[Any], ids: Sequence[UUID], **limit: int | None) -> list[Judged]:
    """Return what a replay would do with each."""
    verdicts: list[Judged] = []
    for chunk in chunks("looking", ids):
        verdicts += judge(conn, chunk, **limit)
        conn.commit()
    return verdicts


def _foretell_closing(verdicts: Sequence[Judged], *, as_json: bool) -> None:
    skipped = {each.id: each.verdict for each in verdicts if each.verdict in {"unknown", "replayed", "discarded"}}
    count = len(verdicts) - len(skipped)
    if as_json:
        print_json({"would_discard": count, "left_alone": left_alone_document(skipped)})
    else:
        say(f"would discard {counted(count, 'dead letter')}")


def _discard(conn: Connection[Any], ids: Sequence[UUID], how: How, found: Selection | None) -> Mapping[UUID, str]:
    count = 0
    skipped: dict[UUID, str] = {}
    try:
        for chunk in chunks("discarding", ids):
            discarded = close(conn, chunk, reason=how.because, actor=whoami(), selected=found)
            conn.commit()
            count += len(discarded)
            skipped |= discarded.skipped
    finally:  # what was committed is told, whatever stopped the rest
        if how.as_json:
            print_json({"discarded": count, "left_alone": left_alone_document(skipped)})
        else:
            tell("discarded", count, "", skipped)
    return skipped


def tell(did: str, count: int, how: str, skipped: Mapping[UUID, str]) -> None:
    """Print what was done to how many, and what was left alone."""
    if count:
        done(f"{did} {counted(count, 'dead letter')}{how}")
    elif skipped:
        say(f"{did} nothing")
    for sentence in left_alone(skipped):
        note(sentence)


def chunks(doing: str, ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Yield a thousand at a time, with a bar that shows how far it has come, on a terminal."""
    with bar(doing, len(ids)) as advance:
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            yield chunk
            advance(len(chunk))


def somebody_is_there() -> bool:
    """Tell whether there is somebody to ask."""
    return sys.stdin.isatty()
