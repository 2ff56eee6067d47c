"""Who works: where, what each has in hand, how fast it goes, and when it was last seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.terminal.fleet import per_second, state
from outbox.terminal.top.ink import Column, Drawing, Row, ago, count, rate, span, table

if TYPE_CHECKING:
    from outbox.queue.fleet import Worker
    from outbox.terminal.top.ink import Span
    from outbox.terminal.top.scene import Scene

TITLE = "workers"
_COLUMNS = (
    Column("worker", number=True),
    Column("host", least=12),
    Column("pid", number=True),
    Column("channels", least=12, sacrifice=2),
    Column("state"),
    Column("in hand", number=True),
    Column("ended/s", number=True),
    Column("version", sacrifice=5),
    Column("hears", sacrifice=4),
    Column("up", number=True, sacrifice=3),
    Column("seen", number=True),
)
_STATES: dict[str, Span] = {
    "busy": ("● busy", "good"),
    "idle": ("○ idle", "dim"),
    "looking": ("◌ looking", ""),
    "vanished": ("✗ vanished", "bad"),
}
_SKEW = 1.0
_SILENT = 15.0


def draw(scene: Scene, width: int, height: int = 0) -> Drawing:  # noqa: ARG001 - as every panel
    """Return a row for each worker that was seen in the last minute."""
    if not scene.workers:
        return Drawing(((("no live worker; start one: outbox worker --channel …", "bad"),),))
    return table(_COLUMNS, [Row(str(worker.id), _row(worker)) for worker in scene.workers], width)


def summary(scene: Scene) -> str:
    """Return how many there are, and where."""
    hosts = {worker.host for worker in scene.workers}
    some = f"{len(scene.workers)} worker{'s' * (len(scene.workers) != 1)}"
    return some if not hosts else f"{some} on {len(hosts)} host{'s' * (len(hosts) != 1)}"


def about(scene: Scene, key: str) -> str:
    """Return what there is to say of the row that is chosen."""
    worker = next((each for each in scene.workers if str(each.id) == key), None)
    if worker is None:
        return ""
    said = [f"serves {', '.join(worker.channels)}"]
    if worker.report is not None:
        said.append(f"{worker.report.concurrency} at once")
    if worker.skew is not None and abs(worker.skew) > _SKEW:
        side = "ahead of" if worker.skew > 0 else "behind"
        said.append(f"its clock is {ago(abs(worker.skew))} {side} the database's")
    return "; ".join(said)


def _state(worker: Worker) -> Span:
    """Return whether it sends, sleeps, looks, or has not been heard of for longer than it should."""
    if worker.seen > _SILENT:
        return "✗ silent", "bad"
    return _STATES[state(worker)]


def _row(worker: Worker) -> list[Span]:
    speed = per_second(worker)
    listening = None if worker.report is None else worker.report.listening
    return [
        span(worker.id, "strong"),
        span(worker.host),
        span(worker.pid),
        span(", ".join(worker.channels)),
        _state(worker),
        span("-" if worker.report is None else count(worker.in_hand), "" if worker.in_hand else "dim"),
        span("-" if speed is None else rate(speed), "" if speed else "dim"),
        span(worker.version, "dim"),
        span("-" if listening is None else "yes" if listening else "polls", "warn" if listening is False else "dim"),
        span(ago(worker.up), "dim"),
        span(f"{ago(worker.seen)} ago", "bad" if worker.seen > _SILENT else "dim"),
    ]
