"""passage: a drain from its first round to its last, each at the next time at which something is due."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from outbox.channels.functions import Function
from outbox.errors import OutboxError
from outbox.events import Attempted, ChoreFailed
from outbox.queue import attend
from outbox.queue.escalations import declare_escalations
from outbox.queue.own import OWN
from outbox.queue.topics import declare
from outbox.route import providers_of
from outbox.testing.bridge import Aborted, timed
from outbox.testing.drained import Attempt, Drained
from outbox.testing.fake_routes import fake_routes, with_channels
from outbox.testing.outgoing import outgoing
from outbox.testing.shift import Round
from outbox.testing.travelling import leaping, total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from outbox.config import Config
    from outbox.events import Event
    from outbox.messages import Notification
    from outbox.route import Route
    from outbox.steps import Steps
    from outbox.testing.bridge import Bridge
    from outbox.testing.outgoing import Outgoing
    from outbox.testing.travelling import Leap

T = TypeVar("T")

# Seconds until it is due by the database's clock; NULL for what waits for another, and so for no time.
_WAITING = f"""
SELECT CAST(q.id AS text), q.channel, {OWN},
       CASE WHEN q.run_at < 'infinity'
            THEN CAST(date_part('epoch', greatest(q.run_at, q.leased_until) - statement_timestamp()) AS float8) END
FROM outbox.queue q
JOIN outbox.notifications n ON n.id = q.id
UNION ALL
SELECT NULL, n.channel, {OWN}, CAST(date_part('epoch', n.closes_at - statement_timestamp()) AS float8)
FROM outbox.digests n
"""  # noqa: S608 - of constants
# Its own chore would close those of others, too, and look at the database's clock.
_CLOSE = f"""
SELECT outbox.close_digests(ARRAY(
    SELECT n.id FROM outbox.digests n WHERE n.closes_at <= now() AND {OWN} ORDER BY n.closes_at FOR UPDATE))
