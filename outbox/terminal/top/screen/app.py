"""The application: what is where, and what the keys do."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import psycopg
from textual.app import App
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer

from outbox.errors import OutboxError
from outbox.terminal.top.panels import workers
from outbox.terminal.top.screen import steering
from outbox.terminal.top.screen.background import is_light
from outbox.terminal.top.screen.dialogs import Ask, Terms, help_screen
from outbox.terminal.top.screen.letters import EVERY, LettersScreen
from outbox.terminal.top.screen.main import MainScreen
from outbox.terminal.top.screen.panel import Panel
from outbox.terminal.top.screen.themes import DARK, FALLBACK, LIGHT, THEMES
from outbox.terminal.top.screen.watcher import Watcher, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from textual.app import ComposeResult

    from outbox.terminal.top.scene import Scene

_SILENT = 5.0
_ASKED = {
    True: "What waits stays due, and uses no attempt. What is being sent is finished; applications go on enqueueing.",
    False: "What waited is sent, the most urgent first.",
}


class Top(App[None]):
    """Shows what a watcher of the database sees, until somebody leaves."""

    CSS_PATH = "top.tcss"
    TITLE = "outbox top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [("question_mark", "help", "help"), ("q,ctrl+c", "quit", "quit")]

    class Seen(Message):
        """A look found something."""

        def __init__(self, scene: Scene) -> None:
            super().__init__()
            self.scene = scene

    class Lost(Message):
        """A look found nothing."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    def __init__(self, url: str, *, interval: float = 1.0, theme: str = "dark", channels: Sequence[str] = ()) -> None:
        super().__init__()
        self.url = url
        self.scene: Scene | None = None
        self._interval = interval
        self._channels = frozenset(channels)
        self._filter = ""
        self._why = ""
        self._told = time.monotonic()
        self._well = self._told
        self._watcher = Watcher(
            url,
            interval,
            seen=lambda scene: self.post_message(self.Seen(scene)),
            lost=lambda why: self.post_message(self.Lost(why)),
        )
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = THEMES[theme]

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return our own variables, for themes without them."""
        return FALLBACK

    def get_default_screen(self) -> Screen[None]:
        """Return the screen that there is at first."""
        return MainScreen(id="_default")

    def on_mount(self) -> None:
        """Begin to look."""
        self._watcher.start()
        self.set_interval(1.0, self._tell)

    async def on_unmount(self) -> None:
        """Look no more."""
        await asyncio.to_thread(self._watcher.stop)

    def on_top_seen(self, message: Seen) -> None:
        """Show it."""
        self.scene = message.scene
        self._why = ""
        self._told = self._well = time.monotonic()
        self.redraw()

    def on_top_lost(self, message: Lost) -> None:
        """Say so; what was seen before stays."""
        self._why = message.why
        self._told = time.monotonic()
        self._tell()

    @property
    def words(self) -> str:
        """What a channel's name must have in it to be shown."""
        return self._filter

    @words.setter
    def words(self, words: str) -> None:
        self._filter = words.strip().lower()
        self.redraw()

    def wants(self, channel: str) -> bool:
        """Tell whether anything about this channel is to be shown."""
        return (not self._channels or channel in self._channels) and self._filter in channel

    def redraw(self) -> None:
        """Show what there is to see, wherever something of it is shown."""
        if self.scene is not None:
            scene = self.scene.only(self.wants)
            for screen in self.screen_stack:
                if isinstance(screen, MainScreen | WorkersScreen):
                    screen.show(scene)
        self._tell()

    def _tell(self) -> None:
        """Say what is the matter with the database, if anything is, and since when."""
        silent = time.monotonic() - self._told
        why = self._why
        if not why and silent > max(_SILENT, 3 * self._interval):
            why = f"the database has not answered for {silent:.0f} s"
        since = time.monotonic() - self._well
        main = self.screen_stack[0] if self.screen_stack else None
        if isinstance(main, MainScreen):
            old = f"what is shown is {since:.0f} s old: " if self.scene is not None else ""
            main.trouble(f"✗ {old}{why}" if why else "")

    def action_help(self) -> None:
        """Show what the keys do."""
        self.push_screen(help_screen())

    def action_letters(self) -> None:
        """Show the dead letters."""
        some = self._filter or self._channels
        channels = [each for each in self.scene.channels() if self.wants(each)] if some and self.scene else []
        focused = self.focused
        chosen = focused.chosen if isinstance(focused, Panel) and focused.id == "deaths" else ""
        causes = {each.id for each in self.scene.causes} if self.scene else set()
        self.push_screen(LettersScreen(self.url, channels, chosen if chosen in causes else EVERY))

    def action_workers(self) -> None:
        """Show the workers on a screen of their own."""
        self.push_screen(WorkersScreen())
        self.call_after_refresh(self.redraw)

    def action_colours(self) -> None:
        """Take the next colours."""
        names = list(THEMES.values())
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    def action_steer(self, pausing: bool) -> None:  # noqa: FBT001 - textual passes what a key is bound to
        """Ask why, and pause or resume what is chosen."""
        target = self._target()
        if target is None:
            self.notify("Choose a channel or a provider first: Tab, and the arrows.", severity="warning")
            return
        scope, name = target
        question = f"{'Pause' if pausing else 'Resume'} {name if scope == 'channel' else f'the provider {name}'}?"
        act = partial(self._steer, steering.pause_now if pausing else steering.resume_now, scope, name)
        self.push_screen(Ask(question, _ASKED[pausing], until=pausing), act)

    def _target(self) -> tuple[str, str] | None:
        """Return which channel or provider is chosen, if one is."""
        panel = self.focused
        if not isinstance(panel, Panel) or not panel.chosen or panel.id not in {"queue", "providers"}:
            return None
        return ("channel" if panel.id == "queue" else "provider"), panel.chosen.partition(" ")[0]

    def _steer(self, act: Callable[[str, str, str, Terms], str], scope: str, name: str, terms: Terms | None) -> None:
        async def steer(terms: Terms) -> None:
            try:
                self.notify(await asyncio.to_thread(act, self.url, scope, name, terms), title=name)
            except (psycopg.Error, OutboxError) as error:
                self.notify(sentence(error), title=name, severity="error", timeout=10)
            self._watcher.look_now()

        if terms is not None:
            self.run_worker(steer(terms))


class WorkersScreen(Screen[None]):
    """Everybody who works, as large as the terminal."""

    BINDINGS: ClassVar = [("escape,w,q", "app.pop_screen", "back")]

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Panel(workers.TITLE, workers.draw, id="everybody", about=workers.about)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Let a worker be chosen."""
        self.query_one(Panel).focus()

    def show(self, scene: Scene) -> None:
        """Show what there is to see now."""
        for panel in self.query(Panel):  # none, before it is laid out
            panel.title = f"{workers.TITLE}: {workers.summary(scene)}"
            panel.show(scene)


def run(url: str, *, interval: float, theme: str, channels: Sequence[str]) -> int:
    """Show the screen on this terminal until somebody leaves it; return the exit code."""
    if theme == "auto":
        theme = "light" if is_light() else "dark"
    app = Top(url, interval=interval, theme=theme, channels=channels)
    app.run()
    return app.return_code or 0
