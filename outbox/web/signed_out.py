"""Sessions that were signed out of: a copy of their cookie is worth nothing any more, in any process.

That somebody signed out is written down in the audit, and looked up there, by a digest of the session.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.database import describe
from outbox.errors import OutboxError
from outbox.queue.audit import list_audit, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.web.database import Database
    from outbox.web.sessions import Session

ACTION = "sign_out"
_EVERY = 5.0  # seconds for which a session is not looked up again
_REMEMBERED = 10_000
_log = logging.getLogger("outbox.web")


class SignedOut:
    """Knows which sessions are over, within five seconds; while the database is away, what it knew before."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        """Of a session, until when that is known, and whether it is over."""

    async def has(self, session: Session) -> bool:
        """Tell whether somebody signed out of it."""
        subject = _subject(session)
        until, over = self._known.get(subject, (0.0, False))
        if not over and self._clock() >= until:
            try:
                over = await self._database.read(_is_over, subject)
            except (psycopg.Error, OutboxError) as error:
                _log.debug("nobody can say who signed out: %s", describe(error))
            self._remember(subject, over=over)
        return over

    async def add(self, session: Session, actor: str) -> None:
        """End it: here at once, and for the others by writing it down, where the login may do that."""
        subject = _subject(session)
        self._remember(subject, over=True)
        try:
            await self._database.write(record, actor=actor, action=ACTION, subject=subject)
        except (psycopg.Error, OutboxError) as error:
            _log.warning("a sign-out holds in this process alone: %s", describe(error))

    def _remember(self, subject: str, *, over: bool) -> None:
        self._known[subject] = self._clock() + _EVERY, over
        self._known.move_to_end(subject)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _is_over(conn: Any, subject: str) -> bool:
    return bool(list_audit(conn, subject=subject, actions=[ACTION], limit=1))


def _subject(session: Session) -> str:
    return f"session:{sha256(session.id.encode()).hexdigest()[:32]}"
