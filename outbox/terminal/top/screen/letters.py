"""The dead letters on a screen: those that died of the same together, and each by itself. Not what messages said."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import psycopg
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from outbox.errors import OutboxError, clean
from outbox.queue.dead_letters import DeadLetter, list_dead_letters
from outbox.queue.letter_groups import Groups, groups
from outbox.queue.letter_selection import Selection
from outbox.terminal.session import reading
from outbox.terminal.top.ink import Column, Drawing, Row, ago, count, span, table
from outbox.terminal.top.screen.dialogs import Tell
from outbox.terminal.top.screen.panel import Panel
from outbox.terminal.top.screen.watcher import sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

_MOST = 500
_SHOWN = 8
_LIMITS = "SELECT set_config('statement_timeout', '10s', true)"
_GROUPS = (
    Column("count", number=True),
    Column("channel"),
    Column("provider", least=12, sacrifice=3),
    Column("class", sacrifice=2),
    Column("code", least=12),
    Column("template", least=12, sacrifice=1),
    Column("newest", number=True),
)
_LETTERS = (
    Column("died", number=True),
    Column("channel"),
    Column("recipient", least=12),
    Column("provider", least=12, sacrifice=2),
    Column("code", least=12),
    Column("tries", number=True, sacrifice=1),
    Column("id", sacrifice=3),
)
EVERY = "all"


@dataclass(frozen=True, slots=True)
class Letters:
    """The groups of the open dead letters, and the newest of one of these, or of all."""

    groups: Groups = field(default_factory=lambda: Groups((), 0, 0))
    group: str = EVERY
    newest: Sequence[DeadLetter] = ()
    count: int = 0
    """How many of the group there are."""


def read(url: str, channels: Sequence[str], group: str) -> Letters:
    """Return the groups, and the newest of one.

    Raises:
        psycopg.Error, OutboxError: the database is away, refuses, or takes longer than ten seconds.
    """
    selected = Selection(channels=channels, groups=() if group == EVERY else (group,))
    with reading(url) as conn:
        conn.execute(_LIMITS)
        found = groups(conn, Selection(channels=channels), limit=_MOST)
        return Letters(found, group, *list_dead_letters(conn, selected, limit=_MOST))


def draw_groups(letters: Letters, width: int, height: int) -> Drawing:  # noqa: ARG001 - as every panel
    """Return a row for each group, the largest first, after one for all."""
    every = [span(count(letters.groups.letters), "strong"), span("all"), *(span("") for _ in range(5))]
    rows = [Row(EVERY, every)]
    for it in letters.groups.groups:
        code = it.error_code or next(iter(it.reasons), "-")
        words = (it.channel, it.provider or "-", it.error_class or "-", code, it.template or "-")
        newest = span(f"{ago(it.last_seconds_ago)} ago")
        rows.append(Row(it.id, [span(count(it.count), "bad"), *(span(word) for word in words), newest]))
    return table(_GROUPS, rows, width)


def draw_letters(letters: Letters, width: int, height: int) -> Drawing:  # noqa: ARG001 - as above
    """Return a row for each letter of the group, the newest first."""
    rows = [
        Row(
            str(it.id),
            [
                span(f"{ago(it.died_seconds_ago)} ago"),
                span(it.channel),
                span(it.recipient, "strong"),
                span(it.provider or "-"),
                span(it.error_code or it.error_class or it.reason),
                span(it.attempts),
                span(it.id, "dim"),
            ],
        )
        for it in letters.newest
    ]
    return table(_LETTERS, rows, width) if rows else Drawing(((("● none is open", "good"),),))


def said(letters: Letters, key: str) -> str:
    """Return what its provider said of the letter that is chosen."""
    return next((clean(it.error or "", 160) for it in letters.newest if str(it.id) == key), "")


class LettersScreen(Screen[None]):
    """Enter on a group shows its letters, and on a letter everything about it but what it said."""

    BINDINGS: ClassVar = [
        ("escape,d,q", "app.pop_screen", "back"),
        ("r", "reload", "look again"),
        ("question_mark", "app.help", "help"),
    ]

    def __init__(self, url: str, channels: Sequence[str], group: str = EVERY) -> None:
        super().__init__()
        self._url = url
        self._channels = channels
        self._letters = Letters(group=group)

    def compose(self) -> ComposeResult:
        """Lay it out."""
        yield Static("looking for dead letters …", id="head")
        yield Panel("died of the same", draw_groups, id="groups")
        yield Panel("letters", draw_letters, id="letters", about=said)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Look for them, without waiting."""
        self.query_one("#groups", Panel).focus()
        self.action_reload()

    def action_reload(self) -> None:
        """Look again."""
        self.run_worker(self._look(), exclusive=True)

    def on_panel_opened(self, event: Panel.Opened) -> None:
        """Show the letters of a group, or one of them."""
        event.stop()
        if event.panel.id == "groups":
            self._letters = Letters(self._letters.groups, event.key)
            self.action_reload()
            self.query_one("#letters", Panel).focus()
            return
        letter = next((it for it in self._letters.newest if str(it.id) == event.key), None)
        if letter is not None:
            self.app.push_screen(Tell(f"dead letter {letter.id}", facts(letter)))

    async def _look(self) -> None:
        try:
            self._show(await asyncio.to_thread(read, self._url, self._channels, self._letters.group))
        except (psycopg.Error, OutboxError) as error:
            self.query_one("#head", Static).update(Content.assemble((sentence(error), "$error")))

    def _show(self, letters: Letters) -> None:
        self._letters = letters
        some = "" if letters.group == EVERY else f" --group {letters.group}"
        words = (f" {letters.groups.letters:,} open dead letters", "bold"), ("; to try ten of them again: ", "$faint")
        self.query_one("#head", Static).update(
            Content.assemble(*words, (f"outbox dead-letters replay{some or ' --all'} --first 10", "$accent"))
        )
        more = (
            f": the newest {len(letters.newest):,} of {letters.count:,}" if letters.count > len(letters.newest) else ""
        )
        self.query_one("#letters", Panel).title = f"letters{more}"
        self.query_one("#groups").styles.height = min(len(letters.groups.groups) + 1, _SHOWN) + 3  # its edges
        for panel in self.query(Panel):
            panel.show(letters)


def facts(it: DeadLetter) -> Content:
    """Return all that is known of one, and what to type."""
    known = {
        "channel": it.channel,
        "recipient": it.recipient,
        "template": it.template,
        "topic": it.topic,
        "reason": it.reason,
        "provider": it.provider,
        "class": it.error_class,
        "code": it.error_code,
        "it said": it.error,
        "attempts": f"{it.attempts}" + (f", after {it.replays} replays" if it.replays else ""),
        "enqueued": f"{it.enqueued_at.astimezone():%Y-%m-%d %H:%M:%S %Z}",
        "died": f"{it.died_at.astimezone():%Y-%m-%d %H:%M:%S %Z}, {ago(it.died_seconds_ago)} ago",
    }
    lines = [Content.assemble((f"{name:<11}", "$faint"), clean(value, 400)) for name, value in known.items() if value]
    commands = [
        Content.assemble((f"{why:<11}", "$faint"), (f"outbox {command} {it.id}", "$accent"))
        for why, command in (
            ("its story", "explain"),
            ("try again", "dead-letters replay"),
            ("close it", "dead-letters discard"),
        )
    ]
    return Content("\n").join([*lines, Content(""), *commands])
