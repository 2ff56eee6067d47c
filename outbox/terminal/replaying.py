"""`outbox dead-letters replay` as people see it: told before and after, some first if asked, a thousand at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from outbox import durations
from outbox.errors import ConfigError
from outbox.queue.judge import MAX_REPLAYS
from outbox.queue.replay import replay as put_back
from outbox.telling.forecast import Forecast, left_alone_document, spread
from outbox.terminal.actor import whoami
from outbox.terminal.output import print_json, say
from outbox.terminal.resolve import How, chunks, found_by, judged, selected, somebody_is_there, tell
from outbox.terminal.selection import per_second, share
from outbox.terminal.session import writing
from outbox.terminal.setup import FAILED
from outbox.terminal.trial import STOPPED, Trial, attend, try_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias
    from uuid import UUID

    from psycopg import Connection

    from outbox.queue.replay import Replayed
    from outbox.terminal.selection import Asked

    Putting: TypeAlias = Callable[..., Replayed]


@dataclass(frozen=True, slots=True)
class Pace:
    """How they are put back: so many a second, at most so often each, and some of them first."""

    rate: float | None = None
    max_replays: int | None = MAX_REPLAYS
    trial: Trial | None = None


def paced(given: Mapping[str, Any]) -> Pace:
    """Return how the options of the command say it.

    Raises:
        ConfigError: the rate, the threshold or the timeout is none.
    """
    trial = None
    if given["canary"] is not None:
        try:
            patience = durations.parse(given["canary_timeout"])
        except ValueError as error:
            raise ConfigError([f"--canary-timeout: {error}"]) from None
        trial = Trial(given["canary"], share(given["threshold"]), patience)
    return Pace(per_second(given["rate"]), None if given["again"] else given["max_replays"], trial)


@dataclass(slots=True)
class _Done:
    """What was done by now."""

    count: int = 0
    anew: dict[UUID, UUID] = field(default_factory=dict)
    skipped: dict[UUID, str] = field(default_factory=dict)
    canary: Mapping[str, Any] | None = None

    def add(self, replayed: Replayed) -> None:
        self.count += len(replayed)
        self.anew |= replayed.anew
        self.skipped |= replayed.skipped

    def tell(self, rate: float | None, *, as_json: bool) -> None:
        if as_json:
            renamed = [{"id": old, "new_id": new} for old, new in self.anew.items()]
            document = {"replayed": self.count, "anew": renamed, "left_alone": left_alone_document(self.skipped)}
            print_json(document | ({"canary": self.canary} if self.canary is not None else {}))
            return
        tell("replayed", self.count, spread(self.count, rate), self.skipped)
        for old, new in self.anew.items():
            say(f"{old} is gone from outbox.notifications: its copy was enqueued anew as {new}")


def replay(url: str, asked: Asked, how: How, pace: Pace) -> int:
    """Put the dead letters back to be delivered; 1 if some of those named by id were not, 3 if the canary died.

    A person who selected them by a filter is told first what will happen, and asked. A script is not: the selection was
    its author's.
    """
    with writing(url) as conn:
        ids = selected(conn, asked)
        if how.dry_run:
            _foretell(Forecast(judged(conn, ids, max_replays=pace.max_replays)), pace.rate, as_json=how.as_json)
            return 0
        if ids and not how.sure and not asked.ids and somebody_is_there():
            for sentence in Forecast(judged(conn, ids, max_replays=pace.max_replays)).sentences(pace.rate):
                typer.echo(sentence, err=True)
            if not typer.confirm("Replay them?", err=True):
                return FAILED
        done = _Done()
        try:
            passed = _replay(conn, ids, pace, _putting(conn, asked, how, pace, done), done)
        finally:  # what was committed is told, whatever stopped the rest
            done.tell(pace.rate, as_json=how.as_json)
    if not passed:
        return STOPPED
    return FAILED if done.skipped and asked.ids else 0


def _foretell(forecast: Forecast, rate: float | None, *, as_json: bool) -> None:
    if as_json:
        print_json(forecast.document())
        return
    for sentence in forecast.sentences(rate):
        say(sentence)


def _putting(conn: Connection[Any], asked: Asked, how: How, pace: Pace, done: _Done) -> Putting:
    """Return what replays a chunk, the first of it due after so many seconds, and commits."""

    def put(chunk: Sequence[UUID], after: float = 0.0) -> Replayed:
        replayed = put_back(
            conn,
            chunk,
            rate=pace.rate,
            after=after,
            max_replays=pace.max_replays,
            actor=whoami(),
            reason=how.because,
            selected=found_by(asked),
        )
        conn.commit()
        done.add(replayed)
        return replayed

    return put


def _replay(conn: Connection[Any], ids: Sequence[UUID], pace: Pace, put: Putting, done: _Done) -> bool:
    """Replay them, and tell whether all of them, or a canary that died stood in the way."""
    trial = pace.trial
    first = [] if trial is None else try_first(conn, ids, trial.first, max_replays=pace.max_replays)
    if trial is not None and first:
        tried = {each.id for each in first}
        ids = [identity for identity in ids if identity not in tried]
        replayed = put([each.id for each in first])
        channels = sorted({each.channel for each in first if each.channel is not None})
        passed, done.canary = attend(conn, replayed, trial, channels, rest=len(ids))
        if not passed:
            return False
    before = done.count
    for chunk in chunks("replaying", ids):
        put(chunk, (done.count - before) / pace.rate if pace.rate else 0.0)
    return True
