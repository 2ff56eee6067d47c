"""worker: opens what a worker process needs, registers it, and hands over to its shift."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from psycopg.errors import InvalidSchemaName, UndefinedTable

from outbox.database import Link
from outbox.errors import NotMigrated
from outbox.events import TopicsChanged
from outbox.queue import attend
from outbox.queue.escalations import declare_escalations
from outbox.queue.revision import find_revision
from outbox.queue.topics import declare
from outbox.revisions import known
from outbox.route import providers_of
from outbox.routine_events import SchemaNewer
from outbox.worker.settler import LONGEST_WAIT
from outbox.worker.shift import Shift
from outbox.worker.slots import CUT_OFF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import AsyncConnection

    from outbox.config import RetentionConfig, TopicConfig, WorkerConfig
    from outbox.events import Listener
    from outbox.route import Route

_ALL_LEVELS = tuple(range(10))


class Worker:
    """One worker process: two connections and a lifeline, whatever the concurrency."""

    def __init__(
        self,
        *,
        url: str,
        routes: Sequence[Route],
        settings: WorkerConfig,
        listener: Listener,
        levels: Sequence[int] = _ALL_LEVELS,
        drain: bool = False,
        retention: RetentionConfig | None = None,
        topics: Mapping[str, TopicConfig] | None = None,
        escalations: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._url = url
        self._routes = routes
        self._settings = settings
        self._listener = listener
        self._levels = levels
        self._drain = drain
        self._retention = retention
        self._topics = topics or {}
        self._escalations = escalations or {}
        self._claims = Link(url, "claim", listener, lookups_only=True, lock_timeout=LONGEST_WAIT)
        self._settles = Link(url, "settle", listener, lookups_only=True, lock_timeout=LONGEST_WAIT)

    async def run(self, stop: asyncio.Future[str]) -> int:
        """Work until `stop` has a result (why), or, with `drain`, until nothing is due.

        Returns 0 after a clean stop; otherwise how many settlements could not be written before the grace was over, and
        how many channels `drain` gave up on because their providers refuse us.

        Raises:
            ConfigError: the database does not exist, or refuses us. One that is not up yet is waited for.
            NotMigrated: the database has no outbox, or an older one. With a newer one it works: an upgrade goes on.
            Exception: a defect in a part of the worker; what was in hand comes back by its leases.
        """
        try:
            worker = await self._enter(stop)
            if worker is None:
                return 0
            shift = Shift(
                url=self._url,
                worker=worker,
                claims=self._claims,
                settles=self._settles,
                routes=self._routes,
                settings=self._settings,
                listener=self._listener,
                levels=self._levels,
                drain=self._drain,
                retention=self._retention,
            )
            return await shift.run(stop)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CUT_OFF):
                    await asyncio.gather(*(route.aclose() for route in self._routes))
            await self._claims.aclose()
            await self._settles.aclose()

    async def _enter(self, stop: asyncio.Future[str]) -> int | None:
        """Register this process; None when it was asked to stop before the database could be reached."""
        entering = asyncio.create_task(self._claims.run(self._introduce, at_start=True))
        first: set[asyncio.Future[Any]] = {entering, stop}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not entering.done():
            entering.cancel()
            await asyncio.wait([entering])
            return None
        try:
            return entering.result()
        except (InvalidSchemaName, UndefinedTable) as error:
            raise NotMigrated from error

    async def _introduce(self, conn: AsyncConnection[Any]) -> int:
        applied = await find_revision(conn)
        if applied is not None and applied != known()[-1]:
            if applied in known():
                raise NotMigrated(f" (it has revision {applied}, and this version of outbox needs {known()[-1]})")
            self._listener(SchemaNewer(applied, known()[-1]))
        if changed := await declare(conn, self._topics):
            self._listener(TopicsChanged(tuple(changed)))
        await declare_escalations(conn, self._escalations)
        return await attend.enter(conn, [route.channel for route in self._routes], providers_of(self._routes))
