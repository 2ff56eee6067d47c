"""One channel or provider: how it went in the last hours, and pausing or resuming it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.routing import Route

from outbox.errors import InvalidPause
from outbox.queue.audit import list_audit
from outbox.queue.pause import pause as pause_it
from outbox.queue.paused import SCOPES, check_name, list_heedless
from outbox.queue.resume import resume as resume_it
from outbox.queue.samples import samples
from outbox.telling.pauses import named, unheeded
from outbox.telling.words import age
from outbox.web.actions import action, text
from outbox.web.channels import LEVELS, look
from outbox.web.fields import end
from outbox.web.rendering import redirect
from outbox.web.services import services
from outbox.web.sessions import complain, flash
from outbox.web.users import actor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.config import Config
    from outbox.queue.audit import Entry
    from outbox.queue.samples import Sample
    from outbox.web.channels import Line

HOURS = 6
STEP = 300.0


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the page tells of a channel or a provider; `line` is None where nobody knows it now."""

    scope: str
    name: str
    line: Line | None
    history: Sequence[dict[str, Any]]
    done: Sequence[Entry]
    unheeded: str | None = None
    """That some workers heed no pause, while it is paused."""


def look_at(conn: Any, scope: str, name: str, config: Config) -> Seen:
    """Return how one of them stands, and how it went."""
    every = look(conn, config)
    lines = every.channels if scope == "channel" else every.providers
    line = next((each for each in lines if each.name == name), None)
    done = list_audit(conn, subject=f"{scope}:{name}", limit=10)
    heedless = list_heedless(conn, scope, name) if line is not None and line.pause is not None else []
    return Seen(scope, name, line, _history(conn, scope, name, line), done, unheeded(heedless))


def _history(conn: Any, scope: str, name: str, line: Line | None) -> list[dict[str, Any]]:
    channels = [name] if scope == "channel" else list(line.channels) if line is not None else []
    past = samples(
        conn, since=timedelta(hours=HOURS), step=STEP, by_provider=scope == "provider", channels=channels or None
    )
    steps: dict[float, dict[str, Any]] = {}
    for each in past:
        if scope == "channel" or each.provider == name:
            _add(steps.setdefault(each.at.timestamp(), {"sent": 0.0, "failed": 0.0, "due": None}), each)
    return [{"at": at, **values} for at, values in sorted(steps.items())]


def _add(step: dict[str, Any], sample: Sample) -> None:
    step["sent"] = round(step["sent"] + sample.sent / STEP * 60, 2)
    step["failed"] = round(step["failed"] + sample.failed / STEP * 60, 2)
    if sample.due is not None:
        step["due"] = sample.due


def _target(request: Request) -> tuple[str, str]:
    scope, name = request.path_params["scope"], request.path_params["name"]
    try:
        check_name(scope, name)
    except InvalidPause:
        raise HTTPException(404, f"There can be no {scope} of that name." if scope in SCOPES else "") from None
    return scope, name


async def show(request: Request) -> Response:
    """Show it."""
    scope, name = _target(request)
    seen = await services(request).database.read(look_at, scope, name, services(request).config)
    if seen.line is None and not seen.done and not seen.history:
        raise HTTPException(404, f"No live worker and no configuration here knows a {scope} {name}.")
    return services(request).pages.page(request, "steering.html", seen=seen, levels=LEVELS, hours=HOURS)


@action()
async def pause(request: Request, form: FormData) -> Response:
    """Pause it, or change the terms of its pause."""
    scope, name = _target(request)
    given: dict[str, Any] = {"actor": actor(request), "until": end(form), "reason": text(form, "reason") or None}
    try:
        done = await services(request).database.write(pause_it, scope=scope, name=name, **given)
    except InvalidPause as error:
        complain(request, f"It was not paused: {error.problem}.")
    else:
        how_long = "until somebody resumes it" if done.pause.left is None else f"for {age(round(done.pause.left))}"
        flash(request, f"{_begin(named(done.pause))} is paused {how_long}. What is in workers' hands is finished.")
    return redirect(request, "channels_one", scope=scope, name=name)


@action()
async def resume(request: Request, form: FormData) -> Response:
    """End its pause."""
    scope, name = _target(request)
    given: dict[str, Any] = {"actor": actor(request), "reason": text(form, "reason") or None}
    ended = await services(request).database.write(resume_it, scope=scope, name=name, **given)
    if ended is None:
        complain(request, "It was not paused. Nothing was changed.")
    else:
        flash(request, f"{_begin(named(ended))} is resumed: it was paused for {age(ended.since)}, by {ended.by}.")
    return redirect(request, "channels_one", scope=scope, name=name)


def _begin(words: str) -> str:
    return words[:1].upper() + words[1:] if words.startswith("the ") else words


_ONE = "/channels/{scope}/{name:path}"
ROUTES = [
    Route(_ONE, show, name="channels_one", methods=["GET"]),
    Route(f"{_ONE}/pause", pause, name="channels_pause", methods=["POST"]),
    Route(f"{_ONE}/resume", resume, name="channels_resume", methods=["POST"]),
]
