"""What is asked before something is done, and what is told when somebody wants to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from outbox.telling.moments import read_end

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from textual.app import ComposeResult

HELP = """\
Tab, Shift+Tab   the next panel, the one before
↑ ↓              choose a row       Enter   more about it
p                pause the channel or provider that is chosen
r                resume it
d                dead letters       w       workers
/                show only channels whose names have this in them
t                dark, light, the terminal's own colours
q                quit

[b]queue[/b]      due: to be sent now; oldest: for how long the first of
           these has waited; leased: in workers' hands; ~ where
           there are too many to count
[b]traffic[/b]    now: the last ten seconds, as workers tell it every
           five; failed: tried, and not accepted (most are retried)
[b]providers[/b]  held: it failed so often, or is configured so badly,
           that nothing goes through it but probes; it goes on by
           itself when one succeeds
[b]dead letters[/b]  how many are open, and how many came lately"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What somebody has said of a pause, or of its end."""

    reason: str | None
    until: datetime | timedelta | None = None


class Ask(ModalScreen["Terms | None"]):
    """Asks why, and for a pause until when; Escape takes it back."""

    BINDINGS: ClassVar = [("escape", "dismiss(None)", "not now")]

    def __init__(self, question: str, note: str, *, until: bool) -> None:
        super().__init__()
        self._question = question
        self._note = note
        self._until = until

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._question
            box.border_subtitle = "Enter: do it   Esc: not now"
            yield Static(Content(self._note), classes="note")
            yield Label("Why? For those who find it so, and for the audit.")
            yield Input(id="reason", max_length=1_000)
            if self._until:
                yield Label("Until when? 30m, 2h, or a time; empty: until somebody resumes it.")
                yield Input(id="until", max_length=40)
            yield Static("", id="mistake")

    def on_input_submitted(self) -> None:
        """Take what was typed, or say what is wrong with it."""
        reason = self.query_one("#reason", Input).value.strip() or None
        text = self.query_one("#until", Input).value.strip() if self._until else ""
        try:
            self.dismiss(Terms(reason, read_end(text) if text else None))
        except ValueError as error:
            self.query_one("#mistake", Static).update(Content(str(error)))


class Tell(ModalScreen[None]):
    """Shows something to read."""

    BINDINGS: ClassVar = [("escape,enter,q,question_mark", "dismiss(None)", "close")]

    def __init__(self, title: str, words: Content) -> None:
        super().__init__()
        self._title = title
        self._words = words

    def compose(self) -> ComposeResult:
        """Lay it out."""
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            box.border_subtitle = "Esc: close"
            yield Static(self._words)


def help_screen() -> Tell:
    """Return what the keys do, and what the words mean."""
    return Tell("outbox top", Content.from_markup(HELP))
