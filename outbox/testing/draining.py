"""drain: deliver what a test enqueued, inside its transaction, with the engine of a worker.

Claimed, rendered, given to a provider that records it, judged and settled: all on the test's own connection. So the
attempts, the inbox and the dead letters are there for the test to see, and gone when it rolls back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from outbox.testing.bridge import Bridge
from outbox.testing.desk import Desk
from outbox.testing.fakes import FakeProvider
from outbox.testing.own import awhose, whose
from outbox.testing.passage import Asked, Passage
from outbox.testing.settings import configuration
from outbox.testing.travelling import seconds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from outbox.config import Config
    from outbox.testing.drained import Drained


def drain(
    conn: Any,
    *,
    channels: Sequence[str] | None = None,
    until: str | float | timedelta | None = None,
    provider: Any = None,
    providers: Mapping[str, Any] | None = None,
    config: Config | None = None,
    committed: bool = False,
) -> Drained:
    """Deliver what is due of what this transaction enqueued, and say what became of it.

    Args:
        conn: any synchronous connection that `enqueue` takes; nothing is committed on it, and no other is opened.
        channels: those to serve; without them, all on which something waits.
        until: go on so long, a duration such as "10m", from one time at which something is due to the next, without
            waiting: retries, schedules, windows of digests. Afterwards so much time has gone by, as with `travel`.
            Without it, what is due later waits.
        provider: what stands in for every provider: one that records (the default), `failing(…)`, `hanging(…)`, or a
            function or provider of your own.
        providers: others for some of the providers, by the names that these have in the configuration.
        config: as `configuration()` returns it by default.
        committed: deliver what others have committed, too, as a worker would; with `until`, time goes by for that, too.

    Raises:
        ConfigError: something waits on a channel that the configuration does not have, or has mistakes in.
        NotMigrated: the database has no outbox.
        TypeError: the connection is asynchronous, or of no known kind.
    """
    taken = whose(conn, committed=committed)
    asked = _asked(channels, until, provider, providers)
    desk = Desk()
    passage = Passage(Bridge(conn, desk), config or configuration(), taken, asked)
    return desk.serve(lambda: asyncio.run(passage.run()))


async def adrain(
    conn: Any,
    *,
    channels: Sequence[str] | None = None,
    until: str | float | timedelta | None = None,
    provider: Any = None,
    providers: Mapping[str, Any] | None = None,
    config: Config | None = None,
    committed: bool = False,
) -> Drained:
    """Do as `drain` does, on an asynchronous connection."""
    taken = await awhose(conn, committed=committed)
    asked = _asked(channels, until, provider, providers)
    return await Passage(Bridge(conn), config or configuration(), taken, asked).run()


def _asked(
    channels: Sequence[str] | None, until: str | float | timedelta | None, provider: Any, providers: Any
) -> Asked:
    if isinstance(channels, str):
        raise TypeError(f"channels is a list of names, such as [{channels!r}]")
    seconds = 0.0 if until is None else seconds_of(until)
    return Asked(channels, seconds, FakeProvider() if provider is None else provider, providers or {})
