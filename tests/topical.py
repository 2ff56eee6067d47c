"""Topics declared, as a worker or a deployment declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from outbox import preferences
from outbox.config import TopicConfig
from outbox.queue.topics import declare_now

if TYPE_CHECKING:
    from outbox.preferences import PreferenceSet

ADA = "ada@example.org"


def say(url: str, **topics: dict[str, Any]) -> None:
    """Declare topics, each with the keys that its section of the configuration has."""
    with psycopg.connect(url) as conn:
        declare_now(conn, {name: TopicConfig(**keys) for name, keys in topics.items()})


def choose(url: str, topic: str, wanted: bool, recipient: str = ADA, **given: Any) -> PreferenceSet:  # noqa: FBT001
    """Commit what somebody wants, by email unless it says otherwise."""
    with psycopg.connect(url) as conn:
        return preferences.set(conn, recipient=recipient, topic=topic, wanted=wanted, **{"channel": "email"} | given)
