"""The first few of a replay: waited for, shown, and judged, before the rest follows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox.durations import describe
from outbox.errors import clean
from outbox.queue.canary import fare
from outbox.queue.dead_letters import read_dead_letters
from outbox.queue.inspect import live_workers
from outbox.queue.judge import judge
from outbox.queue.paused import list_pauses
from outbox.telling.pauses import sentence
from outbox.telling.words import counted
from outbox.terminal.output import note, warn_aside
from outbox.terminal.progress import bar
from outbox.terminal.setup import complain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from psycopg import Connection

    from outbox.queue.canary import Canary
    from outbox.queue.judge import Judged
    from outbox.queue.replay import Replayed

STOPPED = 3
"""The exit code: the first few died again, and the rest was left as it was."""

_LOOK_AGAIN = 0.5
_QUOTED = 3
_LONGEST = 300
_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Trial:
    """How many go first, which share of them has to be sent, and how long that may take, in seconds."""

    first: int
    threshold: float = 1.0
    patience: float = 600.0


def try_first(conn: Connection[Any], ids: Sequence[UUID], first: int, *, max_replays: int | None) -> list[Judged]:
    """Return the first so many that a replay would put back: others would prove nothing."""
    found: list[Judged] = []
    for start in range(0, len(ids), _CHUNK):
        chunk = judge(conn, ids[start : start + _CHUNK], max_replays=max_replays)
        conn.commit()
        found += [each for each in chunk if each.verdict in {"replay", "anew"}]
        if len(found) >= first:
            break
    return found[:first]


def attend(
    conn: Connection[Any], replayed: Replayed, trial: Trial, channels: Sequence[str], *, rest: int
) -> tuple[bool, dict[str, Any]]:
    """Wait until the first few have ended, and say how; return whether the rest may follow, and the same for JSON."""
    ids = [*replayed.ids, *replayed.anew.values()]
    served = {channel for worker in live_workers(conn, channels) for channel in worker.channels}
    for channel in channels:
        if channel not in served:
            warn_aside(f"no live worker serves {channel}: start one, or the canary waits for nothing")
    for pause in list_pauses(conn):
        if pause.scope == "channel" and pause.name in channels:
            warn_aside(f"{sentence(pause)}: the canary waits until it is resumed")
    canary = _wait(conn, ids, trial)
    passed = canary.verdict(trial.threshold)
    ended = {fate: canary.count(fate) for fate in ("sent", "dead", "kept_back", "retrying", "waiting")}
    words = ", ".join(f"{count} {fate.replace('_', ' ')}" for fate, count in ended.items() if count)
    if passed:
        note(f"the canary lives: {words}; {counted(rest, 'dead letter')} to follow")
    else:
        _complain(canary, trial, words or "nothing was replayed", rest)
        _quote(conn, canary)
    return bool(passed), ended | {"passed": bool(passed)}


def _wait(conn: Connection[Any], ids: Sequence[UUID], trial: Trial) -> Canary:
    deadline = time.monotonic() + trial.patience
    shown = 0
    with bar("canary", len(ids)) as advance:
        while True:
            canary = fare(conn, ids)
            conn.commit()
            ended = canary.count("sent", "dead", "kept_back")
            advance(ended - shown)
            shown = ended
            if canary.verdict(trial.threshold) is not None or time.monotonic() >= deadline:
                return canary
            time.sleep(_LOOK_AGAIN)


def _complain(canary: Canary, trial: Trial, words: str, rest: int) -> None:
    left = f"{counted(rest, 'dead letter')} left as they were"
    if canary.verdict(trial.threshold) is None:
        complain(f"the canary has not ended after {describe(trial.patience)}: {words}; {left}")
    elif canary.count("dead"):
        complain(f"the canary died: {words}; {left}")
    else:
        complain(f"the canary proves nothing, for none of it was sent: {words}; {left}")


def _quote(conn: Connection[Any], canary: Canary) -> None:
    """Say of a few of those that died what their providers said, and where to read on."""
    died = [identity for identity, fate in canary.fates.items() if fate == "dead"]
    for letter, _ in read_dead_letters(conn, died[:_QUOTED]):
        said = " ".join(part for part in (letter.error_code, letter.error) if part)
        note(clean(f"  {letter.id}, {letter.reason}: {said}", _LONGEST))
    first = next((identity for identity, fate in canary.fates.items() if fate != "sent"), None)
    if died or first is not None:
        note(f"why: outbox explain {died[0] if died else first}")
