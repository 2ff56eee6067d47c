"""What was sent and what failed, a second: minute by minute, and then the last minute second by second."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from outbox.terminal.top.ink import rate
from outbox.terminal.top.pace import MINUTE, WRITTEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.terminal.top.ink import Line, Meaning
    from outbox.terminal.top.scene import Scene

_LABEL = 7
_LIVE = 30
_TALL = 8
_LONG = 30
_SEPARATOR = "│"
# A cell of Braille is two points wide and four high; these are the dots of a bar from the bottom up, left and right.
# https://www.unicode.org/charts/PDF/U2800.pdf
_EMPTY = 0x2800
_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
_DOTS = 4


def title(width: int) -> str:
    """Return what a chart of this width is about."""
    past, live = _shares(width)
    words = f"{2 * past} min {_SEPARATOR} {2 * live} s"
    return f"sent and failed a second: {words}" if width > len(words) + _LONG else f"sent, failed/s: {words}"


def draw(scene: Scene, width: int, height: int) -> list[Line]:
    """Return a chart: what failed has the last line or two, and a scale of its own, for it must be seen."""
    past, live = _shares(width)
    low = 1 if height < _TALL else max(2, height // 4)
    lines: list[Line] = []
    kinds: tuple[tuple[str, Meaning, int], ...] = (("sent", "good", height - low), ("failed", "bad", low))
    for kind, meaning, tall in kinds:
        values = [*_minutes(scene, kind, 2 * past), *_seconds(scene, kind, 2 * live)]
        lines += _bars(values, past, tall, meaning)
    return lines


def _shares(width: int) -> tuple[int, int]:
    """Return how many cells minutes have, and how many seconds."""
    room = max(width - _LABEL - len(_SEPARATOR), 2)
    live = min(_LIVE, room // 2)
    return room - live, live


def _minutes(scene: Scene, kind: str, many: int) -> list[float | None]:
    """Return what the history has of so many minutes, the one that is not over left out."""
    sums: dict[float, float] = defaultdict(float)
    for sample in scene.samples:
        sums[sample.at.timestamp()] += getattr(sample, kind) / MINUTE
    now = scene.at.replace(second=0, microsecond=0)
    moments = [(now - timedelta(minutes=past)).timestamp() for past in range(many, 0, -1)]
    first = min(sums, default=math.inf)
    if scene.at.second < WRITTEN and not sums.get(moments[-1]):
        moments[-1] = -math.inf  # nobody has written it down yet
    return [sums.get(moment, 0.0) if moment >= first else None for moment in moments]


def _seconds(scene: Scene, kind: str, many: int) -> list[float | None]:
    """Return what was seen in the last seconds; where nobody looked, what was seen before."""
    points: list[float | None] = [None] * many
    for ago, rates in scene.speed.live:
        place = many - 1 - int(ago)
        if 0 <= place < many:
            points[place] = sum(number for key, number in rates.items() if key.kind == kind)
    for place in range(1, many):
        points[place] = points[place - 1] if points[place] is None else points[place]
    return points


def _bars(values: Sequence[float | None], past: int, tall: int, meaning: Meaning) -> list[Line]:
    most = max((value for value in values if value is not None), default=0.0)
    heights = [_height(value, most, tall) for value in values]
    lines: list[Line] = []
    for level in range(tall - 1, -1, -1):
        cells = "".join(_cell(heights[place], heights[place + 1], level) for place in range(0, len(heights), 2))
        label = rate(most) if most and level == tall - 1 else "0" if level == 0 else ""
        bars: Meaning = meaning if most else "dim"
        start, end = (cells[:past], bars), (cells[past:], bars)
        lines.append(((f"{label:>{_LABEL - 1}} ", "dim"), start, (_SEPARATOR, "dim"), end))
    return lines


def _height(value: float | None, most: float, tall: int) -> int:
    """Return how many dots high a bar is; nothing has one as well, and what is unknown has none."""
    return 0 if value is None else max(round(value / most * tall * _DOTS), 1) if most else 1


def _cell(left: int, right: int, level: int) -> str:
    """Return what is seen of two bars on a level, counted from the bottom."""
    lower, upper = (min(max(height - level * _DOTS, 0), _DOTS) for height in (left, right))
    dots = _LEFT[lower] | _RIGHT[upper]
    return chr(_EMPTY + dots) if dots else " "
