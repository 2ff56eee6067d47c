"""One dead letter: what it died of, and what can be done: replay it, edit it, close it, open it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.routing import Route

from outbox.errors import InvalidNotification, Rejected
from outbox.queue.audit import list_audit
from outbox.queue.dead_letters import read_dead_letters, show_dead_letter
from outbox.queue.discard import discard as close
from outbox.queue.edit import edit as put_in_place
from outbox.queue.judge import judge
from outbox.queue.reopen import reopen as open_again
from outbox.queue.replay import replay as put_back
from outbox.queue.story import tell
from outbox.telling.forecast import LATE, WHY_NOT
from outbox.telling.sayable import against_who_delivers_it
from outbox.web.actions import action, text
from outbox.web.rendering import redirect
from outbox.web.services import services
from outbox.web.sessions import complain, flash
from outbox.web.users import actor, user_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.audit import Entry
    from outbox.queue.dead_letters import DeadLetter
    from outbox.queue.edit import Edited
    from outbox.queue.judge import Judged
    from outbox.queue.story import Story

_LONGEST_RECIPIENT = 5_000
_LONGEST_PAYLOAD = 900_000
_LOOP = "it was replayed three times, and died each time. Replay it all the same, if you know better"


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the page tells of one; `story` is None where retention has dropped the notification."""

    letter: DeadLetter
    story: Story | None
    judged: Judged
    done: Sequence[Entry]


def look(conn: Any, id: UUID, transactional: Sequence[str]) -> Seen | None:  # noqa: A002 - the name of the column
    """Return what there is to tell of a dead letter."""
    found = read_dead_letters(conn, [id])
    if not found:
        return None
    (judged,) = judge(conn, [id])
    return Seen(found[0][0], tell(conn, id, transactional), judged, list_audit(conn, subject=str(id), limit=20))


async def show(request: Request) -> Response:
    """Show it."""
    config, identity = services(request).config, request.path_params["id"]
    seen = await services(request).database.read(look, identity, config.transactional)
    if seen is None:
        raise HTTPException(404, "There is no such dead letter, or it is kept no longer.")
    why_not = {**WHY_NOT, "too_often": _LOOP}.get(seen.judged.verdict)
    return services(request).pages.page(request, "dead_letter.html", seen=seen, why_not=why_not)


async def change(request: Request) -> Response:
    """Show what it says, for operators, in fields that they may change."""
    user, identity = user_of(request), request.path_params["id"]
    if user is None or not user.is_operator:
        raise HTTPException(403, "What messages say is for operators alone. You are signed in as a viewer.")
    found = await services(request).database.read(show_dead_letter, identity)
    if found is None:
        raise HTTPException(404, "There is no such dead letter, or it is kept no longer.")
    letter, contents = found
    shown: dict[str, Any] = {
        "recipient": letter.recipient,
        "payload": _pretty(contents.payload),
        "problem": None,
        "reason": "",
    }
    return services(request).pages.page(request, "dead_letter_edit.html", letter=letter, **shown)


@action()
async def edit(request: Request, form: FormData) -> Response:
    """Enqueue it with another recipient or payload in its place; or show the fields again, and what is wrong."""
    identity: UUID = request.path_params["id"]
    given: dict[str, Any] = {
        "recipient": text(form, "recipient", longest=_LONGEST_RECIPIENT),
        "payload": text(form, "payload", longest=_LONGEST_PAYLOAD),
        "reason": text(form, "reason"),
    }
    try:
        done = await services(request).database.write(_edit, identity, given, services(request).config, actor(request))
    except (InvalidNotification, Rejected, ValueError, RecursionError) as error:
        return await _again(request, identity, given, _problem(error))
    if done.new_id is None:
        complain(request, f"It was left alone, {WHY_NOT[done.why_not or 'unknown']}.")
        return redirect(request, "dead_letters_one", id=identity)
    flash(request, f"Enqueued in its place, with another {' and another '.join(done.changed)}.")
    if done.is_expired:
        complain(request, f"{LATE[:1].upper()}{LATE[1:]}.")
    return redirect(request, "notification", id=done.new_id)


def _edit(conn: Any, id: UUID, given: dict[str, Any], config: Any, who: str) -> Edited:  # noqa: A002
    payload, reason = json.loads(given["payload"]), given["reason"] or None
    check = against_who_delivers_it(config)
    return put_in_place(conn, id, recipient=given["recipient"], payload=payload, check=check, actor=who, reason=reason)


def _problem(error: Exception) -> str:
    if isinstance(error, InvalidNotification):
        return f"{error.field}: {error.problem}" if "." in error.field else f"The {error.field} {error.problem}."
    if isinstance(error, Rejected):
        return f"Its template cannot say that: {error.detail}."
    if isinstance(error, json.JSONDecodeError):
        return f"The payload is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
    return "The payload is not JSON that can be read."


async def _again(request: Request, id: UUID, given: dict[str, Any], problem: str) -> Response:  # noqa: A002
    found = await services(request).database.read(read_dead_letters, [id])
    if not found:
        raise HTTPException(404)
    pages = services(request).pages
    return pages.page(request, "dead_letter_edit.html", letter=found[0][0], problem=problem, **given)


@action()
async def replay(request: Request, form: FormData) -> Response:
    """Put it back to be delivered."""
    identity: UUID = request.path_params["id"]
    again = {"max_replays": None} if text(form, "again") == "yes" else {}
    given: dict[str, Any] = {"actor": actor(request), "reason": text(form, "reason") or None} | again
    done = await services(request).database.write(put_back, [identity], **given)
    if not len(done):
        complain(request, f"It was left alone, {WHY_NOT[done.skipped[identity]]}.")
        return redirect(request, "dead_letters_one", id=identity)
    flash(request, "It was replayed, and is due now.")
    return redirect(request, "notification", id=done.anew.get(identity, identity))


@action()
async def discard(request: Request, form: FormData) -> Response:
    """Close it without replaying it."""
    identity, reason = request.path_params["id"], text(form, "reason")
    if not reason:
        complain(request, "Say why: the reason is kept with it.")
    else:
        done = await services(request).database.write(close, [identity], reason=reason, actor=actor(request))
        say = flash if len(done) else complain
        say(request, "It was discarded." if len(done) else f"Left alone, {WHY_NOT[done.skipped[identity]]}.")
    return redirect(request, "dead_letters_one", id=identity)


@action()
async def reopen(request: Request, form: FormData) -> Response:
    """Take back that it was discarded."""
    identity, reason = request.path_params["id"], text(form, "reason") or None
    done = await services(request).database.write(open_again, [identity], reason=reason, actor=actor(request))
    say = flash if done.ids else complain
    say(request, "It is open again." if done.ids else f"Left alone, {WHY_NOT[done.skipped[identity]]}.")
    return redirect(request, "dead_letters_one", id=identity)


def _pretty(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return payload


_ONE = "/dead-letters/letters/{id:uuid}"
ROUTES = [
    Route(_ONE, show, name="dead_letters_one", methods=["GET"]),
    Route(f"{_ONE}/edit", change, name="dead_letters_edit", methods=["GET"]),
    Route(f"{_ONE}/edit", edit, name="dead_letters_edited", methods=["POST"]),
    Route(f"{_ONE}/replay", replay, name="dead_letters_one_replay", methods=["POST"]),
    Route(f"{_ONE}/discard", discard, name="dead_letters_one_discard", methods=["POST"]),
    Route(f"{_ONE}/reopen", reopen, name="dead_letters_one_reopen", methods=["POST"]),
]
