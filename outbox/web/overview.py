"""The overview: how things stand, and go on to."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Route

from outbox.queue.inspect import count_channels, count_strays, failing_schedules, live_workers
from outbox.queue.paused import list_pauses
from outbox.telling.amiss import warnings_of
from outbox.web.services import services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.inspect import Channel, LiveWorker

_LONGEST = 300.0  # seconds of one stream; then the browser asks again, and is asked again who it is
_HEADERS = {"x-accel-buffering": "no"}  # nginx would keep what is said for later


@dataclass(frozen=True, slots=True)
class Overview:
    """How things stood at a moment, in seconds since 1970."""

    at: float
    channels: Sequence[Channel]
    workers: Sequence[LiveWorker]
    warnings: Sequence[str]

    def total(self, name: str) -> int:
        """Return the sum of a count over all channels."""
        return sum(getattr(channel, name) for channel in self.channels)

    @property
    def oldest_due(self) -> float | None:
        """Seconds that the oldest of all that is due has been waiting."""
        return max((channel.oldest_due for channel in self.channels if channel.oldest_due is not None), default=None)

    def sample(self) -> dict[str, Any]:
        """Return what the charts show of it."""
        counts = {name: self.total(name) for name in ("due", "leased", "retrying", "scheduled")}
        return {"at": round(self.at, 1), **counts}


def look(conn: Any) -> Overview:
    """Return how things stand."""
    channels, workers = count_channels(conn), live_workers(conn)
    warnings = warnings_of(channels, failing_schedules(conn), count_strays(conn), list_pauses(conn))
    return Overview(time.time(), channels, workers, warnings)


async def overview(request: Request) -> Response:
    """Show the overview."""
    live, pages = services(request).live, services(request).pages
    seen = await live.now()
    samples = [each.sample() for each in live.seen]
    return pages.page(request, "overview.html", seen=seen, samples=samples)


async def stream(request: Request) -> Response:
    """Tell of the overview again and again, as server-sent events: a `sample` for the charts, and the page's part.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    if services(request).live.is_full:
        raise HTTPException(503, "Too many watch this already.")
    return StreamingResponse(_events(request), media_type="text/event-stream", headers=_HEADERS)


async def _events(request: Request) -> AsyncIterator[str]:
    end = time.monotonic() + _LONGEST
    async for seen in services(request).live.follow():
        if seen is not None:
            yield _event(json.dumps(seen.sample()), "sample")
        yield _event(services(request).pages.text(request, "overview_live.html", seen=seen))
        if time.monotonic() > end:
            return


def _event(data: str, name: str = "") -> str:
    lines = [f"event: {name}"] if name else []
    return "\n".join([*lines, *(f"data: {line}" for line in data.splitlines()), "", ""])


ROUTES = [
    Route("/", overview, name="overview"),
    Route("/live", stream, name="live"),
]
