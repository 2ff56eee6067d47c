"""Pauses and resumes what was chosen, as the commands do: audited, by whoever is at the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.queue.pause import pause
from outbox.queue.resume import resume
from outbox.telling.pauses import named
from outbox.terminal.actor import whoami
from outbox.terminal.session import writing
from outbox.terminal.top.ink import ago

if TYPE_CHECKING:
    from outbox.terminal.top.screen.dialogs import Terms


def pause_now(url: str, scope: str, name: str, terms: Terms) -> str:
    """Pause it, and return what was done.

    Raises:
        psycopg.Error, OutboxError: the database is away or refuses, or the terms will not do.
    """
    with writing(url) as conn:
        done = pause(conn, scope=scope, name=name, actor=whoami(), until=terms.until, reason=terms.reason)
    how_long = "until somebody resumes it" if done.pause.left is None else f"for {ago(round(done.pause.left))}"
    return f"{named(done.pause)} is paused {how_long}; workers heed it within about a second"


def resume_now(url: str, scope: str, name: str, terms: Terms) -> str:
    """Resume it, and return what was done; raises as `pause_now`."""
    with writing(url) as conn:
        ended = resume(conn, scope=scope, name=name, actor=whoami(), reason=terms.reason)
    return f"{name} was not paused" if ended is None else f"{named(ended)} is resumed, after {ago(ended.since)}"
