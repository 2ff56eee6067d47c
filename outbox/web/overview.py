"""The overview: how things stand, and go on to."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Route

from outbox.web.services import services
from outbox.web.standing import SPANS, history

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

_LONGEST = 300.0  # seconds of one stream; then the browser asks again, and is asked again who it is
_HEADERS = {"x-accel-buffering": "no"}  # nginx would keep what is said for later


async def overview(request: Request) -> Response:
    """Show the overview."""
    live, database, pages = services(request).live, services(request).database, services(request).pages
    asked = request.query_params.get("span", "")
    span = asked if asked in SPANS else next(iter(SPANS))
    seen, past = await live.now(), await database.read(history, span)
    return pages.page(request, "overview.html", seen=seen, samples=past, span=span, spans=list(SPANS))


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
        yield _event(services(request).pages.text(request, "overview_live.html", seen=seen, part=""))
        if time.monotonic() > end:
            return


def _event(data: str, name: str = "") -> str:
    lines = [f"event: {name}"] if name else []
    return "\n".join([*lines, *(f"data: {line}" for line in data.splitlines()), "", ""])


ROUTES = [
    Route("/", overview, name="overview"),
    Route("/live", stream, name="live"),
]
