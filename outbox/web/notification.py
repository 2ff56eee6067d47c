"""One notification: its whole story, what it says, and what can still be done about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Route

from outbox.queue.audit import list_audit, record
from outbox.queue.cancel import cancel as take_back
from outbox.queue.contents import read_contents
from outbox.queue.dead_letters import show_dead_letter
from outbox.queue.gathered import find_window
from outbox.queue.paused import list_pauses
from outbox.queue.steps_of import steps_of
from outbox.queue.story import tell
from outbox.telling.facts import facts_of, rules_for
from outbox.telling.gathering import after_gathering, facts_of_window, why_gathering
from outbox.telling.narrative import what_next, why_here
from outbox.telling.pauses import concerned, in_the_way, next_when_resumed, sentence, why_waiting
from outbox.web.actions import action, text
from outbox.web.preview import FRAME_POLICY, preview
from outbox.web.rendering import redirect
from outbox.web.services import services
from outbox.web.sessions import flash
from outbox.web.users import actor, user_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.config import Config
    from outbox.messages import Cancelled, Notification
    from outbox.queue.audit import Entry
    from outbox.queue.paused import Pause
    from outbox.queue.steps_of import StepState
    from outbox.queue.story import Story

WAITING = frozenset({"due", "scheduled", "retrying", "deferred", "blocked", "gathering"})
"""The states in which it can be taken back."""


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the page tells of one; `story` is None where it is only a window, or only a dead letter."""

    id: UUID
    state: str
    why: str
    following: str
    facts: Sequence[tuple[str, str | None]] = ()
    story: Story | None = None
    steps: Sequence[StepState] = ()
    done: Sequence[Entry] = ()

    @property
    def can_be_cancelled(self) -> bool:
        """Whether somebody can still take it back."""
        return self.state in WAITING


def look(conn: Any, id: UUID, config: Config) -> Seen | None:  # noqa: A002 - the name of the column
    """Return what there is to tell of a notification, or None."""
    story, done = tell(conn, id, config.transactional), list_audit(conn, subject=str(id), limit=20)
    if story is not None:
        seen = _of_story(story, list_pauses(conn), config)
        return replace(seen, steps=steps_of(conn, id), done=done)
    window = find_window(conn, id, config.transactional)
    if window is not None:
        rules = rules_for(window, config)
        facts = facts_of_window(window, id, rules)
        return Seen(id, "gathering", why_gathering(window), after_gathering(window, rules), facts, done=done)
    dead = show_dead_letter(conn, id)
    if dead is None:
        return None
    why = "retention has dropped the notification; its dead letter is kept."
    following = "nothing by itself. A replay enqueues it anew, under another id."
    letter = dead[0]
    kept = [("to", f"{letter.recipient}, by {letter.channel}"), ("template", letter.template), ("said", letter.error)]
    return Seen(id, "dead", why, following, [("notification", str(id)), *kept], done=done)


def _of_story(story: Story, pauses: Sequence[Pause], config: Config) -> Seen:
    channel, state = story.facts.channel, story.place.state
    rules, policy = rules_for(story.facts, config), config.channels.get(channel)
    providers = None if policy is None else policy.providers
    concerning = concerned(pauses, channel, providers)
    blocking = in_the_way(concerning, channel, providers)
    why = why_waiting(why_here(story, policy), state, blocking)
    following = next_when_resumed(what_next(story, policy, rules), state, blocking)
    beside: list[tuple[str, str | None]] = [("paused", sentence(each)) for each in concerning if each not in blocking]
    return Seen(story.facts.id, state, why, following, facts_of(story, rules) + beside, story)


async def show(request: Request) -> Response:
    """Show it."""
    config, database, pages = services(request).config, services(request).database, services(request).pages
    identity = request.path_params["id"]
    seen = await database.read(look, identity, config)
    if seen is None:
        words = "There is no such notification in this database. It may be older than what is kept."
        raise HTTPException(404, words)
    return pages.page(request, "notification.html", seen=seen)


async def contents(request: Request) -> Response:
    """Show what it says: a part of the page, which is asked for by whoever wants to read it."""
    notification = await _contents(request)
    seen = await services(request).database.read(tell, notification.id)
    shown = await to_thread.run_sync(preview, notification, services(request).config, seen)
    return services(request).pages.page(request, "contents.html", shown=shown, id=notification.id)


async def frame(request: Request) -> Response:
    """Return the HTML of it, for a frame."""
    shown = await to_thread.run_sync(preview, await _contents(request), services(request).config)
    headers = {"content-security-policy": FRAME_POLICY, "x-frame-options": "SAMEORIGIN"}
    return HTMLResponse(shown.html or "", headers=headers)


@action()
async def cancel(request: Request, form: FormData) -> Response:
    """Take it back."""
    identity: UUID = request.path_params["id"]
    done = await services(request).database.write(_cancel, identity, actor(request), text(form, "reason"))
    if done.cancelled:
        flash(request, "It was taken back, and will not be sent.")
    elif done.leased:
        flash(request, "A worker has it in hand, so it could not be taken back.")
    else:
        flash(request, "It had come to its end already. Nothing was changed.")
    return redirect(request, "notification", id=identity)


def _cancel(conn: Any, id: UUID, who: str, reason: str) -> Cancelled:  # noqa: A002 - the name of the column
    done = take_back(conn, id=id)
    if done.cancelled:
        record(conn, actor=who, action="cancel", subject=str(id), reason=reason or None)
    return done


async def _contents(request: Request) -> Notification:
    user = user_of(request)
    if user is None or not user.is_operator:
        raise HTTPException(403, "What messages say is for operators alone. You are signed in as a viewer.")
    try:
        found = await services(request).database.read(read_contents, request.path_params["id"])
    except (ValueError, RecursionError):
        raise HTTPException(400, "Its payload or its headers are JSON that cannot be read.") from None
    if found is None:
        raise HTTPException(404, "There is no such notification any more.")
    return found


ROUTES = [
    Route("/notifications/{id:uuid}", show, name="notification", methods=["GET"]),
    Route("/notifications/{id:uuid}/contents", contents, name="contents", methods=["GET"]),
    Route("/notifications/{id:uuid}/frame", frame, name="frame", methods=["GET"]),
    Route("/notifications/{id:uuid}/cancel", cancel, name="cancel", methods=["POST"]),
]