"""  # noqa: S608 - as above
_A_MOMENT = 0.001  # past what is waited for
_A_WHILE = 1.0


class _Waiting(NamedTuple):
    """A row of `_WAITING`; a digest has no id yet."""

    id: str | None
    channel: str
    own: bool
    due_in: float | None


class Asked(NamedTuple):
    """What a drain was asked for, as `drain` says; `until` in seconds."""

    channels: Sequence[str] | None
    until: float
    provider: Any
    providers: Mapping[str, Any]


class Passage:
    """One drain, of what is this transaction's; with `committed` "true", of everything."""

    def __init__(self, bridge: Bridge, config: Config, committed: str, asked: Asked) -> None:
        self._bridge = bridge
        self._config = config
        self._committed = committed
        self._asked = asked
        self._routes: dict[str, Route] = {}
        self._round: Round | None = None
        self._attempts: list[tuple[Attempted, float]] = []
        self._messages: dict[UUID, Any] = {}
        self._leaps: list[Leap] = []
        self._in_vain = 0
        self._gone = 0.0
        self._began = time.monotonic()

    async def run(self) -> Drained:
        """Deliver what is due, go on to what is due next, and return what was done."""
        try:
            return await self._run()
        except Aborted:
            raise self._bridge.failure or AssertionError from None
        finally:
            for route in self._routes.values():
                for provider in route.providers.values():
                    if isinstance(provider, Function):  # its threads are ours; what it calls is the test's
                        await Function.aclose(provider)

    async def _run(self) -> Drained:
        await self._go(0.0)
        while (ahead := await self._deliver()) is not None and self._gone + ahead <= self._asked.until:
            await self._go(ahead)
        await self._go(self._asked.until - self._gone)
        if self._round is not None:
            await attend.leave(cast("Any", self._bridge), self._round.worker)
        return await self._drained()

    async def _deliver(self) -> float | None:
        """Deliver what is due; return in how many seconds the next is, or None where nothing waits for a time."""
        await self._bridge.ask(timed(_CLOSE), {"committed": self._committed})
        waiting = self._served(await self._look())
        if any(each.due_in is not None and each.due_in <= 0 for each in waiting):
            before = len(self._attempts)
            await self._deliver_due(waiting)
            self._in_vain = 0 if len(self._attempts) > before else self._in_vain + 1
            waiting = self._served(await self._look())
        times = [each.due_in for each in waiting if each.due_in is not None]
        if not times:
            return None
        if min(times) > 0:
            return min(times) + _A_MOMENT
        held = [route.holds.closed_for() for route in self._routes.values()]
        # Where nothing says when what is due can be sent, a channel that is paused, say: later and later.
        return max(min((each for each in held if each > 0), default=_A_WHILE) * 2.0**self._in_vain, _A_MOMENT)

    async def _deliver_due(self, waiting: Sequence[_Waiting]) -> None:
        names = sorted({each.channel for each in waiting})
        missing = [name for name in names if name not in self._routes]
        config = with_channels(self._config, missing)
        for route in fake_routes(config, missing, self._note, self._asked.provider, self._asked.providers):
            route.clock = lambda: datetime.now(UTC) + total(self._leaps)
            route.chance = Random(0)
            route.compose = self._noting(route.compose)
            self._routes[route.channel] = route
        if self._round is None:
            self._round = await self._enter(config)
        # Made anew: time has passed since the last round, and with it whatever held a provider.
        self._routes |= {name: dataclasses.replace(self._routes[name]) for name in names}
        self._bridge.own = None if self._committed == "true" else [each.id for each in waiting if each.id is not None]
        await self._round.deliver([self._routes[name] for name in names])

    async def _enter(self, config: Config) -> Round:
        """Begin as a worker does."""
        conn: Any = self._bridge
        await declare(conn, config.topics)
        await declare_escalations(conn, {name: topic.escalation for name, topic in config.topics.items()})
        worker = await attend.enter(conn, list(self._routes), providers_of(self._routes.values()))
        return Round(self._bridge, worker, self._note)

    async def _look(self) -> list[_Waiting]:
        return [_Waiting(*row) for row in await self._bridge.ask(_WAITING, {"committed": self._committed})]

    def _served(self, waiting: Sequence[_Waiting]) -> list[_Waiting]:
        return [each for each in waiting if each.own and self._serves(each.channel)]

    def _serves(self, channel: str) -> bool:
        return self._asked.channels is None or channel in self._asked.channels

    async def _go(self, seconds: float) -> None:
        """Let time go by."""
        self._leaps = await self._take(leaping(seconds, self._committed))
        self._bridge.leaps = self._leaps
        self._gone += seconds

    def _note(self, event: Event) -> None:
        if isinstance(event, Attempted):
            self._attempts.append((event, self._gone + time.monotonic() - self._began))
        elif isinstance(event, ChoreFailed):  # a worker would try again later
            raise OutboxError(f"an outcome could not be written: {event.problem}")

    def _noting(self, compose: Callable[[Notification], Any]) -> Callable[[Notification], Any]:
        def composed(notification: Notification) -> Any:
            self._messages[notification.id] = message = compose(notification)
            return message

        return composed

    async def _drained(self) -> Drained:
        enqueued = await self._take(outgoing(self._committed))
        by_id = {each.id: each for each in enqueued}
        look = await self._look()
        waits = {each.id for each in self._served(look)}
        others = [each for each in look if not each.own and self._serves(each.channel) and each.due_in is not None]
        return Drained(
            tuple(self._attempt(event, after, by_id[event.id]) for event, after in self._attempts),
            tuple(
                each
                for each in enqueued
                if str(each.id) in waits or (each.state == "gathering" and self._serves(each.channel))
            ),
            sum((each.due_in or 0.0) <= 0 for each in others),
        )

    def _attempt(self, event: Attempted, after: float, its: Outgoing) -> Attempt:
        message = self._messages.get(event.id) if event.outcome.provider is not None else None
        since = timedelta(seconds=round(after, 3))
        return Attempt(its.id, its.channel, its.recipient, its.template, event.attempt, event.outcome, message, since)

    async def _take(self, steps: Steps[T]) -> T:
        """Take the steps on the bridge, as `outbox.steps` does on a connection."""
        try:
            statement = next(steps)
            while True:
                statement = steps.send(await self._bridge.ask(*statement))
        except StopIteration as end:
            return cast("T", end.value)
