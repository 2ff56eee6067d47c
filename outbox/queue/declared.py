"""The topics that are declared, for those who have to say what is wrong with one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.connections import Row
    from outbox.errors import InvalidFanOut, InvalidSchedule
    from outbox.steps import Steps

    Refusal = type[InvalidFanOut | InvalidSchedule]

DECLARED = """
SELECT t.name, t.transactional, CAST(array_to_json(t.channels) AS text) FROM outbox.topics t ORDER BY t.name
"""


class Declared(NamedTuple):
    """A topic that is declared; `channels` None are all."""

    transactional: bool
    channels: Sequence[str] | None


def read(rows: Sequence[Row]) -> dict[str, Declared]:
    """Return the topics by name, of the rows of `DECLARED`."""
    return {
        name: Declared(transactional, None if channels is None else json.loads(channels))
        for name, transactional, channels in rows
    }


def problem_with(topic: str, channel: str | None, declared: Mapping[str, Declared]) -> str | None:
    """Return why nothing about the topic may be sent by the channel (if that is known), or None if it may."""
    if not declared:
        return None  # they are free words
    its = declared.get(topic)
    if its is None:
        return f"{topic!r} is not declared; {nearest(topic, declared.keys())}"
    if its.channels is not None and channel is not None and channel not in its.channels:
        return f"{topic!r} is not sent by {channel}; it is sent by {', '.join(its.channels)}"
    return None


def check_topic(defaults: Mapping[str, Any], columns: Sequence[str], refusal: Refusal) -> Steps[None]:
    """Refuse a topic, the same for all rows of a query, that is not declared. What it returns is met by its runs."""
    topic = defaults.get("topic")
    if topic is None or "topic" in columns:
        return
    channel = None if "channel" in columns else defaults.get("channel")
    problem = problem_with(topic, channel, read((yield DECLARED, {})))
    if problem is not None:
        raise refusal("topic", problem)
