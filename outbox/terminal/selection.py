"""Which dead letters a command is about, and how fast: ids, filters and rates as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import durations
from outbox.errors import ConfigError
from outbox.queue.letter_selection import Selection
from outbox.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CLASSES = ("unreachable", "rejected", "misconfigured", "throttled", "temporary", "unrecognised", "ambiguous")
"""What an error meant: the classes of `outbox.errors`."""
REASONS = ("rejected", "unreachable", "exhausted", "too_old", "in_doubt", "poison")
"""Why a notification was given up."""
_UNITS = {"s": 1, "m": 60, "h": 3_600}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person selected: ids, or a filter, or everything; never nothing, and only one of them."""

    ids: Sequence[UUID] = ()
    selection: Selection = field(default_factory=Selection)


def asked(ids: Sequence[str] | None, selection: Selection, *, every: bool) -> Asked:
    """Return what was selected.

    Raises:
        ConfigError: nothing was, or in more than one way, or an id is none.
    """
    filtered = selection != Selection()
    if not (ids or filtered or every):
        raise ConfigError([f"nothing is selected: give ids, or {_FILTERS} or --until, or --all"])
    if bool(ids) + filtered + every > 1:
        raise ConfigError([f"give ids, or filters ({_FILTERS}, --until), or --all: one of the three"])
    return Asked(identities(ids or ()), selection)


_FILTERS = "--group, --channel, --class, --code, --template, --provider, --reason, --since"


def filters(given: Mapping[str, Any]) -> Selection:
    """Return the selection that the options of a command make.

    Raises:
        ConfigError: `since` or `until` is not a duration, or there is no such class or reason, or what is given as a
            group cannot be one.
    """
    problems = [*_unknown("--class", given["class_"], CLASSES), *_unknown("--reason", given["reason"], REASONS)]
    problems += [
        f"--group: {value!r} is not the id of a group: outbox dead-letters groups shows them"
        for value in given["group"] or ()
        if not _GROUP.fullmatch(value)
    ]
    ago: dict[str, float | None] = {}
    for name in ("since", "until"):
        try:
            ago[name] = None if given[name] is None else durations.parse(given[name])
        except ValueError as error:
            problems.append(f"--{name}: {error}")
    if problems:
        raise ConfigError(problems)
    values = {field: tuple(given[option] or ()) for option, field in _LISTS.items()}
    return Selection(since=ago["since"], until=ago["until"], **values)


_GROUP = re.compile(r"[0-9a-f]{10}")
_LISTS = {
    "channel": "channels",
    "class_": "error_classes",
    "code": "error_codes",
    "template": "templates",
    "provider": "providers",
    "reason": "reasons",
    "group": "groups",
}


def _unknown(option: str, given: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    return [f"{option}: there is no {value!r}; {nearest(value, known)}" for value in given or () if value not in known]


def identities(texts: Sequence[str]) -> list[UUID]:
    """Return the ids, each once.

    Raises:
        ConfigError: for each that is no UUID.
    """
    ids: dict[UUID, None] = {}
    problems: list[str] = []
    for text in texts:
        try:
            ids[UUID(text)] = None
        except ValueError:
            problems.append(f"{text!r} is not an id: it looks like 01890a5d-ac96-774b-bcce-b302099a8057")
    if problems:
        raise ConfigError(problems)
    return list(ids)


def share(text: str) -> float:
    """Return the part of one that `90%` or `0.9` is.

    Raises:
        ConfigError: it is neither, or is not above nothing and at most everything.
    """
    number = text.strip()
    try:
        part = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        part = 0.0
    if not 0 < part <= 1:
        raise ConfigError([f"--threshold: {text!r} is not a share: write it like 90%"])
    return part


def per_second(text: str | None) -> float | None:
    """Return how many a second `50/s`, `600/m`, `1000/h` or `50` stand for.

    Raises:
        ConfigError: it is none of these, or not above zero.
    """
    if text is None:
        return None
    number, _, unit = text.strip().partition("/")
    try:
        rate = float(number) / _UNITS[unit.strip() or "s"]
    except (ValueError, KeyError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ConfigError([f"--rate: {text!r} is not a rate above zero: write it like 50/s, 600/m or 1000/h"])
    return rate
