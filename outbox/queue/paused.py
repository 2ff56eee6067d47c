"""paused: which channels and providers are paused, by whom, why and until when. This only reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox import connections
from outbox.errors import InvalidPause, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

READ = """
SELECT p.scope, p.name, p.paused_at, p.until, p.paused_by, p.reason,
       date_part('epoch', clock_timestamp() - p.paused_at), date_part('epoch', p.until - clock_timestamp()),
       ARRAY(SELECT ARRAY[date_part('epoch', clock_timestamp() - lower(span.it)),
                          date_part('epoch', clock_timestamp() - upper(span.it))]
             FROM unnest(p.earlier) AS span (it))
FROM outbox.pauses p
ORDER BY p.scope, p.name
"""

# Whoever vanished is on the list for ten minutes more: long enough to pause what it was about to break.
KNOWN = """
SELECT DISTINCT 'channel', served.name FROM outbox.workers w CROSS JOIN unnest(w.channels) AS served (name)
UNION
SELECT DISTINCT 'provider', served.name FROM outbox.workers w CROSS JOIN unnest(w.providers) AS served (name)
ORDER BY 1, 2
"""

# Those of before there were pauses say nothing of their providers; each of later versions has some.
HEEDLESS = """
SELECT w.id, w.host, w.pid, w.version
FROM outbox.workers w
WHERE w.seen_at > statement_timestamp() - interval '1 minute' AND w.providers = '{}'
  AND (CAST(:scope AS text) = 'provider' OR CAST(:name AS text) = ANY (w.channels))
ORDER BY w.id
"""

SCOPES = ("channel", "provider")
_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,62}")  # the CHECK on notifications.channel
_LONGEST_NAME = 190


@dataclass(frozen=True, slots=True)
class Pause:
    """The last pause of a channel or a provider. Times are the database's."""

    scope: str
    """`channel` or `provider`."""
    name: str
    paused_at: datetime
    until: datetime | None
    """None: until somebody resumes it."""
    by: str
    reason: str | None
    since: float
    """Seconds since it began."""
    left: float | None
    """Seconds until it ends by itself; negative since it ended."""
    earlier: Sequence[Sequence[float]] = ()
    """Seconds since each pause before it began, and since it ended, where they were read as well."""

    @property
    def holds(self) -> bool:
        """Whether it was not over when it was read."""
        return self.left is None or self.left > 0

    @property
    def target(self) -> str:
        """As the commands take it: `email`, `provider:ses`."""
        return self.name if self.scope == "channel" else f"{self.scope}:{self.name}"


@dataclass(frozen=True, slots=True)
class Heedless:
    """A live worker of a version of before there were pauses: it goes on sending."""

    id: int
    host: str
    pid: int
    version: str


def read_target(text: str) -> tuple[str, str]:
    """Return the scope and the name that `email`, `channel:email` or `provider:ses` stands for.

    Raises:
        InvalidPause: it is none of these.
    """
    scope, colon, name = text.partition(":")
    if not colon:
        scope, name = "channel", text
    if scope not in SCOPES:
        raise InvalidPause("target", f"{clean(repr(text), 80)} is neither a channel (email) nor provider:NAME")
    check_name(scope, name)
    return scope, name


def check_name(scope: str, name: str) -> None:
    """Raise `InvalidPause` where there can be no channel or provider of that name."""
    if scope not in SCOPES:
        raise InvalidPause("scope", f"{clean(repr(scope), 80)} is neither channel nor provider")
    if scope == "channel" and not _CHANNEL.fullmatch(name):
        problem = "a channel's name is made of a-z, 0-9 and _, from a letter on"
        raise InvalidPause("name", f"{clean(repr(name), 80)}: {problem}")
    if not 1 <= len(name) <= _LONGEST_NAME or clean(name) != name:
        raise InvalidPause("name", f"a provider's name has 1 to {_LONGEST_NAME} characters, all of them printable")


def list_pauses(conn: Any) -> list[Pause]:
    """Return what is paused now: the channels, then the providers.

    Args:
        conn: any synchronous connection that `enqueue` takes.

    Raises:
        NotMigrated: the database has no outbox.
    """
    return [pause for pause in _pauses(connections.run(conn, READ, {}, allow_autocommit=True)) if pause.holds]


async def aread_pauses(conn: Any) -> list[Pause]:
    """Return the last pause of whatever was paused, over or not, by an asynchronous connection."""
    return list(_pauses(await connections.arun(conn, READ, {}, allow_autocommit=True)))


def known_targets(conn: Any) -> dict[str, list[str]]:
    """Return the channels and the providers, by scope, that workers of these minutes serve.

    Raises:
        NotMigrated: the database has no outbox.
    """
    found: dict[str, list[str]] = {scope: [] for scope in SCOPES}
    for scope, name in connections.run(conn, KNOWN, {}, allow_autocommit=True):
        found[scope].append(name)
    return found


def list_heedless(conn: Any, scope: str, name: str) -> list[Heedless]:
    """Return the live workers that heed no pause, and serve that channel; of a provider, all who might send through it.

    Raises:
        NotMigrated: the database has no outbox.
    """
    asked: connections.Parameters = {"scope": scope, "name": name}
    return [Heedless(*row) for row in connections.run(conn, HEEDLESS, asked, allow_autocommit=True)]


def _pauses(rows: Iterable[Any]) -> Iterable[Pause]:
    return (Pause(*row) for row in rows)
