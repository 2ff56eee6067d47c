"""A part of the screen that shows what one of the panels draws; in some of them, rows can be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from outbox.terminal.top.ink import Drawing, fitted
from outbox.terminal.top.screen.themes import STYLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual import events

    from outbox.terminal.top.ink import Line

_GUTTER = 2
_CHOSEN = "▸ "


class Picture(Widget):
    """Lines that cannot be chosen from; `scene` is whatever `draw` makes lines of."""

    def __init__(self, title: str, draw: Callable[[Any, int, int], Any], *, id: str) -> None:  # noqa: A002 - textual's
        super().__init__(id=id)
        self.border_title = self.title = title
        self.scene: Any = None
        self._draw = draw

    def show(self, scene: Any) -> None:
        """Show what there is to see now."""
        self.scene = scene
        self.refresh()

    def render(self) -> Content:
        """Return what is drawn."""
        if self.scene is None:
            return Content("")
        width, height = self.content_size
        return written([fitted(line, width) for line in self._draw(self.scene, width, height)[:height]])


class Panel(Picture, can_focus=True):
    """A table in which a row is chosen by its key, whichever way the rows move."""

    BINDINGS: ClassVar = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "move(-10)", "page up", show=False),
        Binding("pagedown", "move(10)", "page down", show=False),
        Binding("home", "move(-100000)", "first", show=False),
        Binding("end", "move(100000)", "last", show=False),
        Binding("enter", "open", "open", show=False),
    ]

    @dataclass
    class Opened(Message):
        """Somebody wants to see more of a row."""

        panel: Panel
        key: str

    def __init__(
        self,
        title: str,
        draw: Callable[[Any, int, int], Drawing],
        *,
        id: str,  # noqa: A002 - textual's
        about: Callable[[Any, str], str] | None = None,
    ) -> None:
        super().__init__(title, draw, id=id)
        self.chosen = ""
        self._about = about
        self._first = 0

    def show(self, scene: Any) -> None:
        """Show what there is to see now, the same row chosen as before."""
        super().show(scene)
        self._choose(self.place)

    @property
    def keys(self) -> list[str]:
        """What can be chosen, in order."""
        return [] if self.scene is None else [key for key, _ in self._drawing().rows if key]

    @property
    def place(self) -> int:
        """Which of them is chosen."""
        keys = self.keys
        return keys.index(self.chosen) if self.chosen in keys else 0

    def action_move(self, by: int) -> None:
        """Choose another row."""
        self._choose(self.place + by)

    def action_open(self) -> None:
        """Ask for more about the row."""
        if self.chosen:
            self.post_message(self.Opened(self, self.chosen))

    def on_click(self, event: events.Click) -> None:
        """Choose the row that was clicked; open it the second time."""
        line = event.get_content_offset(self)
        rows = self._drawing().rows if self.scene is not None else ()
        place = -1 if line is None else line.y - len(self._drawing().head) + self._first
        if 0 <= place < len(rows) and rows[place][0]:
            again = rows[place][0] == self.chosen
            self._choose(self.keys.index(rows[place][0]))
            if again and event.chain > 1:
                self.action_open()

    def on_focus(self) -> None:
        """Show which row is chosen."""
        self._choose(self.place)

    def on_blur(self) -> None:
        """Say no more about it."""
        self._choose(self.place)

    def render(self) -> Content:
        """Return as many rows as there is room for, the chosen one among them."""
        if self.scene is None:
            return Content("")
        width, height = self.content_size
        drawing = self._drawing()
        lines = [self._marked(line, chosen=False) for line in drawing.head]
        room = max(height - len(lines), 1)
        chosen = next((at for at, (key, _) in enumerate(drawing.rows) if key and key == self.chosen), 0)
        self._first = min(max(self._first, chosen - room + 1, 0), chosen, max(len(drawing.rows) - room, 0))
        for at, (_, line) in enumerate(drawing.rows[self._first : self._first + room], self._first):
            lines.append(self._marked(line, chosen=self.has_focus and at == chosen and bool(self.chosen)))
        return Content("\n").join(lines[:height]) if width > _GUTTER else Content("")

    def _drawing(self) -> Drawing:
        width, height = self.content_size
        return self._draw(self.scene, max(width - _GUTTER, 1), height)  # type: ignore[no-any-return]

    def _choose(self, place: int) -> None:
        keys = self.keys
        self.chosen = keys[min(max(place, 0), len(keys) - 1)] if keys else ""
        told = self._about is not None and self.chosen and self.has_focus
        hidden = len(keys) - max(self.content_size.height - 1, 0)
        more = f", {hidden} more" if hidden > 0 and self.content_size.height else ""
        self.border_title = Content(f"{self.title}{more}")
        self.border_subtitle = Content(self._about(self.scene, self.chosen) if self._about and told else "")
        self.refresh()

    def _marked(self, line: Line, *, chosen: bool) -> Content:
        width = self.content_size.width
        content = written([fitted(((_CHOSEN if chosen else " " * _GUTTER, "mark"), *line), width)])
        return content.stylize_before("on $chosen") if chosen else content


def written(lines: list[Line]) -> Content:
    """Return lines in their colours."""
    return Content("\n").join(
        [Content.assemble(*((words, STYLES[meaning]) for words, meaning in line)) for line in lines]
    )
