"""The dead letters that are open, whether they grow, and of what the newest died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.queue.deaths import MOST, NEWEST
from outbox.terminal.top.ink import Column, Drawing, Row, ago, count, span, table

if TYPE_CHECKING:
    from outbox.queue.deaths import Deaths
    from outbox.queue.letter_groups import Group
    from outbox.terminal.top.ink import Line, Span
    from outbox.terminal.top.scene import Scene

TITLE = "dead letters"
_COLUMNS = (
    Column("channel", least=12),
    Column("open", number=True),
    Column("5 min", number=True),
    Column("1 h", number=True, sacrifice=1),
    Column("newest", number=True, sacrifice=2),
)
_CAUSES = (Column("of the newest", least=12), Column("", number=True), Column("newest", number=True, sacrifice=1))


def draw(scene: Scene, width: int, height: int = 0) -> Drawing:
    """Return a row for each channel that has any; and where there is room, what they died of."""
    if not scene.deaths:
        return Drawing(((("● none is open", "good"),),))
    letters = table(_COLUMNS, [Row(each.channel, _row(each)) for each in scene.deaths], width)
    room = height - len(scene.deaths) - len(letters.head) - 2
    if room < 1 or not scene.causes:
        return letters
    some = table(_CAUSES, [Row(each.id, _cause(each)) for each in scene.causes[:room]], width)
    blank: tuple[str, Line] = ("", (("", ""),))
    return Drawing(letters.head, [*letters.rows, blank, ("", some.head[0]), *some.rows])


def named(group: Group) -> str:
    """Return what they have in common: `email smtp 550 5.1.1 welcome`."""
    code = group.error_code or group.error_class or next(iter(group.reasons), "")
    return " ".join(part for part in (group.channel, group.provider, code, group.template) if part)


def most(number: int, limit: int = MOST) -> str:
    """Return a count that goes no further than this."""
    return f"{count(number)}+" if number >= limit else count(number)


def _row(each: Deaths) -> list[Span]:
    return [
        span(each.channel, "strong"),
        span(most(each.open), "bad"),
        span(f"+{most(each.lately)}" if each.lately else "0", "bad" if each.lately else "dim"),
        span(f"+{most(each.hour)}" if each.hour else "0", "warn" if each.hour else "dim"),
        span(f"{ago(each.last)} ago"),
    ]


def _cause(each: Group) -> list[Span]:
    return [span(named(each)), span(most(each.count, NEWEST), "bad"), span(f"{ago(each.last_seconds_ago)} ago")]
