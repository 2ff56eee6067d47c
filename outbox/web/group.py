"""One group of dead letters: what they have in common, its letters, and closing all of them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.routing import Route

from outbox.queue.audit import list_audit
from outbox.queue.dead_letters import find_dead_letters
from outbox.queue.discard import discard as close
from outbox.queue.letter_groups import groups
from outbox.queue.letter_selection import Selection
from outbox.telling.words import counted
from outbox.web.actions import action, text
from outbox.web.dead_letters import STATES, Letters, page_of
from outbox.web.fields import asked, chosen
from outbox.web.rendering import redirect
from outbox.web.services import services
from outbox.web.sessions import complain, flash
from outbox.web.users import actor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.audit import Entry
    from outbox.queue.letter_groups import Group

CHUNK = 1_000
_LARGE = 500
BUDGET = 3.0
"""Seconds: no thousand is begun after so many, so that a request ends before somebody wonders."""


class _Group(Convertor[str]):
    regex = "[0-9a-f]{10}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        if not re.fullmatch(self.regex, value):
            raise ValueError(f"{value!r} is not the id of a group")
        return value


register_url_convertor("group", _Group())


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the page tells of a group; `group` is None where none of its letters is open."""

    id: str
    group: Group | None
    letters: Letters
    done: Sequence[Entry]


def members(id: str) -> Selection:  # noqa: A002 - as the page calls it
    """Return the selection of a group's letters, as the audit names it."""
    return Selection(groups=[id])


def find(conn: Any, id: str) -> Group | None:  # noqa: A002
    """Return a group, if any of its letters is open."""
    # The large ones are found without a digest of each letter, which takes ten times as long.
    for group in groups(conn, limit=_LARGE).groups:
        if group.id == id:
            return group
    found = groups(conn, members(id), limit=1).groups
    return found[0] if found else None


def look(conn: Any, id: str, state: str, before: str) -> Seen:  # noqa: A002
    """Return a group and a page of its letters."""
    group = find(conn, id)
    channels = [group.channel] if group is not None else []
    letters = page_of(conn, Selection(channels=channels, groups=[id]), state, before)
    return Seen(id, group, letters, list_audit(conn, subject=str(members(id)), limit=10))


async def show(request: Request) -> Response:
    """Show it."""
    identity = request.path_params["id"]
    state = chosen(asked(request, "state"), STATES, "state") or "open"
    before = asked(request, "before")
    seen = await services(request).database.read(look, identity, state, before)
    if seen.group is None and not seen.letters.items and not seen.done:
        seen = await services(request).database.read(look, identity, "all", "")
        if not seen.letters.items:
            raise HTTPException(404, "There is no such group of dead letters, or none of its letters is kept any more.")
        state = "all"
    further = seen.letters.next and urlencode({"state": state, "before": seen.letters.next})
    shown: dict[str, Any] = {
        "seen": seen,
        "state": state,
        "states": STATES,
        "further": further,
        "is_later": bool(before),
    }
    return services(request).pages.page(request, "group.html", **shown)


async def ask(request: Request) -> Response:
    """Ask whether all of them are to be closed."""
    group = await services(request).database.read(find, request.path_params["id"])
    if group is None:
        flash(request, "None of this group is open any more.")
        return redirect(request, "dead_letters")
    return services(request).pages.page(request, "group_discard.html", group=group)


@action()
async def discard(request: Request, form: FormData) -> Response:
    """Close all that are open, a thousand in a transaction, for as long as the budget lasts."""
    identity, reason = request.path_params["id"], text(form, "reason")
    if not reason:
        complain(request, "Say why: the reason is kept with each of them.")
        return redirect(request, "dead_letters_group_discard", id=identity)
    group = await services(request).database.read(find, identity)
    channels = [] if group is None else [group.channel]
    closed, last, database, end = 0, CHUNK, services(request).database, time.monotonic() + BUDGET
    try:
        while last == CHUNK and time.monotonic() < end:
            last = await database.write(_discard, identity, channels, actor(request), reason)
            closed += last
    except psycopg.Error:
        if not closed:
            raise
    if last == CHUNK:
        complain(request, f"{counted(closed, 'dead letter')} discarded so far; there are more. Discard again to go on.")
        return redirect(request, "dead_letters_group_discard", id=identity)
    flash(request, f"{counted(closed, 'dead letter')} discarded. Each can be opened again.")
    return redirect(request, "dead_letters")


def _discard(conn: Any, id: str, channels: Sequence[str], who: str, reason: str) -> int:  # noqa: A002
    ids = find_dead_letters(conn, Selection(channels=channels, groups=[id]), limit=CHUNK)
    return len(close(conn, ids, reason=reason, actor=who, selected=members(id)))


ROUTES = [
    Route("/dead-letters/groups/{id:group}", show, name="dead_letters_group", methods=["GET"]),
    Route("/dead-letters/groups/{id:group}/discard", ask, name="dead_letters_group_discard", methods=["GET"]),
    Route("/dead-letters/groups/{id:group}/discard", discard, name="dead_letters_group_discarded", methods=["POST"]),
]
