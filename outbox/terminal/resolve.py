"""`outbox dead-letters replay` and `discard` as people see them: told before and after, a thousand in a transaction."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from outbox.errors import ConfigError
from outbox.queue.dead_letters import find_dead_letters
from outbox.queue.discard import discard as close
from outbox.queue.replay import judge
from outbox.queue.replay import replay as put_back
from outbox.terminal.forecast import Forecast, left_alone, left_alone_document, spread
from outbox.terminal.output import counted, done, note, print_json, say
from outbox.terminal.session import writing
from outbox.terminal.setup import FAILED, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from psycopg import Connection

    from outbox.queue.replay import Judged
    from outbox.terminal.selection import Asked

CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class How:
    """How a command goes about it: only telling what would happen, without asking, printing JSON."""

    dry_run: bool
    sure: bool
    as_json: bool


def replay(url: str, asked: Asked, how: How, *, rate: float | None) -> int:
    """Put the dead letters back to be delivered; 1 if some of those named by id were not.

    A person who selected them by a filter is told first what will happen, and asked. A script is not: the selection was
    its author's.
    """
    with writing(url) as conn:
        ids = _selected(conn, asked)
        if how.dry_run:
            _foretell(Forecast(_judged(conn, ids)), rate, as_json=how.as_json)
            return 0
        if ids and not how.sure and not asked.ids and _somebody_is_there():
            for sentence in Forecast(_judged(conn, ids)).sentences(rate):
                typer.echo(sentence, err=True)
            if not typer.confirm("Replay them?", err=True):
                return FAILED
        skipped = _replay(conn, ids, rate, as_json=how.as_json)
    return FAILED if skipped and asked.ids else 0


def discard(url: str, asked: Asked, how: How) -> int:
    """Close the dead letters without replaying them, after asking; 1 if some of those named by id were not.

    Raises:
        ConfigError: there is nobody to ask, and it is not sure.
    """
    if not (how.dry_run or how.sure or _somebody_is_there()):
        raise ConfigError(["discard asks before it closes anything, and there is nobody to ask: add --yes"])
    with writing(url) as conn:
        ids = _selected(conn, asked)
        if how.dry_run:
            _foretell_closing(_judged(conn, ids), as_json=how.as_json)
            return 0
        if ids and not how.sure and not typer.confirm(f"Discard {counted(len(ids), 'dead letter')}?", err=True):
            return FAILED
        skipped = _discard(conn, ids, as_json=how.as_json)
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


def _foretell(forecast: Forecast, rate: float | None, *, as_json: bool) -> None:
    if as_json:
        print_json(forecast.document())
        return
    for sentence in forecast.sentences(rate):
        say(sentence)


def _foretell_closing(judged: Sequence[Judged], *, as_json: bool) -> None:
    skipped = {each.id: each.verdict for each in judged if each.verdict in {"unknown", "replayed", "discarded"}}
    count = len(judged) - len(skipped)
    if as_json:
        print_json({"would_discard": count, "left_alone": left_alone_document(skipped)})
    else:
        say(f"would discard {counted(count, 'dead letter')}")


def _replay(conn: Connection[Any], ids: Sequence[UUID], rate: float | None, *, as_json: bool) -> Mapping[UUID, str]:
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
        if as_json:
            renamed = [{"id": old, "new_id": new} for old, new in anew.items()]
            print_json({"replayed": count, "anew": renamed, "left_alone": left_alone_document(skipped)})
        else:
            _tell("replayed", count, spread(count, rate), skipped)
            for old, new in anew.items():
                say(f"{old} is gone from outbox.notifications: its copy was enqueued anew as {new}")
    return skipped


def _discard(conn: Connection[Any], ids: Sequence[UUID], *, as_json: bool) -> Mapping[UUID, str]:
    count = 0
    skipped: dict[UUID, str] = {}
    try:
        for chunk in _chunks("discarding", ids):
            discarded = close(conn, chunk)
            conn.commit()
            count += len(discarded)
            skipped |= discarded.skipped
    finally:
        if as_json:
            print_json({"discarded": count, "left_alone": left_alone_document(skipped)})
        else:
            _tell("discarded", count, "", skipped)
    return skipped


def _tell(did: str, count: int, how: str, skipped: Mapping[UUID, str]) -> None:
    if count:
        done(f"{did} {counted(count, 'dead letter')}{how}")
    elif skipped:
        say(f"{did} nothing")
    for sentence in left_alone(skipped):
        note(sentence)


def _chunks(doing: str, ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """Yield a thousand at a time, with a bar that shows how far it has come, on a terminal."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal()) as progress:
        task = progress.add_task(doing, total=len(ids))
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            yield chunk
            progress.advance(task, len(chunk))


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()
