"""Suppressions: who must not be contacted. Whom one looks for is in no address: all of it is a POST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.routing import Route

from outbox.errors import InvalidSuppression
from outbox.queue.audit import record
from outbox.queue.entry import Key
from outbox.queue.suppress import add as put
from outbox.queue.unsuppress import lift
from outbox.reasons import KNOWN, STRONG
from outbox.suppressions import Page, page
from outbox.telling.words import counted
from outbox.web.actions import action, text
from outbox.web.fields import end
from outbox.web.rendering import redirect
from outbox.web.services import services
from outbox.web.sessions import complain, flash
from outbox.web.users import actor

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.messages import Removed, Suppressed

_SHOWN = 50
_LONGEST = 2_000
_FILTERS = ("channel", "recipient", "topic", "reason")
_NOTHING = dict.fromkeys((*_FILTERS, "after"), "")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be added."""

    key: Key
    reason: str
    until: datetime | timedelta | None
    because: str | None

    def __repr__(self) -> str:
        return "_Asked(…)"


async def show(request: Request) -> Response:
    """Show the first of them."""
    return await _page(request, _NOTHING)


@action(role="viewer")
async def search(request: Request, form: FormData) -> Response:
    """Show those that match, page after page."""
    return await _page(request, {name: text(form, name, longest=_LONGEST) for name in _NOTHING})


async def _page(request: Request, given: dict[str, str]) -> Response:
    filters: dict[str, Any] = {name: given[name] or None for name in _FILTERS}
    try:
        found: Page = await services(request).database.read(page, **filters, limit=_SHOWN, after=given["after"] or None)
    except ValueError:
        raise HTTPException(400, "There is no page that begins there.") from None
    shown: dict[str, Any] = {"found": found, "given": given, "reasons": KNOWN, "strong": STRONG}
    channels = sorted({*services(request).config.channels, "email", "sms"})
    return services(request).pages.page(request, "suppressions.html", channels=channels, **shown)


@action()
async def add(request: Request, form: FormData) -> Response:
    """Add one, and say what it ended."""
    try:
        asked = _Asked(_key(form), text(form, "reason"), end(form), text(form, "because") or None)
        done = await services(request).database.write(_add, asked, actor(request))
    except InvalidSuppression as error:
        complain(request, f"Nothing was added: {error.field} {error.problem}.")
    else:
        flash(request, _told(done))
    return redirect(request, "suppressions")


def _add(conn: Any, asked: _Asked, who: str) -> Suppressed:
    done = put(conn, **asked.key._asdict(), reason=asked.reason, source="dashboard", until=asked.until)
    details = {"reason": asked.reason, "topic": asked.key.topic, "ended": done.ended}
    record(conn, actor=who, action="suppress", subject=_subject(asked.key), reason=asked.because, details=details)
    return done


def _told(done: Suppressed) -> str:
    words = "Added." if done.new else f"There was one already, and it stays: {done.reason}."
    if done.ended:
        words += f" {counted(done.ended, 'notification')} that waited ended as suppressed."
    if done.in_hand:
        words += f" {done.in_hand:,} in a worker's hands this moment may still be sent."
    return words


@action()
async def remove(request: Request, form: FormData) -> Response:
    """Remove one; what a provider or the law has said only for somebody who insists."""
    insists, because = text(form, "insists") == "yes", text(form, "because") or None
    try:
        key = _key(form)
        done = await services(request).database.write(_remove, key, actor(request), insists, because)
    except InvalidSuppression as error:
        complain(request, f"Nothing was removed: {error.field} {error.problem}.")
        return redirect(request, "suppressions")
    if done.reason is not None:
        still = f", but not about everything: {', '.join(done.kept)} is still there" if done.kept else ""
        flash(request, f"Removed ({done.reason.replace('_', ' ')}). They may be contacted again{still}.")
    elif done.kept:
        kept = ", ".join(done.kept)
        complain(request, f"Nothing was removed: this is no matter of taste ({kept}). Say that you insist.")
    else:
        complain(request, "There is no such suppression any more.")
    return redirect(request, "suppressions")


def _remove(conn: Any, key: Key, who: str, insists: bool, because: str | None) -> Removed:  # noqa: FBT001
    done = lift(conn, key, spared=() if insists else STRONG)
    if done.reason is not None:
        details = {"reason": done.reason, "topic": key.topic}
        record(conn, actor=who, action="unsuppress", subject=_subject(key), reason=because, details=details)
    return done


def _key(form: FormData) -> Key:
    given = {name: text(form, name, longest=_LONGEST) for name in ("channel", "recipient", "topic", "sender")}
    return Key.of(given["channel"], given["recipient"], given["topic"] or None, given["sender"] or None)


def _subject(key: Key) -> str:
    """Return what the audit calls it, which is kept for good: nothing of whom it is about."""
    return f"suppression:{key.channel}"


ROUTES = [
    Route("/suppressions", show, name="suppressions", methods=["GET"]),
    Route("/suppressions", search, name="suppressions_search", methods=["POST"]),
    Route("/suppressions/add", add, name="suppressions_add", methods=["POST"]),
    Route("/suppressions/remove", remove, name="suppressions_remove", methods=["POST"]),
]
