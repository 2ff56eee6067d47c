"""What ends in a second, what is in hand, and how long deliveries take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.terminal.top.ink import Column, Row, ago, count, rate, span, table, took

if TYPE_CHECKING:
    from outbox.terminal.top.ink import Line, Meaning
    from outbox.terminal.top.scene import Scene

TITLE = "traffic"
_COLUMNS = (Column("a second"), Column("now", number=True), Column("last minute", number=True))
_ALARMING = 0.1
_KINDS: tuple[tuple[str, Meaning], ...] = (("sent", "good"), ("failed", "bad"), ("retried", "warn"))


def draw(scene: Scene, width: int, height: int = 9) -> list[Line]:
    """Return five lines, and those that matter next where there is room."""
    rows = []
    for kind, meaning in _KINDS:
        now, minute = scene.rates(kind)
        colour: Meaning = meaning if now else "dim"
        rows.append(Row(kind, [span(kind), span(rate(now), colour), span(rate(minute), "" if minute else "dim")]))
    lines = [*table(_COLUMNS, rows, width).lines(), _in_hand(scene)]
    more = _waiting(scene)
    return lines if height <= len(lines) else [*lines, (("", ""),), *more][:height]


def _in_hand(scene: Scene) -> Line:
    """Return how many are in workers' hands, and how long deliveries took lately."""
    half, most = scene.quantiles()
    return (
        ("in hand ", "dim"),
        span(count(sum(scene.fleet.in_hand().values())), "strong"),
        ("  p50 ", "dim"),
        span(took(half), "strong"),
        ("  p99 ", "dim"),
        span(took(most), "strong"),
    )


def _waiting(scene: Scene) -> list[Line]:
    """Return what is due, and what has died, of all channels."""
    due = sum(each.due for each in scene.waiting)
    oldest = max((each.oldest_due for each in scene.waiting if each.oldest_due is not None), default=None)
    later = sum(each.scheduled + each.retrying + each.blocked for each in scene.waiting)
    dead, lately = sum(each.open for each in scene.deaths), sum(each.lately for each in scene.deaths)
    return [
        (("due     ", "dim"), span(count(due), "strong"), ("  oldest ", "dim"), span(ago(oldest), "strong")),
        (("later   ", "dim"), span(count(later), "strong")),
        (
            ("dead    ", "dim"),
            span(count(dead), "bad" if dead else "strong"),
            ("  in 5 min ", "dim"),
            span(f"+{count(lately)}" if lately else "0", "bad" if lately else "strong"),
        ),
    ]


def failing(scene: Scene, *, channel: str | None = None, provider: str | None = None) -> float | None:
    """Return which share of what was tried in the last seconds failed; None where nothing was."""
    sent = scene.rates("sent", channel=channel, provider=provider)[0]
    failed = scene.rates("failed", channel=channel, provider=provider)[0]
    return failed / (sent + failed) if sent + failed else None


def share(failed: float | None) -> tuple[str, Meaning]:
    """Return such a share in words."""
    if failed is None:
        return "-", "dim"
    words = f"{failed:.1%}" if 0 < failed < _ALARMING else f"{failed:.0%}"
    return words, "bad" if failed >= _ALARMING else "warn" if failed else ""
