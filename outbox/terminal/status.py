"""`outbox status` as people see it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox.errors import clean
from outbox.queue.inspect import count_channels, count_strays, failing_schedules, live_workers
from outbox.queue.letter_groups import groups_of_newest
from outbox.queue.paused import list_pauses
from outbox.telling.amiss import warnings_of
from outbox.telling.pauses import pause_document
from outbox.telling.words import age, counted
from outbox.terminal.output import Column, fits, print_blocks, print_json, print_table, say, warn
from outbox.terminal.progress import waiting
from outbox.terminal.session import reading
from outbox.terminal.worker_facts import worker_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.inspect import Channel, LiveWorker, Strays
    from outbox.queue.letter_groups import Groups
    from outbox.queue.paused import Pause

# Shown where there are some: else they would say nothing, and the others fit on a terminal.
_BLOCKED, _GATHERING = Column("blocked", "number"), Column("gathering", "number")
_COLUMNS = (
    Column("channel", "whole"),
    Column("waiting", "number"),
    Column("due", "number"),
    Column("leased", "number"),
    Column("scheduled", "number"),
    Column("retrying", "number"),
    _BLOCKED,
    _GATHERING,
    Column("oldest due", "number"),
    Column("dead", "number"),
    Column("workers", "number"),
)
_WORKERS_NAMED = 4
_QUOTED = 200
_NEWEST = 1_000  # dead letters of each channel that are looked at: all of a million would take a second


def show(url: str, asked: Sequence[str] | None, *, as_json: bool) -> int:
    """Print what waits on each channel (or those asked for), who works, and what is amiss."""
    with waiting("counting what waits"), reading(url) as conn:
        channels, workers, strays = count_channels(conn, asked), live_workers(conn, asked), count_strays(conn)
        failing, pauses = failing_schedules(conn), _about_these(list_pauses(conn), asked)
        letters = groups_of_newest(conn, [each.channel for each in channels if each.dead], newest=_NEWEST)
    warnings = warnings_of(channels, failing, strays, pauses)
    if as_json:
        document = _document(channels, workers, strays, pauses, warnings)
        print_json(document | {"dead_letter_groups": _groups_document(letters)})
        return 0
    if channels:
        columns, rows = _table(channels)
        (print_table if fits(columns, rows) else print_blocks)(columns, rows)
    else:
        say("nothing waits, and there are no dead letters")
    say(_about(workers))
    if letters.groups:
        say(_grouped(letters, sum(channel.dead for channel in channels)))
    for warning in warnings:
        warn(warning)
    return 0


def _about_these(pauses: Sequence[Pause], asked: Sequence[str] | None) -> list[Pause]:
    """Return those of the channels that were asked for; a provider may be one of any channel's."""
    return [pause for pause in pauses if not asked or pause.scope == "provider" or pause.name in asked]


def _table(channels: Sequence[Channel]) -> tuple[Sequence[Column], list[list[str]]]:
    rows = [_row(channel) for channel in channels]
    empty = {
        _BLOCKED: not any(channel.blocked for channel in channels),
        _GATHERING: not any(channel.gathering for channel in channels),
    }
    shown = [place for place, column in enumerate(_COLUMNS) if not empty.get(column)]
    return [_COLUMNS[place] for place in shown], [[row[place] for place in shown] for row in rows]


def _row(channel: Channel) -> list[str]:
    counts = (
        *(channel.waiting, channel.due, channel.leased, channel.scheduled, channel.retrying, channel.blocked),
        channel.gathering,
    )
    oldest = "-" if channel.oldest_due is None else age(channel.oldest_due)
    return [channel.channel, *(f"{count:,}" for count in counts), oldest, f"{channel.dead:,}", str(channel.workers)]


def _about(workers: Sequence[LiveWorker]) -> str:
    if not workers:
        return "no live worker"
    count = counted(len(workers), "live worker")
    if len(workers) > _WORKERS_NAMED:
        return f"{count} on {counted(len({worker.host for worker in workers}), 'host')}; --json lists them"
    return f"{count}: " + "; ".join(_name(worker) for worker in workers)


def _grouped(letters: Groups, every: int) -> str:
    largest = letters.groups[0]
    of = "" if letters.letters >= every else f" among the newest {letters.letters:,} of {every:,}"
    words = f"dead letters: {counted(letters.count, 'group')}{of}, largest: {largest.count:,} of {largest.fingerprint}"
    return f"{clean(words, _QUOTED)}; outbox dead-letters groups"


def _groups_document(letters: Groups) -> dict[str, Any]:
    return {
        "of_newest": letters.letters,
        "count": letters.count,
        "largest": [
            {"group": group.id, "fingerprint": group.fingerprint, "count": group.count} for group in letters.groups
        ],
    }


def _name(worker: LiveWorker) -> str:
    idle = ", idle" if set(worker.idle) == set(worker.channels) else ""
    where = f"{worker.id} on {worker.host} (pid {worker.pid}, up {age(worker.up)}{idle})"
    return f"{where}: {', '.join(worker.channels)}"


def _document(
    channels: Sequence[Channel],
    workers: Sequence[LiveWorker],
    strays: Strays,
    pauses: Sequence[Pause],
    warnings: Sequence[str],
) -> dict[str, Any]:
    paused = {pause.name for pause in pauses if pause.scope == "channel"}
    return {
        "channels": [
            {
                "channel": channel.channel,
                "waiting": channel.waiting,
                "due": channel.due,
                "leased": channel.leased,
                "scheduled": channel.scheduled,
                "retrying": channel.retrying,
                "blocked": channel.blocked,
                "gathering": channel.gathering,
                "oldest_due_seconds": channel.oldest_due,
                "dead_letters": channel.dead,
                "workers": channel.workers,
                "paused": channel.channel in paused,
            }
            for channel in channels
        ],
        "workers": [worker_facts(worker) for worker in workers],
        "pauses": [pause_document(pause) for pause in pauses],
        "default_partitions": asdict(strays),
        "warnings": warnings,
    }
