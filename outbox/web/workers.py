"""Workers: those that live, what each has in hand, how fast it is, and what is amiss with any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from outbox.queue.fleet import RECENT, fleet
from outbox.telling.words import counted, short
from outbox.web.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.fleet import Fleet, Held, Traffic, Worker

_SHOWN = 200
_SKEW = 2.0  # seconds: a heartbeat's round trip is less


@dataclass(frozen=True, slots=True)
class Seen:
    """The live workers, what each did, what they hold, and what is amiss."""

    workers: Sequence[Worker]
    count: int
    traffic: dict[int, Traffic]
    every: Traffic | None
    held: Sequence[Held]
    in_hand: int
    warnings: Sequence[str]


def look(conn: Any) -> Seen:
    """Return how the workers are."""
    seen = fleet(conn)
    traffic = {worker.id: one for worker in seen.workers if (one := _of(type(seen)((worker,)))) is not None}
    held, in_hand = seen.held(), sum(worker.in_hand for worker in seen.workers)
    workers = seen.workers[:_SHOWN]
    return Seen(workers, len(seen.workers), traffic, _of(seen), held, in_hand, [*_amiss(seen.workers)])


def _of(some: Fleet) -> Traffic | None:
    return some.traffic(lambda _: "").get("")


def _amiss(workers: Sequence[Worker]) -> Iterator[str]:
    versions = sorted({worker.version for worker in workers})
    if len(versions) > 1:
        yield f"Workers of {counted(len(versions), 'version')} run at once: {', '.join(versions)}. Mind the older ones."
    for worker in workers:
        name = f"{worker.host} (pid {worker.pid})"
        if worker.skew is not None and abs(worker.skew) > _SKEW:
            which = "ahead of" if worker.skew > 0 else "behind"
            yield f"The clock of {name} is {short(abs(worker.skew))} {which} the database's: look at its NTP."
        if worker.report is not None and worker.report.listening is False:
            yield f"{name} hears no NOTIFY, and polls instead: a pooler in between swallows it. Urgent ones go later."
        if worker.seen > RECENT:
            yield f"{name} was last heard of {short(worker.seen)} ago. In a minute it counts as gone."


async def show(request: Request) -> Response:
    """Show them."""
    seen = await services(request).database.read(look)
    return services(request).pages.page(request, "workers.html", seen=seen)


ROUTES = [Route("/workers", show, name="workers", methods=["GET"])]
