"""`outbox dead-letters replay` and `discard` as people see them: told before and after, a thousand in a transaction."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from outbox.errors import ConfigError
from outbox.queue.dead_letters import find_dead_letters
from outbox.queue.discard import discard as close
from outbox.queue.replay import judge
from outbox.queue.replay import replay as put_back
from outbox.terminal.output import age, counted, done, note, say
from outbox.terminal.session import writing
from outbox.terminal.setup import FAILED, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from psycopg import Connection

    from outbox.queue.replay import Judged
    from outbox.terminal.selection import Asked

CHUNK = 1_000
_NAMED = 5
_WHY_NOT = {
    "unknown": "no such dead letter",
    "replayed": "replayed before",
    "discarded": "discarded before",
    "queued": "still in the queue",
    "sent": "delivered after all, by a worker that was thought lost",
    "key_taken": "its idempotency key stands for another notification now",
}


def replay(url: str, asked: Asked, *, rate: float | None, dry_run: bool, sure: bool) -> int:
    """Put the dead letters back to be delivered; 1 if some of those named by id were not.

    A person who selected them by a filter is told first what will happen, and asked. A script is not: the selection was
    its author's.
    """
    with writing(url) as conn:
        ids = _selected(conn, asked)
        if dry_run or (ids and not sure and not asked.ids and _somebody_is_there()):
            for sentence in _foretold(_judged(conn, ids), rate):
                say(sentence)
            if dry_run:
                return 0
            if not typer.confirm("Replay them?", err=True):
                return FAILED
        skipped = _replay(conn, ids, rate)
    return FAILED if skipped and asked.ids else 0


def discard(url: str, asked: Asked, *, dry_run: bool, sure: bool) -> int:
    """Close the dead letters without replaying them, after asking; 1 if some of those named by id were not.

    Raises:
        ConfigError: there is nobody to ask, and `sure` is False.
    """
    if not (dry_run or sure or _somebody_is_there()):
        raise ConfigError(["discard asks before it closes anything, and there is nobody to ask: add --yes"])
    with writing(url) as conn:
        ids = _selected(conn, asked)
        if dry_run:
            say(f"would discard {counted(sum(_is_open(each) for each in _judged(conn, ids)), 'dead letter')}")
            return 0
        if ids and not sure and not typer.confirm(f"Discard {counted(len(ids), 'dead letter')}?", err=True):
            return FAILED
        skipped = _discard(conn, ids)
    return FAILED if skipped and asked.ids else 0


def _selected(conn: Connection[Any], asked: Asked) -> list[UUID]:
    ids = list(asked.ids) or find_dead_letters(conn, asked.selection)
    conn.commit()  # no transaction stays open while a person thinks
    if not ids:
        note("no open dead letter matches")
    return ids


def _judged(conn: Connection[Any], ids: Sequence[UUID]) -> list[Judged]:
    judged = judge(conn, ids)
    conn.commit()
    return judged


def _is_open(judged: Judged) -> bool:
    return judged.verdict not in {"unknown", "replayed", "discarded"}


def _replay(conn: Connection[Any], ids: Sequence[UUID], rate: float | None) -> Mapping[UUID, str]:
    count = 0
    anew: dict[UUID, UUID] = {}
    skipped: dict[UUID, str] = {}
    try:
        for chunk in _chunks("replaying", ids):
            replayed = put_back(conn, chunk, rate=rate, after=count / rate if rate else 0.0)
            conn.commit()
            count += len(replayed)
            anew |= replayed.anew
            skipped |= replayed.skipped
    finally:  # what was committed is told, whatever stopped the rest
        if ids:
            done(f"replayed {counted(count, 'dead letter')}{_spread(count, rate)}")
        for old, new in anew.items():
            say(f"{old} is gone from outbox.notifications: its copy was enqueued anew as {new}")
        _tell_skipped(skipped)
    return skipped


def _discard(conn: Connection[Any], ids: Sequence[UUID]) -> Mapping[UUID, str]:
    count = 0
    skipped: dict[UUID, str] = {}
    try:
        for chunk in _chunks("discarding", ids):
            discarded = close(conn, chunk)
            conn.commit()
            count += len(discarded)
            skipped |= discarded.skipped
    finally:
        if ids:
            done(f"discarded {counted(count, 'dead letter')}")
        _tell_skipped(skipped)
    return skipped


def _chunks(doing: str, ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Yield a thousand at a time, with a bar that shows how far it has come, on a terminal."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal()) as progress:
        task = progress.add_task(doing, total=len(ids))
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            yield chunk
            progress.advance(task, len(chunk))


def _foretold(judged: Sequence[Judged], rate: float | None) -> Iterator[str]:
    """Yield what a replay would do, in sentences."""
    chosen = [each for each in judged if each.verdict in {"replay", "anew"}]
    yield f"would replay {counted(len(chosen), 'dead letter')}{_spread(len(chosen), rate)}"
    for what, values in (("channel", [each.channel for each in chosen]), ("reason", [each.reason for each in chosen])):
        if values:
            yield f"  by {what}: " + ", ".join(f"{value} {count:,}" for value, count in Counter(values).most_common())
    anew = sum(each.verdict == "anew" for each in chosen)
    if anew:
        yield f"  {anew:,} of them anew, under new ids: retention has dropped the notifications, the copies remain"
    unsure = sum(each.reason == "ambiguous" for each in chosen)
    if unsure:
        yield f"  {unsure:,} of them may have been delivered already: nobody could know when they were given up"
    late = sum(each.is_expired for each in chosen)
    if late:
        yield f"  {late:,} of them are past their expires_at, and would end as expired, unsent"
    left = Counter(each.verdict for each in judged if each.verdict not in {"replay", "anew"})
    for verdict, count in left.most_common():
        yield f"would leave {counted(count, 'other')} alone: {_WHY_NOT[verdict]}"


def _spread(count: int, rate: float | None) -> str:
    return f", the last of them due in {age((count - 1) / rate)}" if rate and count > 1 else ""


def _tell_skipped(skipped: Mapping[UUID, str]) -> None:
    for why, count in Counter(skipped.values()).most_common():
        ids = [str(identity) for identity, reason in skipped.items() if reason == why]
        named = ", ".join(ids[:_NAMED]) + (", …" if count > _NAMED else "")
        note(f"left alone, {_WHY_NOT[why]}: {named}")


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()
