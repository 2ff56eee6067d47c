"""Pauses in words, and as JSON: who paused what, why, until when, and what to type to resume it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from outbox.errors import clean
from outbox.telling.words import age

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.paused import Heedless, Pause

_QUOTED = 200
_NAMED = 5
_WAITING = {"due", "deferred", "scheduled", "retrying"}


def sentence(pause: Pause) -> str:
    """Return `email is paused by ada@desk since 5m ago, …`, to its remedy."""
    return f"{named(pause)} is paused {terms(pause)}; to resume it: {remedy(pause)}"


def named(pause: Pause) -> str:
    """Return `email`, or `the provider ses`."""
    return pause.name if pause.scope == "channel" else f"the provider {pause.name}"


def remedy(pause: Pause) -> str:
    """Return what to type."""
    return f"outbox resume {shlex.quote(pause.target)}"


def terms(pause: Pause) -> str:
    """Return `by ada@desk since 5m ago, until somebody resumes it (why)`."""
    end = "until somebody resumes it" if pause.left is None else f"for {age(pause.left)} more"
    why = f" ({clean(pause.reason, _QUOTED)})" if pause.reason else ""
    return f"by {clean(pause.by)} since {age(pause.since)} ago, {end}{why}"


def concerned(pauses: Sequence[Pause], channel: str, providers: Sequence[str] | None) -> list[Pause]:
    """Return the pauses that may keep anything of a channel back: where its providers are not known, any provider's."""
    known = ("channel", channel)
    return [
        pause
        for pause in pauses
        if (pause.scope, pause.name) == known
        or (pause.scope == "provider" and (providers is None or pause.name in providers))
    ]


def in_the_way(pauses: Sequence[Pause], channel: str, providers: Sequence[str] | None) -> list[Pause]:
    """Return the pauses because of which nothing of a channel is sent, if its providers are these (None: unknown)."""
    whole = [pause for pause in pauses if (pause.scope, pause.name) == ("channel", channel)]
    each = [pause for pause in pauses if pause.scope == "provider" and pause.name in (providers or ())]
    return whole or (each if providers and len(each) == len(set(providers)) else [])


def why_waiting(why: str, state: str, blocking: Sequence[Pause]) -> str:
    """Return why a notification is where it is, and that it would wait there in any case."""
    if state not in _WAITING or not blocking:
        return why
    return f"{why} Meanwhile {'; '.join(f'{named(pause)} is paused {terms(pause)}' for pause in blocking)}."


def next_when_resumed(following: str, state: str, blocking: Sequence[Pause]) -> str:
    """Return what happens to a notification next, after what holds it up."""
    if state not in _WAITING or not blocking:
        return following
    ends = [pause.left for pause in blocking]
    end = min((left for left in ends if left is not None), default=None)
    by_itself = "" if end is None else f", or in {age(end)} by itself"
    either = " or ".join(remedy(pause) for pause in blocking)
    return f"nothing before somebody resumes it{by_itself}: {either}. Then: {following}"


def unheeded(workers: Sequence[Heedless]) -> str | None:
    """Return that some workers heed no pause, and which; None where there is none."""
    if not workers:
        return None
    each = [f"worker {it.id} ({clean(it.host)}, pid {it.pid}, version {clean(it.version)})" for it in workers]
    others = f" and {len(each) - _NAMED:,} others" if len(each) > _NAMED else ""
    named = ", ".join(each[:_NAMED]) + others
    return f"what is of a version from before there were pauses goes on sending; stop it, or upgrade it: {named}"


def pause_document(pause: Pause) -> dict[str, Any]:
    """Return a pause as it stands in JSON."""
    return {
        "target": pause.target,
        "scope": pause.scope,
        "name": pause.name,
        "paused_at": pause.paused_at,
        "until": pause.until,
        "by": pause.by,
        "reason": pause.reason,
        "since_seconds": pause.since,
        "left_seconds": pause.left,
    }
