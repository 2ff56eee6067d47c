"""`outbox explain` of what is no notification yet: it waits in an open window of a digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from outbox.errors import clean
from outbox.telling.gathering import after_gathering, facts_of_window, why_gathering
from outbox.terminal.output import print_facts, print_json, say

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.queue.gathered import OpenWindow
    from outbox.timetable import Rules

_LONGEST = 4_096


def print_window(window: OpenWindow, identity: UUID, rules: Rules | None, *, as_json: bool) -> None:
    """Print what waits in an open window (not what it says), and what happens next.

    `rules` say when what comes of it may be sent, if not at any time.
    """
    why, following = why_gathering(window), after_gathering(window, rules)
    if as_json:
        print_json(_document(window, identity, rules, why, following))
        return
    print_facts(facts_of_window(window, identity, rules))
    say()
    say(Text.assemble(("now   ", "dim"), ("gathering", "bold"), f": {clean(why, _LONGEST)}"))
    say(Text.assemble(("next  ", "dim"), clean(following, _LONGEST)))


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
