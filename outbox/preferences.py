"""What people want to get, by topic and channel: write it down in your transaction, and look it up.

    preferences.set(conn, channel="email", recipient="ada@example.org", topic="news", wanted=False)

It works on any connection that `enqueue` takes. Each function has an asynchronous twin whose name begins with an a. All
raise NotMigrated where the database has no outbox; those that write raise NotInTransaction, as `enqueue` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import steps
from outbox.errors import InvalidPreference
from outbox.queue.choice import Choice, check_source, named
from outbox.queue.clear_preference import PreferenceCleared, clear_preference
from outbox.queue.declared import DECLARED, problem_with, read
from outbox.queue.set_preference import PreferenceSet, set_preferences

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from outbox.queue.entry import Key
    from outbox.steps import Steps

__all__ = [
    "Preference",
    "PreferenceCleared",
    "PreferenceSet",
    "aclear",
    "afind",
    "aget",
    "aset",
    "aset_many",
    "clear",
    "find",
    "get",
    "set",
    "set_many",
]

_FIND = """
SELECT p.topic, p.wanted, p.why, p.source, p.updated_at, p.suppression
FROM outbox.preferences_of(CAST(:channel AS text), CAST(:recipient AS text)) p
"""


@dataclass(frozen=True, slots=True)
class Preference:
    """What holds for one recipient, topic and channel.

    `why` is `explicit` where they said so, `default` where they did not, and `transactional` where nobody chooses.
    """

    topic: str
    wanted: bool
    why: str
    source: str | None
    """Who said so, if somebody did."""
    updated_at: datetime | None
    suppression: str | None
    """The reason of a suppression that keeps it back all the same."""


def set(  # noqa: A001 - as the verb of a preference is
    conn: Any,
    *,
    channel: str,
    recipient: str,
    topic: str,
    wanted: bool,
    source: str = "person",
    allow_autocommit: bool = False,
) -> PreferenceSet:
    """Write down that somebody wants a topic on a channel, or does not, in the transaction that `conn` is in.

    If not, what waits for them ends as `suppressed`, in the same transaction; each claim looks, too. If so, a
    suppression of this very topic with the reason `unsubscribed` is lifted. Roll back, and nothing has happened.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        channel: the channel, such as `email`.
        recipient: the address, number, token or URL, as it is enqueued; in email, upper and lower case are the same.
        topic: one that is declared, unless none is.
        wanted: whether they want it.
        source: who says so, such as `person`, or the form that they filled in.
        allow_autocommit: insist on a connection in autocommit mode.

    Raises:
        InvalidPreference: an argument was refused (which, and why), or nobody can choose: the topic is transactional.
    """
    given = {"channel": channel, "recipient": recipient, "topic": topic, "wanted": wanted}
    work = set_preferences([Choice.of(given)], check_source(source), numbered=False)
    return steps.run(conn, work, allow_autocommit=allow_autocommit)[0]


async def aset(
    conn: Any,
    *,
    channel: str,
    recipient: str,
    topic: str,
    wanted: bool,
    source: str = "person",
    allow_autocommit: bool = False,
) -> PreferenceSet:
    """Do as `set` does, on an asynchronous connection."""
    given = {"channel": channel, "recipient": recipient, "topic": topic, "wanted": wanted}
    work = set_preferences([Choice.of(given)], check_source(source), numbered=False)
    return (await steps.arun(conn, work, allow_autocommit=allow_autocommit))[0]


def set_many(
    conn: Any, preferences: Iterable[Mapping[str, Any]], *, source: str = "person", allow_autocommit: bool = False
) -> list[PreferenceSet]:
    """Do as `set` does for many at once, such as a whole form: all of it or nothing; results in order.

    Each preference is a mapping of `channel`, `recipient`, `topic` and `wanted`.

    Raises:
        InvalidPreference: as `set` does; the field names the position, such as `[3].topic`.
    """
    work = _setting(preferences, source)
    return steps.run(conn, work, allow_autocommit=allow_autocommit)


async def aset_many(
    conn: Any, preferences: Iterable[Mapping[str, Any]], *, source: str = "person", allow_autocommit: bool = False
) -> list[PreferenceSet]:
    """Do as `set_many` does, on an asynchronous connection."""
    work = _setting(preferences, source)
    return await steps.arun(conn, work, allow_autocommit=allow_autocommit)


def clear(conn: Any, *, channel: str, recipient: str, topic: str, allow_autocommit: bool = False) -> PreferenceCleared:
    """Forget what somebody said of a topic on a channel, in the transaction that `conn` is in: its default holds again.

    Where people have to opt in to it, what waits for them ends.

    Raises:
        InvalidPreference: an argument was refused.
    """
    work = clear_preference(named(channel, recipient, topic))
    return steps.run(conn, work, allow_autocommit=allow_autocommit)


async def aclear(
    conn: Any, *, channel: str, recipient: str, topic: str, allow_autocommit: bool = False
) -> PreferenceCleared:
    """Do as `clear` does, on an asynchronous connection."""
    work = clear_preference(named(channel, recipient, topic))
    return await steps.arun(conn, work, allow_autocommit=allow_autocommit)


def find(conn: Any, *, channel: str, recipient: str) -> list[Preference]:
    """Return what holds for somebody on a channel, for each topic that is sent by it, in the order of their names.

    Where no topic is declared, what they said is returned.
    """
    return steps.run(conn, _find(channel, recipient))


async def afind(conn: Any, *, channel: str, recipient: str) -> list[Preference]:
    """Do as `find` does, on an asynchronous connection."""
    return await steps.arun(conn, _find(channel, recipient))


def get(conn: Any, *, channel: str, recipient: str, topic: str) -> Preference:
    """Return what holds for somebody, of one topic on a channel.

    Raises:
        InvalidPreference: an argument was refused: the topic is not declared, say.
    """
    return steps.run(conn, _get(named(channel, recipient, topic)))


async def aget(conn: Any, *, channel: str, recipient: str, topic: str) -> Preference:
    """Do as `get` does, on an asynchronous connection."""
    return await steps.arun(conn, _get(named(channel, recipient, topic)))


def _setting(preferences: Iterable[Mapping[str, Any]], source: str) -> Steps[list[PreferenceSet]]:
    choices = [Choice.of(one, position) for position, one in enumerate(preferences)]
    return set_preferences(choices, check_source(source), numbered=True)


def _find(channel: str, recipient: str) -> Steps[list[Preference]]:
    rows = yield _FIND, {"channel": channel, "recipient": recipient}
    return [Preference(*row) for row in rows]


def _get(key: Key) -> Steps[Preference]:
    topic = str(key.topic)
    for found in (yield from _find(key.channel, key.recipient)):
        if found.topic == topic:
            return found
    problem = problem_with(topic, key.channel, read((yield DECLARED, {})))
    if problem is not None:
        raise InvalidPreference("topic", problem)
    return Preference(topic, wanted=True, why="default", source=None, updated_at=None, suppression=None)
