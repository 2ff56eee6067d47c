"""What an assertion that failed says: what was wanted, and what was enqueued instead, nearest first.

It shows what the notifications say: that is the data of a test, and goes to whoever runs it.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.testing.matching import Compared, Difference
    from outbox.testing.outgoing import Outgoing

_SHOWN = 5
_LONG = 60  # characters from which on two texts are shown line by line
_WIDEST = 300


def no_match(wanted: Mapping[str, Any], compared: Sequence[Compared], count: int | None, others: int = 0) -> str:
    """Say that fewer, or more, match than wanted; `others` are how many there are that were not looked at."""
    matching = [each for each in compared if not each.differences]
    nearest = sorted((each for each in compared if each.differences), key=lambda each: each.distance)
    expected = "one at least" if count is None else f"{count}"
    found = f"{len(matching) or 'no'} {_plural(len(matching))} {'matches' if len(matching) == 1 else 'match'}"
    lines = [f"{found}{_described(wanted)}; wanted {expected}"]
    if matching:
        lines += ["", "these match:", *(f"  {one_line(each.outgoing)}" for each in matching[:_SHOWN])]
        lines += _more(len(matching))
    if not compared:
        lines.append("nothing at all was enqueued in this transaction")
        if others:
            lines.append(f"{others} were committed before, or by others: committed=True looks at them, too")
    elif nearest:
        those = "others were" if matching else "were"
        lines += ["", f"{len(nearest)} {those} enqueued, nearest first (- wanted, + enqueued):"]
        for each in nearest[:_SHOWN]:
            lines += ["", f"  {one_line(each.outgoing)}", *_told(each.differences)]
        lines += _more(len(nearest))
    return "\n".join(lines)


def something_enqueued(wanted: Mapping[str, Any], found: Sequence[Outgoing]) -> str:
    """Say that there is what there should not be."""
    lines = [f"{len(found)} {_plural(len(found))} {'was' if len(found) == 1 else 'were'} enqueued{_described(wanted)}:"]
    for each in found[:_SHOWN]:
        lines += [f"  {one_line(each)}", f"      payload {_shown(each.payload)}"]
    return "\n".join(lines + _more(len(found)))


def one_line(each: Outgoing) -> str:
    """Return which notification it is."""
    about = "".join(
        f", {name} {value}" for name, value in (("template", each.template), ("topic", each.topic)) if value
    )
    return f"{each.channel} to {each.recipient}{about} ({each.state}, {each.id})"


def _told(differences: Sequence[Difference]) -> list[str]:
    return [line for each in differences for line in _told_of_one(each)]


def _told_of_one(difference: Difference) -> list[str]:
    place, wanted, found = difference
    if isinstance(wanted, str) and isinstance(found, str) and (max(len(wanted), len(found)) > _LONG or "\n" in wanted):
        lines = difflib.ndiff(wanted.splitlines(), found.splitlines())
        return [f"    {place}:", *(f"      {line.rstrip()}" for line in lines)]
    return [f"    {place}:", f"      - {_shown(wanted)}", f"      + {_shown(found)}"]


def _described(wanted: Mapping[str, Any]) -> str:
    parts = [
        f"{field} {'containing ' if isinstance(value, dict) else ''}{_shown(value)}" for field, value in wanted.items()
    ]
    return f" with {', '.join(parts)}" if parts else ""


def _shown(value: Any) -> str:
    if isinstance(value, re.Pattern):
        text = f"matching /{value.pattern}/"
    elif callable(value):
        text = f"that {getattr(value, '__name__', repr(value))} accepts"
    elif hasattr(value, "isoformat"):
        text = str(value.isoformat())
    else:
        text = repr(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _plural(count: int) -> str:
    return "notification" if count == 1 else "notifications"


def _more(count: int) -> list[str]:
    return [f"  … and {count - _SHOWN} more"] if count > _SHOWN else []
