"""PgQueuer, by asyncpg and uvloop."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.systems.actions import run
from benchmarks.systems.driver import Driver, chunks, payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.systems.driver import Send
    from benchmarks.systems.shift import Shift

_ENTRYPOINT = "bench"
_BULK = 10_000
_BATCH = 1_000


def _encoded(number: int) -> bytes:
    return json.dumps(payload(number), separators=(",", ":")).encode()


class PgQueuerDriver(Driver):
    """Its table of the log is its history."""

    distribution = "pgqueuer"
    history = True

    def setup(self, url: str) -> None:
        """Install its tables, with its own advice for autovacuum."""
        import asyncpg
        from pgqueuer import Queries

        async def install() -> None:
            conn = await asyncpg.connect(url)
            await Queries.from_asyncpg_connection(conn).install()
            await conn.close()

        asyncio.run(install())

    @asynccontextmanager
    async def sender(self, url: str) -> AsyncIterator[Send]:
        """Enqueue in a transaction of its own, on one connection."""
        import asyncpg
        from pgqueuer import Queries

        conn = await asyncpg.connect(url)
        queries = Queries.from_asyncpg_connection(conn)

        async def send(numbers: Sequence[int]) -> None:
            await queries.enqueue(
                [_ENTRYPOINT] * len(numbers), [_encoded(number) for number in numbers], [0] * len(numbers)
            )

        yield send
        await conn.close()

    def bulk(self, url: str, count: int, *, keyed: bool) -> None:
        """Enqueue arrays, a statement a chunk."""
        asyncio.run(self._bulk(url, count, keyed=keyed))

    async def _bulk(self, url: str, count: int, *, keyed: bool) -> None:
        import asyncpg
        from pgqueuer import Queries

        conn = await asyncpg.connect(url)
        queries = Queries.from_asyncpg_connection(conn)
        for numbers in chunks(count, _BULK):
            keys: Any = [f"job:{number}" for number in numbers] if keyed else None
            await queries.enqueue(
                [_ENTRYPOINT] * len(numbers),
                [_encoded(number) for number in numbers],
                [0] * len(numbers),
                dedupe_key=keys,
            )
        await conn.close()

    def work(self, url: str, shift: Shift) -> str:
        """Run its queue manager; in its mode `drain` where that is wanted."""
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._work(url, shift))

    async def _work(self, url: str, shift: Shift) -> str:
        import asyncpg
        from pgqueuer import PgQueuer
        from pgqueuer.types import QueueExecutionMode

        pool = await asyncpg.create_pool(url, min_size=4, max_size=4)
        queuer = PgQueuer.from_asyncpg_pool(pool)

        @queuer.entrypoint(_ENTRYPOINT)  # type: ignore[untyped-decorator]
        async def handle(job: Any) -> None:
            await shift.handle(json.loads(job.payload)["n"] if shift.is_prompt else 0)

        log = queuer.qm.queries.log_jobs

        async def log_jobs(statuses: Any) -> None:
            await log(statuses)
            shift.completed()

        queuer.qm.queries.log_jobs = log_jobs
        shift.ready()
        if shift.seconds:
            asyncio.get_running_loop().call_later(shift.seconds, queuer.shutdown.set)
        mode = QueueExecutionMode.continuous if shift.is_prompt else QueueExecutionMode.drain
        await queuer.qm.run(batch_size=_BATCH, mode=mode, dequeue_timeout=timedelta(seconds=1))
        return f"asyncpg pool of 4, uvloop, batch {_BATCH}"

    def jobs_deleted(self) -> str:
        """Return SQL for the rows that have left the queue."""
        return "SELECT pg_stat_get_tuples_deleted('pgqueuer'::regclass)"


if __name__ == "__main__":
    run(PgQueuerDriver())
