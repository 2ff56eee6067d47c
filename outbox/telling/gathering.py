"""What is no notification yet, because it waits in an open window of a digest: why, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.messages import PRIORITIES
from outbox.telling.words import counted, moment

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.queue.gathered import OpenWindow
    from outbox.timetable import Rules


def why_gathering(window: OpenWindow) -> str:
    """Return what waits in it."""
    verb = "waits" if window.items == 1 else "wait"
    return f"{counted(window.items, 'item')} of the digest {window.key} {verb} here to go out as one notification."


def after_gathering(window: OpenWindow, rules: Rules | None) -> str:
    """Return what happens when it closes; `rules` say when what comes of it may be sent, if not at any time."""
    return f"it closes, and is due, within seconds of {moment(window.closes_at, window.now)}{_then(window, rules)}."


def facts_of_window(window: OpenWindow, identity: UUID, rules: Rules | None) -> list[tuple[str, str | None]]:
    """Return what is known of it, without what it says, as labels and what they stand for, if anything."""
    names = {level: f"{name} ({level})" for name, level in PRIORITIES.items()}
    return [
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


def _then(window: OpenWindow, rules: Rules | None) -> str:
    """Return what its claim will do with it, if that is not to send it."""
    if window.suppression is not None:
        return f"; then it ends as suppressed, unsent: {window.suppression}"
    closed = None if rules is None else rules.closed(max(window.closes_at, window.now), window.time_zone)
    return "" if closed is None else f"; then it is put off: {closed.words}"
