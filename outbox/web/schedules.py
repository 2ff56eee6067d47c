"""Schedules: when each runs next, what became of its last runs; pausing, resuming and running them now."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from starlette.routing import Route

from outbox import schedules
from outbox.database import describe
from outbox.occurrences import Occurrences
from outbox.queue.audit import list_audit, record
from outbox.telling.words import counted
from outbox.web.actions import action, text
from outbox.web.rendering import redirect
from outbox.web.services import services
from outbox.web.sessions import complain, flash
from outbox.web.users import actor
from outbox.zones import zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from starlette.datastructures import FormData
    from starlette.requests import Request
    from starlette.responses import Response

    from outbox.queue.audit import Entry
    from outbox.schedules import Contents, Run, Schedule

_RUNS = 20
_NEXT = 5
_OVERDUE = 60.0  # seconds
_TOO_LONG = "Its query took more than 5 s, and nothing was enqueued. From a terminal it may take its time: {}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A schedule with what it enqueues, its last runs and its next occurrences."""

    schedule: Schedule
    words: str
    contents: Contents | None
    """None where the database's login may not read it."""
    runs: Sequence[Run]
    next: Sequence[datetime]
    done: Sequence[Entry]


def look(conn: Any) -> tuple[list[Schedule], Mapping[str, Run]]:
    """Return all schedules, and the last run of each."""
    return schedules.list_all(conn), {run.schedule: run for run in schedules.runs(conn, limit=1)}


def look_at(conn: Any, name: str) -> Seen:
    """Return one. Raises UnknownSchedule."""
    found = schedules.find(conn, name)
    words = Occurrences(found.cron, found.time_zone).words
    return Seen(
        found,
        words,
        _contents(conn, name),
        schedules.runs(conn, name, limit=_RUNS),
        schedules.occurrences(found, _NEXT),
        list_audit(conn, subject=_subject(name), limit=10),
    )


def _contents(conn: Any, name: str) -> Contents | None:
    try:
        with conn.transaction():
            return schedules.contents(conn, name)
    except psycopg.errors.InsufficientPrivilege:
        return None


def state_of(schedule: Schedule) -> str:
    """Return how a schedule is, in a word."""
    if schedule.paused_at is not None:
        return "paused"
    if schedule.failures:
        return "failing"
    return "overdue" if (schedule.now - schedule.next_at).total_seconds() > _OVERDUE else "ready"


def local(at: datetime, schedule: Schedule) -> str:
    """Return a moment by the schedule's clocks."""
    return f"{at.astimezone(zone(schedule.time_zone)):%a %Y-%m-%d %H:%M %Z}"


async def show(request: Request) -> Response:
    """Show all of them."""
    every, last = await services(request).database.read(look)
    return services(request).pages.page(
        request, "schedules.html", every=every, last=last, state_of=state_of, local=local
    )


async def one(request: Request) -> Response:
    """Show one."""
    seen = await services(request).database.read(look_at, request.path_params["name"])
    same = seen.contents.defaults if seen.contents is not None else {}
    defaults = json.dumps(same, ensure_ascii=False, indent=2) if same else None
    shown: dict[str, Any] = {"state": state_of(seen.schedule), "local": local, "defaults": defaults}
    return services(request).pages.page(request, "schedule.html", seen=seen, **shown)


@action()
async def pause(request: Request, form: FormData) -> Response:
    """Pause it."""
    name = request.path_params["name"]
    changed = await services(request).database.write(_pause, name, actor(request), text(form, "reason"))
    if changed:
        flash(request, "It is paused. Occurrences that come meanwhile are not run.")
    else:
        complain(request, "It was paused already.")
    return redirect(request, "schedules_one", name=name)


def _pause(conn: Any, name: str, who: str, reason: str) -> bool:
    changed = schedules.pause(conn, name)
    if changed:
        record(conn, actor=who, action="pause", subject=_subject(name), reason=reason or None)
    return changed


@action()
async def resume(request: Request, form: FormData) -> Response:
    """Resume it, from its next occurrence on."""
    name = request.path_params["name"]
    found = await services(request).database.write(_resume, name, actor(request), text(form, "reason"))
    flash(request, f"It runs again, next at {local(found.next_at, found)}.")
    return redirect(request, "schedules_one", name=name)


def _resume(conn: Any, name: str, who: str, reason: str) -> Schedule:
    was_paused = schedules.find(conn, name).paused_at is not None
    found = schedules.resume(conn, name)
    if was_paused:
        record(conn, actor=who, action="resume", subject=_subject(name), reason=reason or None)
    return found


@action()
async def run(request: Request, form: FormData) -> Response:
    """Enqueue what its query returns now."""
    name = request.path_params["name"]
    if text(form, "sure") != "yes":
        complain(request, "Say that you are sure: everybody whom the query returns gets it now, once more.")
        return redirect(request, "schedules_one", name=name)
    try:
        enqueued = await services(request).database.write(_run, name, actor(request), text(form, "reason"))
    except psycopg.errors.QueryCanceled:
        complain(request, _TOO_LONG.format(f"outbox schedule run-now {name}"))
    except psycopg.Error as error:
        complain(request, f"Its query failed, and nothing was enqueued: {describe(error)}.")
    else:
        flash(request, f"{counted(enqueued, 'notification')} enqueued.")
    return redirect(request, "schedules_one", name=name)


def _run(conn: Any, name: str, who: str, reason: str) -> int:
    enqueued = schedules.run_now(conn, name)
    details = {"enqueued": enqueued}
    record(conn, actor=who, action="run_now", subject=_subject(name), reason=reason or None, details=details)
    return enqueued


def _subject(name: str) -> str:
    return f"schedule:{name}"[:200]


_ONE = "/schedules/{name}"
ROUTES = [
    Route("/schedules", show, name="schedules", methods=["GET"]),
    Route(_ONE, one, name="schedules_one", methods=["GET"]),
    Route(f"{_ONE}/pause", pause, name="schedules_pause", methods=["POST"]),
    Route(f"{_ONE}/resume", resume, name="schedules_resume", methods=["POST"]),
    Route(f"{_ONE}/run", run, name="schedules_run", methods=["POST"]),
]
