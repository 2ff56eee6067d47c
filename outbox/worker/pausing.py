"""pausing: what somebody paused, as this worker knows it: which channels it may claim from, which providers it may ask.

Looked up once a second, and as soon as the database tells of a change: no claim pays for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

import psycopg

from outbox.database import describe
from outbox.errors import NotMigrated
from outbox.events import ChoreFailed
from outbox.pause_events import Paused, Resumed
from outbox.queue.paused import aread_pauses
from outbox.worker.standstill import standstill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.database import Link
    from outbox.events import Listener
    from outbox.queue.paused import Pause
    from outbox.route import Route

CHANGED = "*pauses"
"""What the database notifies when something was paused or resumed."""
_EVERY = 1.0
_REFUSED = 60.0  # seconds until it is looked again where we may not look
_FAILED = 5.0
_SOONEST = 0.01


class Gate:
    """Whether one channel may be claimed from. It is shut until that is known."""

    def __init__(self) -> None:
        self._known = asyncio.Event()
        self._open = asyncio.Event()

    @property
    def is_shut(self) -> bool:
        """Whether the channel is paused, or all of its providers are."""
        return not self._open.is_set()

    async def known(self) -> None:
        """Return once it is known whether it is open."""
        await self._known.wait()

    async def opened(self) -> None:
        """Return when it is open."""
        await self._open.wait()

    def set(self, *, is_shut: bool) -> None:
        """Open or shut it."""
        self._known.set()
        if is_shut:
            self._open.clear()
        else:
            self._open.set()


class Pausing:
    """Keeps the gates of a worker's channels, and tells their routes which providers are paused."""

    def __init__(self, link: Link, routes: Sequence[Route], listener: Listener) -> None:
        self._link = link
        self._routes = routes
        self._listener = listener
        self._hint = asyncio.Event()
        self._holding: dict[tuple[str, str], Pause] = {}
        self.gates: Mapping[str, Gate] = {route.channel: Gate() for route in routes}

    def hint(self) -> None:
        """Note that something was paused or resumed."""
        self._hint.set()

    async def run(self) -> None:
        """Look, heed what is found, sleep for a second or until there is a hint; until cancelled."""
        knows = False
        while True:
            self._hint.clear()
            pauses: list[Pause] | None
            try:
                pauses = await self._link.run(aread_pauses)
            except (psycopg.errors.InsufficientPrivilege, NotMigrated) as error:
                # Who may not look works on as if nothing were paused, and says so.
                self._listener(ChoreFailed("pauses", describe(error)))
                pauses, sleep = [], _REFUSED
            except psycopg.Error as error:
                # What is paused stays so: a look that failed is no reason to open every gate. It is not heeded anew
                # either, for its times are counted from when it was looked up.
                self._listener(ChoreFailed("pauses", describe(error)))
                pauses, sleep = None if knows else [], _FAILED
            else:
                ends = [pause.left for pause in pauses if pause.left is not None and pause.left > 0]
                sleep = min([_EVERY * random.uniform(0.9, 1.1), *(end + _SOONEST for end in ends)])
            if pauses is not None:
                knows = True
                self._heed(pauses)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sleep):
                    await self._hint.wait()

    def _heed(self, pauses: Sequence[Pause]) -> None:
        ours = {("channel", route.channel) for route in self._routes}
        ours |= {("provider", name) for route in self._routes for name in route.providers}
        holding = {key: pause for pause in pauses if pause.holds and (key := (pause.scope, pause.name)) in ours}
        for route in self._routes:
            names = {name for scope, name in holding if scope == "provider"}.intersection(route.providers)
            route.holds.pause(names)
            route.stood_still = standstill(route, pauses)
            is_shut = ("channel", route.channel) in holding or (bool(names) and names == route.providers.keys())
            self.gates[route.channel].set(is_shut=is_shut)
        self._tell(holding)
        self._holding = holding

    def _tell(self, holding: Mapping[tuple[str, str], Pause]) -> None:
        for key, pause in holding.items():
            before = self._holding.get(key)
            terms = (pause.paused_at, pause.until, pause.by, pause.reason)
            if before is None or terms != (before.paused_at, before.until, before.by, before.reason):
                self._listener(Paused(pause.scope, pause.name, pause.by, pause.reason, pause.left))
        for scope, name in self._holding.keys() - holding.keys():
            self._listener(Resumed(scope, name))
