"""Escalations as they are written down: `["inapp", "wait 5m unless read", "email"]`, one way after another."""

from __future__ import annotations

import re
from reprlib import repr as shown
from typing import TYPE_CHECKING

from outbox import durations

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,62}")
_WAIT = re.compile(r"wait\s+(?P<time>.+?)\s+unless\s+(?P<what>\S+)")
_CONDITIONS = ("read", "sent")
_EXAMPLE = '"wait 5m unless read" or "wait 5m unless sent"'


def check_steps(steps: Sequence[str]) -> tuple[str, ...]:
    """Return the steps in the form in which the database reads them, every wait in seconds.

    Channels and waits take turns. What follows a wait is sent after it, unless what came before was read, or was sent.

    Raises:
        ValueError: says which step is wrong, and what would be right.
    """
    if not steps:
        raise ValueError(f"an escalation has two channels at least, and a wait between them: {_EXAMPLE}")
    checked: list[str] = []
    for place, step in enumerate(steps):
        if not isinstance(step, str):
            raise ValueError(f"step {place + 1}: {shown(step)} is no text")  # noqa: TRY004 - as any other mistake
        checked.append(_wait(place, step) if step.split()[:1] == ["wait"] else _channel(place, step, checked))
    if _is_wait(checked[-1]):
        raise ValueError(f"step {len(checked)}: nothing comes after {checked[-1]!r}: end with a channel, such as sms")
    if len(checked) == 1:
        raise ValueError(f"{checked[0]} is the only way: say what comes after it, such as {_EXAMPLE}, and a channel")
    return tuple(checked)


def channels_of(steps: Sequence[str]) -> tuple[str, ...]:
    """Return the channels among the steps, in order."""
    return tuple(step for step in steps if not _is_wait(step))


def _is_wait(step: str) -> bool:
    return step.startswith("wait ")


def _channel(place: int, step: str, before: Sequence[str]) -> str:
    where = f"step {place + 1}"
    if _CHANNEL.fullmatch(step) is None:
        raise ValueError(f"{where}: {shown(step)} is neither a channel, such as email, nor a wait, such as {_EXAMPLE}")
    if before and not _is_wait(before[-1]):
        raise ValueError(f"{where}: there is no wait between {before[-1]} and {step}: put {_EXAMPLE} there")
    if step in before:
        raise ValueError(f"{where}: {step} comes a second time; each channel is one step")
    return step


def _wait(place: int, step: str) -> str:
    where = f"step {place + 1}"
    found = _WAIT.fullmatch(step.strip())
    if found is None:
        raise ValueError(f"{where}: {shown(step)} does not say how long, and unless what: write {_EXAMPLE}")
    if found["what"] not in _CONDITIONS:
        raise ValueError(f"{where}: unless {shown(found['what'])} is unknown; it is unless read, or unless sent")
    if place == 0:
        raise ValueError(f"{where}: {shown(step)}: nothing comes before it: begin with a channel, such as inapp")
    if place % 2 == 0:
        raise ValueError(f"{where}: {shown(step)}: a wait comes before it already; put a channel between the two")
    try:
        seconds = durations.parse(found["time"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not seconds:
        raise ValueError(f"{where}: {shown(step)}: a wait is longer than nothing")
    return f"wait {seconds:.3f}".rstrip("0").rstrip(".") + f"s unless {found['what']}"
