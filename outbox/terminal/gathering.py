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
    from outbox.timetable import Rules

_LONGEST = 4_096


def print_window(window: OpenWindow, identity: UUID, rules: Rules | None, *, as_json: bool) -> None:
    """Print what waits in an open window (not what it says), and what happens next.

    `rules` say when what comes of it may be sent, if not at any time.
    """
    why = f"{counted(window.items, 'item')} of the digest {window.key} {'waits' if window.items == 1 else 'wait'} here"
    why = f"{why} to go out as one notification."
    closes = moment(window.closes_at, window.now)
    following = f"it closes, and is due, within seconds of {closes}{_then(window, rules)}."
    if as_json:
        print_json(_document(window, identity, rules, why, following))
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
            ("time zone", window.time_zone),
            ("kept back", f"{rules}, by the clocks of {rules.zone(window.time_zone)}" if rules is not None else None),
            ("suppression", window.suppression),
        ]
    )
    say()
    say(Text.assemble(("now   ", "dim"), ("gathering", "bold"), f": {clean(why, _LONGEST)}"))
    say(Text.assemble(("next  ", "dim"), clean(following, _LONGEST)))


def _then(window: OpenWindow, rules: Rules | None) -> str:
    """Return what its claim will do with it, if that is not to send it."""
    if window.suppression is not None:
        return f"; then it ends as suppressed, unsent: {window.suppression}"
    closed = None if rules is None else rules.closed(max(window.closes_at, window.now), window.time_zone)
    return "" if closed is None else f"; then it is put off: {closed.words}"


def _document(window: OpenWindow, identity: UUID, rules: Rules | None, why: str, following: str) -> dict[str, object]:
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
        "time_zone": window.time_zone,
        "kept_back": rules and {"rules": str(rules), "time_zone": str(rules.zone(window.time_zone))},
        "suppression": window.suppression,
        "state": "gathering",
        "why": why,
        "next": following,
    }
