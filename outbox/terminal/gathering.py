"""`outbox explain` of what is no notification yet: it waits in an open window of a digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from outbox.errors import clean
from outbox.messages import PRIORITIES
from outbox.terminal.output import counted, moment, print_facts, print_json, say

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.queue.gathered import OpenWindow

_LONGEST = 4_096


def print_window(window: OpenWindow, identity: UUID, *, as_json: bool) -> None:
    """Print what waits in an open window (not what it says), and what happens next."""
    why = f"{counted(window.items, 'item')} of the digest {window.key} {'waits' if window.items == 1 else 'wait'} here"
    why = f"{why} to go out as one notification."
    following = f"it closes, and is due, within seconds of {moment(window.closes_at, window.now)}."
    if as_json:
        print_json(_document(window, identity, why, following))
        return
    names = {level: f"{name} ({level})" for name, level in PRIORITIES.items()}
    print_facts(
        [
            ("notification", f"{identity}, from when its window closes"),
            ("to", f"{window.recipient}, by {window.channel}"),
            ("template", window.template),
            ("topic", window.topic),
            ("group key", window.group_key),
            ("digest key", window.key),
            ("priority", names.get(window.priority, str(window.priority))),
            ("opened", moment(window.opened_at, window.now)),
        ]
    )
    say()
    say(Text.assemble(("now   ", "dim"), ("gathering", "bold"), f": {clean(why, _LONGEST)}"))
    say(Text.assemble(("next  ", "dim"), following))


def _document(window: OpenWindow, identity: UUID, why: str, following: str) -> dict[str, object]:
    return {
        "id": identity,
        "channel": window.channel,
        "recipient": window.recipient,
        "template": window.template,
        "topic": window.topic,
        "group_key": window.group_key,
        "digest_key": window.key,
        "priority": window.priority,
        "opened_at": window.opened_at,
        "closes_at": window.closes_at,
        "items": window.items,
        "state": "gathering",
        "why": why,
        "next": following,
    }
