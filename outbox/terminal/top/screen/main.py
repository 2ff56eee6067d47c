"""The screen that there is at first."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.css.query import NoMatches
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from outbox.terminal.top.panels import chart, letters, providers, queue, traffic, warnings, workers
from outbox.terminal.top.screen.heights import heights
from outbox.terminal.top.screen.panel import Panel, Picture

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from outbox.terminal.top.scene import Scene

_CAUSES = 5


class MainScreen(Screen[None]):
    """All panels."""

    app: Any
    BINDINGS: ClassVar = [
        ("p", "app.steer(True)", "pause"),
        ("r", "app.steer(False)", "resume"),
        ("d", "app.letters", "dead letters"),
        ("w", "app.workers", "workers"),
        ("slash", "filter", "filter"),
        Binding("t", "app.colours", "colours", show=False),
        Binding("escape", "everything", "everything", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Lay them out."""
        yield Static(Content(" outbox top  looking for the first time …"), id="head")
        yield Static("", id="banner")
        with Horizontal(id="top"):
            yield Picture(traffic.TITLE, traffic.draw, id="traffic")
            yield Picture("", chart.draw, id="chart")
        yield Panel(queue.TITLE, queue.draw, id="queue", about=queue.about)
        with Horizontal(id="middle"):
            yield Panel(providers.TITLE, providers.draw, id="providers", about=providers.about)
            yield Panel(letters.TITLE, letters.draw, id="deaths")
        yield Panel(workers.TITLE, workers.draw, id="workers", about=workers.about)
        yield Picture("", warnings.draw, id="warnings")
        yield Input(placeholder="only channels with this in their names; Enter keeps it, Esc shows all", id="filter")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Let a channel be chosen."""
        self.query_one("#queue", Panel).focus()

    def on_resize(self) -> None:
        """Show what has room now."""
        self.call_after_refresh(self.app.redraw)

    def show(self, scene: Scene) -> None:
        """Show what there is to see now; nothing where it is not laid out yet, or not any more."""
        with suppress(NoMatches):
            self._show(scene)

    def _show(self, scene: Scene) -> None:
        self.query_one("#head", Static).update(_head(scene, self.app.words, self.size.width))
        sentences = warnings.wanted(scene, self.size.width - 2)
        wanted = {
            "queue": len(queue.draw(scene, self.size.width).rows),
            "middle": max(len(providers.pairs(scene)), len(scene.deaths) + min(len(scene.causes), _CAUSES) + 2),
            "workers": len(scene.workers),
        }
        for name, lines in heights(self.size.height - self.query_one("#banner").display, wanted, sentences).items():
            part = self.query_one(f"#{name}")
            part.display = lines > 0
            part.styles.height = lines
        picture = self.query_one("#chart", Picture)
        picture.border_title = Content(chart.title(picture.content_size.width))
        for part in self.query(Picture):
            part.show(scene)

    def trouble(self, words: str) -> None:
        """Say what is the matter with the database, or nothing."""
        for banner in self.query("#banner").results(Static):
            banner.display = bool(words)
            banner.update(Content(f" {words}"))

    def action_filter(self) -> None:
        """Ask which channels to show."""
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_everything(self) -> None:
        """Show every channel again."""
        box = self.query_one("#filter", Input)
        box.value = self.app.words = ""
        self._close(box)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what fits so far."""
        self.app.words = event.value

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep to these channels."""
        self._close(event.input)

    def on_panel_opened(self, event: Panel.Opened) -> None:
        """Go where there is more to see."""
        if event.panel.id == "deaths":
            self.app.action_letters()
        elif event.panel.id == "workers":
            self.app.action_workers()

    def _close(self, box: Input) -> None:
        if box.display and box.has_focus:
            self.query_one("#queue", Panel).focus()
        box.display = False


def _head(scene: Scene, words: str, width: int) -> Content:
    left = Content.assemble(
        (" outbox top ", "bold $accent"),
        (f" {scene.database}  ", "$faint"),
        workers.summary(scene),
        (f"  only *{words}*" if words else "", "$warning"),
    )
    right = Content.assemble((f"{scene.at:%H:%M:%S} ", "$faint"), ("● ", "$success"))
    gap = max(width - left.cell_length - right.cell_length, 1)
    return Content.assemble(left, " " * gap, right)
