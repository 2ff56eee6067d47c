"""Which dead letters a command is about, and how fast: ids, filters and rates as people write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from outbox import durations
from outbox.config.problems import nearest
from outbox.errors import ConfigError
from outbox.queue.dead_letters import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        raise ConfigError(["nothing is selected: give ids, or --channel, --class, --reason or --since, or --all"])
    if bool(ids) + filtered + every > 1:
        raise ConfigError(["give ids, or filters (--channel, --class, --reason, --since), or --all: one of the three"])
    return Asked(identities(ids or ()), selection)


def filters(
    channels: Sequence[str] | None,
    classes: Sequence[str] | None,
    reasons: Sequence[str] | None,
    since: str | None,
) -> Selection:
    """Return the selection that the filters make.

    Raises:
        ConfigError: `since` is not a duration, or there is no such class or reason.
    """
    problems = [*_unknown("--class", classes, CLASSES), *_unknown("--reason", reasons, REASONS)]
    seconds = None
    try:
        seconds = None if since is None else durations.parse(since)
    except ValueError as error:
        problems.append(f"--since: {error}")
    if problems:
        raise ConfigError(problems)
    return Selection(tuple(channels or ()), tuple(classes or ()), tuple(reasons or ()), seconds)


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
