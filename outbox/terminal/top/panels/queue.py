"""What waits, by channel and priority."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.messages import PRIORITIES
from outbox.telling.pauses import terms
from outbox.terminal.top.ink import Column, Drawing, Row, ago, count, rate, span, table
from outbox.terminal.top.panels.traffic import failing, share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outbox.terminal.top.ink import Meaning, Span
    from outbox.terminal.top.scene import Scene, Waiting

TITLE = "queue"
_BLOCKED = Column("blocked", number=True, sacrifice=6)  # shown where there are some
_COLUMNS = (
    Column("channel", least=12),
    Column("due", number=True),
    Column("oldest", number=True),
    Column("leased", number=True, sacrifice=1),
    Column("retrying", number=True, sacrifice=3),
    Column("scheduled", number=True, sacrifice=5),
    _BLOCKED,
    Column("sent/s", number=True, sacrifice=2),
    Column("failed", number=True, sacrifice=2),
    Column("workers", number=True, sacrifice=4),
)
_NAMES = {level: name for name, level in PRIORITIES.items()}
_LATE = 60.0
_VERY_LATE = 300.0


def draw(scene: Scene, width: int, height: int = 10_000) -> Drawing:
    """Return a row for each channel, with those of its priorities below it where it has several, and there is room."""
    rows = _rows(scene, lambda each: bool(each.waiting or each.leased))
    if len(rows) >= height:
        rows = _rows(scene, lambda each: bool(each.due))
    if len(rows) >= height:
        rows = _rows(scene, lambda _: False)
    if not rows:
        return Drawing((((("nothing waits, and no worker is live"), "dim"),),))
    shown = [place for place, column in enumerate(_COLUMNS) if column != _BLOCKED or _any_blocked(scene)]
    columns = [_COLUMNS[place] for place in shown]
    return table(columns, [Row(row.key, [row.cells[place] for place in shown]) for row in rows], width)


def _rows(scene: Scene, shown: Callable[[Waiting], bool]) -> list[Row]:
    rows: list[Row] = []
    for channel in scene.channels():
        some = [each for each in scene.waiting if each.channel == channel]
        rows.append(Row(channel, _channel(scene, channel, some)))
        levels = [each for each in some if shown(each)]
        if len(some) > 1 or any(each.priority != PRIORITIES["normal"] for each in levels):
            rows += [Row(f"{channel} {each.priority}", _level(each, last=each is levels[-1])) for each in levels]
    return rows


def about(scene: Scene, key: str) -> str:
    """Return what there is to say of the row that is chosen."""
    pause = scene.paused("channel", key.partition(" ")[0])
    return f"{pause.name} is paused {terms(pause)}" if pause else ""


def _any_blocked(scene: Scene) -> bool:
    return any(each.blocked for each in scene.waiting)


def _channel(scene: Scene, channel: str, some: Sequence[Waiting]) -> list[Span]:
    pause = scene.paused("channel", channel)
    workers = sum(channel in worker.channels for worker in scene.workers)
    due = sum(each.due for each in some)
    sent = scene.rates("sent", channel=channel)[0]
    name: Span = span(f"‖ {channel} paused", "warn") if pause else span(channel, "strong")
    return [
        name,
        *_states(some),
        span(rate(sent), "good" if sent else "dim"),
        span(*share(failing(scene, channel=channel))),
        span(workers, "bad" if due and not workers else "dim" if not workers else ""),
    ]


def _level(each: Waiting, *, last: bool) -> list[Span]:
    name = _NAMES.get(each.priority, f"priority {each.priority}")
    return [span(f"{'└' if last else '├'} {name}", "dim"), *_states([each]), ("", ""), ("", ""), ("", "")]


def _states(some: Sequence[Waiting]) -> list[Span]:
    about = any(each.is_estimate for each in some)
    oldest = max((each.oldest_due for each in some if each.oldest_due is not None), default=None)
    due, leased, retrying, scheduled, blocked = (
        sum(getattr(each, state) for each in some) for state in ("due", "leased", "retrying", "scheduled", "blocked")
    )
    return [
        span(count(due, about=about), "strong" if due else "dim"),
        span(ago(oldest), _lateness(oldest)),
        span(count(leased), "" if leased else "dim"),
        span(count(retrying, about=about), "warn" if retrying else "dim"),
        span(count(scheduled, about=about), "" if scheduled else "dim"),
        span(count(blocked, about=about), "" if blocked else "dim"),
    ]


def _lateness(oldest: float | None) -> Meaning:
    if oldest is None:
        return "dim"
    return "bad" if oldest >= _VERY_LATE else "warn" if oldest >= _LATE else ""
