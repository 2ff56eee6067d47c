"""Dead letters: the groups of what failed for the same reason, and the list of all, by what people filter them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
from starlette.routing import Route

from outbox.queue.dead_letters import page_dead_letters
from outbox.queue.depths import gauges
from outbox.queue.letter_groups import groups, groups_of_newest
from outbox.queue.letter_selection import Selection
from outbox.terminal.selection import CLASSES, REASONS
from outbox.web.fields import ago, asked, chosen, place
from outbox.web.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.dead_letters import DeadLetter
    from outbox.queue.letter_groups import Groups

SHOWN = 50
STATES = ("open", "replayed", "discarded", "all")
_GROUPS = 100
_NEWEST = 10_000  # of each channel, where there are too many to group all of them in time
_TEXTS = {"channel": "channels", "template": "templates", "provider": "providers", "code": "error_codes"}
_CHOICES = {"class": ("error_classes", CLASSES), "reason": ("reasons", REASONS)}


@dataclass(frozen=True, slots=True)
class Letters:
    """A page of dead letters; `next` is where the one after it begins."""

    items: Sequence[DeadLetter]
    next: str | None


def selection_of(given: Mapping[str, str]) -> Selection:
    """Return which letters were asked for.

    Raises:
        HTTPException: 400, there is no such class or reason, or `since` is not a duration.
    """
    values: dict[str, Any] = {field: [given[name]] for name, field in _TEXTS.items() if given[name]}
    for name, (field, known) in _CHOICES.items():
        if chosen(given[name], known, name):
            values[field] = [given[name]]
    return Selection(since=ago(given["since"], "since"), **values)


def filters_of(request: Request) -> dict[str, str]:
    """Return what the address asks for, by name."""
    return {name: asked(request, name) for name in (*_TEXTS, *_CHOICES, "since")}


def page_of(conn: Any, selection: Selection, state: str, before: str) -> Letters:
    """Return a page of dead letters."""
    given = None if state == "all" else state
    found = page_dead_letters(conn, selection, state=given, before=place(before), limit=SHOWN + 1)
    last = found[SHOWN - 1] if len(found) > SHOWN else None
    return Letters(found[:SHOWN], f"{last.died_at.isoformat()}/{last.id}" if last is not None else None)


def look(conn: Any, selection: Selection) -> Groups:
    """Return the groups of all open dead letters that match."""
    return groups(conn, selection, limit=_GROUPS)


def look_at_newest(conn: Any) -> Groups:
    """Return the groups of the newest open dead letters, where there are too many."""
    channels = [gauge.channel for gauge in gauges(conn) if gauge.name == "dead_letters_open" and gauge.value]
    return groups_of_newest(conn, channels, newest=_NEWEST, limit=_GROUPS)


async def show(request: Request) -> Response:
    """Show the groups."""
    given = filters_of(request)
    selection, database, cut = selection_of(given), services(request).database, False
    try:
        found = await database.read(look, selection)
    except psycopg.errors.QueryCanceled:
        found, cut = await database.read(look_at_newest), True
    return services(request).pages.page(
        request,
        "dead_letters.html",
        found=found,
        cut=cut and _NEWEST,
        given=given,
        classes=CLASSES,
        reasons=REASONS,
        query=urlencode({name: value for name, value in given.items() if value}),
    )


async def letters(request: Request) -> Response:
    """Show the letters, page after page."""
    given, state = filters_of(request), chosen(asked(request, "state"), STATES, "state") or "open"
    found = await services(request).database.read(page_of, selection_of(given), state, asked(request, "before"))
    kept = {name: value for name, value in given.items() if value} | {"state": state}
    return services(request).pages.page(
        request,
        "dead_letters_list.html",
        found=found,
        given=given,
        state=state,
        states=STATES,
        classes=CLASSES,
        reasons=REASONS,
        query=urlencode(kept),
        further=found.next and urlencode(kept | {"before": found.next}),
        is_later=bool(asked(request, "before")),
    )


ROUTES = [
    Route("/dead-letters", show, name="dead_letters", methods=["GET"]),
    Route("/dead-letters/letters", letters, name="dead_letters_list", methods=["GET"]),
]
