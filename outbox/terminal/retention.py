"""`outbox retention` as people see it: what is past its time, and its going, in the steps in which workers do it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from outbox.durations import parse
from outbox.errors import ConfigError
from outbox.queue.retention import PATIENCE, Sweep, count, days_of, forecast, list_expired
from outbox.telling.words import counted, size
from outbox.terminal.output import Column, done, note, print_json, print_table, say, warn
from outbox.terminal.progress import bar, waiting
from outbox.terminal.session import awriting
from outbox.terminal.setup import FAILED, is_terminal

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from outbox.config import Config, RetentionConfig
    from outbox.queue.retention import Partition, Step

_COLUMNS = (
    Column("partition", "whole"),
    Column("day", "whole"),
    Column("rows", "number"),
    Column("size", "number"),
    Column("", "cut"),
)
_LONGEST_PATIENCE = 5.0
_WHY = {
    "held": "something in the queue is of that day",
    "busy": "in use without a pause",
    "gone": "dropped by somebody else",
}


@dataclass(slots=True)
class _Tally:
    """What has gone so far."""

    dropped: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By name: rows and bytes."""
    kept: dict[str, str] = field(default_factory=dict)
    """By name: why."""
    deleted: Counter[str] = field(default_factory=Counter)

    def add(self, step: Step) -> None:
        match step.did:
            case "detached":
                self.dropped[step.what] = (step.rows, step.bytes)
            case "dropped":
                self.dropped.setdefault(step.what, (step.rows, step.bytes))
            case "deleted":
                self.deleted[step.what] += step.rows
            case why:
                self.kept[step.what] = why


def retain(config: Config, *, dry_run: bool, patience: str | None, as_json: bool) -> int:
    """Let go of what is past its time, or only tell of it; 1 when a partition should have gone and could not.

    Raises:
        ConfigError: `patience` is no duration, or one that nobody has.
    """
    millis = _millis(patience)
    if dry_run:
        return asyncio.run(_foretell(config.database_url, config.retention, as_json=as_json))
    return asyncio.run(_retain(config.database_url, config.retention, millis, as_json=as_json))


def _millis(patience: str | None) -> int:
    if patience is None:
        return PATIENCE
    try:
        seconds = parse(patience)
    except ValueError as error:
        raise ConfigError([f"--patience: {error}"]) from None
    if not 0 < seconds <= _LONGEST_PATIENCE:
        raise ConfigError([f"--patience: enqueues wait as long: it is above zero and at most {_LONGEST_PATIENCE:g}s"])
    return max(round(seconds * 1_000), 1)


async def _foretell(url: str, policy: RetentionConfig, *, as_json: bool) -> int:
    with waiting("counting what is old"):
        async with awriting(url) as conn:
            expired, counts = await list_expired(conn, policy.days), await forecast(conn, policy)
            rows = {partition.name: await count(conn, partition) for partition in expired}
    if as_json:
        print_json(_forecast_document(expired, rows, counts))
        return 0
    if expired:
        print_table(_COLUMNS, [_row(partition, rows[partition.name]) for partition in expired])
    going = [partition for partition in expired if not partition.held]
    space = size(sum(partition.bytes for partition in going))
    total = sum(rows[partition.name] for partition in going)
    say(f"would drop {counted(len(going), 'partition')} with about {counted(total, 'row')}, {space}")
    for kind, number in counts.items():
        if number:
            say(f"would delete {number:,} {kind} older than {counted(days_of(policy, kind) or 0, 'day')}")
    return 0


def _row(partition: Partition, rows: int) -> list[str]:
    why = f"stays: {_WHY['held']}" if partition.held else "" if partition.attached else "detached before"
    return [partition.name, str(partition.day or "-"), f"{rows:,}", size(partition.bytes), why]


def _forecast_document(
    expired: list[Partition], rows: dict[str, int], counts: dict[str, int]
) -> dict[str, list[dict[str, Any]] | dict[str, int]]:
    def document(partition: Partition) -> dict[str, Any]:
        day = partition.day and partition.day.isoformat()
        return {"partition": partition.name, "day": day, "rows": rows[partition.name], "bytes": partition.bytes}

    return {
        "would_drop": [document(partition) for partition in expired if not partition.held],
        "would_delete": {kind.replace(" ", "_").replace("-", "_"): number for kind, number in counts.items()},
        "held": [document(partition) for partition in expired if partition.held],
    }


async def _retain(url: str, policy: RetentionConfig, patience: int, *, as_json: bool) -> int:
    tally = _Tally()
    sweep = Sweep(policy, patience=patience)
    try:
        async with awriting(url) as conn:
            with bar("retention", await _total(conn, policy) if is_terminal() else 0) as advance:
                while True:
                    async with conn.transaction():
                        step = await sweep.step(conn)
                    if step is None:
                        break
                    tally.add(step)
                    advance(step.rows)
                    await asyncio.sleep(sweep.pause)
    finally:  # what was committed is told, whatever stopped the rest
        _tell(tally, as_json=as_json)
    return FAILED if sweep.busy else 0


async def _total(conn: AsyncConnection[Any], policy: RetentionConfig) -> int:
    expired = await list_expired(conn, policy.days)
    partitions = [await count(conn, partition) for partition in expired if not partition.held]
    return sum(partitions) + sum((await forecast(conn, policy)).values())


def _tell(tally: _Tally, *, as_json: bool) -> None:
    rows = sum(rows for rows, _ in tally.dropped.values())
    space = sum(space for _, space in tally.dropped.values())
    deleted = {kind: number for kind, number in tally.deleted.items() if number}
    if as_json:
        dropped = [{"partition": name, "rows": gone, "bytes": freed} for name, (gone, freed) in tally.dropped.items()]
        kept = [{"partition": name, "why": why} for name, why in tally.kept.items() if why != "gone"]
        renamed = {kind.replace(" ", "_").replace("-", "_"): number for kind, number in deleted.items()}
        print_json({"dropped": dropped, "deleted": renamed, "kept": kept})
        return
    if tally.dropped:
        done(f"dropped {counted(len(tally.dropped), 'partition')} with about {counted(rows, 'row')}, {size(space)}")
    for kind, number in deleted.items():
        done(f"deleted {number:,} {kind}")
    if not (tally.dropped or deleted):
        say("nothing is past its time" if not tally.kept else "nothing has gone")
    for name, why in tally.kept.items():
        if why == "busy":
            warn(f"{name} stays: {_WHY[why]}; try again, or let enqueues wait longer with --patience 1s")
        else:
            note(f"{name} stays: {_WHY[why]}")
