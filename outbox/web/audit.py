"""The audit: who did what by hand, to what, and why; the newest first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.routing import Route

from outbox.queue.audit import list_audit
from outbox.web.fields import asked
from outbox.web.rendering import path_to
from outbox.web.services import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.audit import Entry

_SHOWN = 50
ACTIONS = (
    "replay", "edit", "discard", "reopen", "pause", "resume", "cancel", "suppress", "unsuppress", "set_preference",
    "clear_preference", "run_now", "add", "remove", "erase"
)  # fmt: skip
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GROUP = re.compile(r"group:([0-9a-f]{10})")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_LONGEST_ID = 18


def where(request: Request, entry: Entry) -> str | None:
    """Return the page about what something was done to, if there is one."""
    subject = entry.subject
    if _ID.fullmatch(subject):
        return path_to(request, "notification", id=subject)
    if group := _GROUP.fullmatch(subject):
        return path_to(request, "dead_letters_group", id=group[1])
    scope, _, name = subject.partition(":")
    if not name or "/" in name:
        return None
    if scope in {"channel", "provider"}:
        return path_to(request, "channels_one", scope=scope, name=name)
    return path_to(request, "schedules_one", name=name) if scope == "schedule" else None


def words(entry: Entry) -> str:
    """Return what is written down beside, for people: `replayed 10, left alone 2 too often`."""
    said = []
    for name, value in entry.details.items():
        if name in {"ids", "new_id"} or value in (None, {}, [], "", 0, False):
            continue
        said.append(f"{name.replace('_', ' ')} {_value(value)}")
    return ", ".join(said)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)[:16] if isinstance(value, str) and _MOMENT.match(value) else str(value)


async def show(request: Request) -> Response:
    """Show a page of it."""
    given = {name: asked(request, name) for name in ("actor", "action", "subject")}
    before = asked(request, "before")
    if before and not (before.isascii() and before.isdecimal() and len(before) <= _LONGEST_ID):
        raise HTTPException(400, "There is no page that begins there.")
    found = await services(request).database.read(
        list_audit,
        subject=given["subject"] or None,
        actor=given["actor"] or None,
        actions=[given["action"]] if given["action"] else [],
        before=int(before) if before else None,
        limit=_SHOWN + 1,
    )
    kept = {name: value for name, value in given.items() if value}
    further = urlencode(kept | {"before": found[_SHOWN - 1].id}) if len(found) > _SHOWN else None
    shown: dict[str, Any] = {"deeds": found[:_SHOWN], "given": given, "actions": ACTIONS, "further": further}
    return services(request).pages.page(
        request, "audit.html", where=where, words=words, is_later=bool(before), query=urlencode(kept), **shown
    )


ROUTES = [Route("/audit", show, name="audit", methods=["GET"])]
