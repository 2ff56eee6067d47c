"""Search: by an id, an idempotency key, or whom something was for. It is a POST, so that no address ends in a log."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from starlette.routing import Route

from outbox.queue.look_up import Found, list_days, look_up_key, look_up_recipient
from outbox.web.actions import action, text
from outbox.web.rendering import redirect
from outbox.web.services import services

if TYPE_CHECKING:
    from datetime import date

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

SPANS = (1, 7, 30, 365)
_SHOWN = 50
_LONGEST = 1_000
_BUDGET = 4.0  # seconds: no day is begun after so many


@dataclass(slots=True)
class Result:
    """What was found, and how far back was looked: everything that was enqueued since `since`."""

    query: str
    days: int
    by_key: list[Found] = field(default_factory=list)
    by_recipient: list[Found] = field(default_factory=list)
    since: date | None = None
    cut: bool = False
    """Whether there may be more on the days that were asked for."""

    @property
    def wider(self) -> int | None:
        """The next larger span to look in, if there is one and this one was looked through."""
        return None if self.cut else next((span for span in SPANS if span > self.days), None)


def look(conn: Any, query: str, days: int, *, budget: float = _BUDGET) -> Result:
    """Look a key up, then somebody's notifications day by day, the newest first, for as long as the budget lasts."""
    result = Result(query, days, by_key=look_up_key(conn, query))
    end = time.monotonic() + budget
    oldest = datetime.now(UTC).date() - timedelta(days=days - 1)
    for day in list_days(conn):
        if day < oldest:
            break
        if time.monotonic() > end:
            result.cut = True
            break
        left = _SHOWN - len(result.by_recipient)
        try:
            found = look_up_recipient(conn, query, day, limit=left + 1)
        except psycopg.errors.QueryCanceled:
            result.cut = True
            break
        result.by_recipient += found[:left]
        result.since = day
        if len(found) > left:
            result.cut = True
            break
    return result


async def ask(request: Request) -> Response:
    """Ask what to look for."""
    return services(request).pages.page(request, "search.html", result=None, spans=SPANS)


@action(role="viewer")
async def search(request: Request, form: FormData) -> Response:
    """Show what was found, or the notification itself where an id was asked for."""
    query, days = text(form, "q", longest=_LONGEST), text(form, "days")
    if not query:
        return await ask(request)
    try:
        return redirect(request, "notification", id=UUID(query))
    except ValueError:
        pass
    span = int(days) if days in map(str, SPANS) else SPANS[1]
    result = await services(request).database.read(look, query, span)
    return services(request).pages.page(request, "search.html", result=result, spans=SPANS)


ROUTES = [
    Route("/search", ask, name="search", methods=["GET"]),
    Route("/search", search, name="search_for", methods=["POST"]),
]
