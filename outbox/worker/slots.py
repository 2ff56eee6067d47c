"""slots: as many at once as the concurrency allows, each delivers one notification after another."""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from outbox.deliver import deliver
from outbox.errors import NotSent
from outbox.events import Attempted
from outbox.masks import mask
from outbox.outcomes import Ambiguous, Deferred, Failure
from outbox.retry import wait_for_turn
from outbox.traces import recorded
from outbox.worker.settler import Ended

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.lease import Lease
    from outbox.outcomes import Outcome
    from outbox.route import Route
    from outbox.worker.feeder import Feeder
    from outbox.worker.leases import Leases
    from outbox.worker.settler import Settler
    from outbox.worker.spans import Spans


CUT_OFF = 5.0
# Both without a call in Python for each.
_ended = partial(tuple.__new__, Ended)
_attempted = partial(tuple.__new__, Attempted)


class Slots:
    """One channel's: `concurrency` tasks that live as long as the worker does."""

    def __init__(
        self,
        *,
        route: Route,
        feeder: Feeder,
        settler: Settler,
        leases: Leases,
        concurrency: int,
        spans: Spans | None = None,
    ) -> None:
        if spans is not None:
            route.listener = spans.noting(route.listener)
        self._route = route
        self._spans = spans
        self._feeder = feeder
        self._freed = feeder.freed
        self._settler = settler
        self._leases = leases
        self.tasks = [asyncio.create_task(self._work(), name=f"{route.channel} slot") for _ in range(concurrency)]
        self._busy = 0
        self._quiet = asyncio.Event()
        self._stopping = False

    def stop_taking(self) -> None:
        """Finish what is being delivered, and take no more."""
        self._stopping = True

    async def finish(self, deadline: float) -> None:
        """Wait until the slots are empty, or `deadline` (`time.monotonic()`); then cut off what still delivers."""
        if self._busy:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    await self._quiet.wait()
        for task in self.tasks:
            task.cancel()
        # A provider may be slow to let go, or refuse to: the process ends all the same.
        await asyncio.wait(self.tasks, timeout=CUT_OFF)

    def keep_back(self, leases: Iterable[Lease]) -> None:
        """Put off, or end, what has no turn yet of these: who claims it next would not know, and send it."""
        for lease in leases:
            if lease.channel == self._route.channel and (lease.over_rate or lease.kept_back is not None):
                lease.begun = True
                outcome = lease.kept_back or wait_for_turn(lease.over_rate, self._route.policy)
                self._ended(lease, outcome, time.monotonic())

    async def _work(self) -> None:
        ready, tokens, route = self._feeder.ready, self._route.tokens, self._route
        deliver_it = deliver if self._spans is None else partial(self._traced, self._spans)
        while not self._is_stopping():  # a cancellation may have ended in an acceptance
            lease = ready.take() or await ready.get()
            if self._stopping:
                return
            tokens.promised -= 1
            started = time.monotonic()
            if started >= lease.deadline:
                # The lease ran out while it waited here (a blocked loop, a frozen machine): somebody else may have it.
                self._leases.drop(lease)
                self._freed([lease])
                continue
            lease.begun = True
            self._busy += 1
            try:
                self._ended(lease, await deliver_it(lease, route), started)
            except asyncio.CancelledError as error:
                self._ended(lease, self._cut_off(error, lease.claimed.topic), started)
                raise
            finally:
                self._busy -= 1
                if self._busy == 0 and self._is_stopping():
                    self._quiet.set()

    def _is_stopping(self) -> bool:
        return self._stopping

    async def _traced(self, spans: Spans, lease: Lease, route: Route) -> Outcome:
        claimed = lease.claimed
        with spans.delivery(claimed, route.channel) as end:
            try:
                outcome = await deliver(lease, route)
            except asyncio.CancelledError as error:
                outcome = self._cut_off(error, claimed.topic)
                lease.trace = end(claimed.attempt + outcome.used, outcome)
                raise
            lease.trace = end(claimed.attempt + outcome.used, outcome)
            return outcome

    def _ended(self, lease: Lease, outcome: Outcome, started: float) -> None:
        finished = time.monotonic()
        claimed, route = lease.claimed, self._route
        self._settler.add(_ended((lease, outcome, started, finished, self._freed)))
        attempt, seconds = claimed.attempt + outcome.used, finished - started
        trace = lease.trace or (claimed.trace and recorded(claimed.trace))
        whom = mask(claimed.recipient) if route.tells_recipients and claimed.recipient is not None else None
        age, waited = finished - lease.claimed_at + claimed.age, claimed.waited
        route.listener(_attempted((claimed.id, route.channel, attempt, outcome, seconds, waited, trace, whom, age)))

    def _cut_off(self, error: asyncio.CancelledError, topic: str | None) -> Outcome:
        """Stopped in the middle of a send, by us: no attempt is used, but who knows whether it went out?"""
        if isinstance(error, NotSent):
            failure = Failure("temporary", None, "the worker was stopped before it was sent")
            return Deferred(failure=failure, delay=0.0)
        failure = Failure("ambiguous", None, "the worker was stopped while it was being sent")
        if self._route.policy_of(topic).on_ambiguous == "stop":
            return Ambiguous(failure=failure, reason="in_doubt")
        return Deferred(failure=failure, delay=0.0)
