"""lifeline: a thread with a connection of its own, which no blocked event loop can stop.

It renews the leases of what is in hand, says that the worker is alive and what it knows, and hears the wake-ups.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.database import KEEPALIVE, describe, pauses
from outbox.events import ChoreFailed, DatabaseBack, DatabaseLost, LeaseLost, ListenUnheard, LoopBlocked, LoopStuck
from outbox.queue.renew import renew
from outbox.queue.unheard import unheard
from outbox.routine_events import Heartbeat, LeasesRenewed, ListenHeard
from outbox.silence import limited
from outbox.worker.telling import Telling

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from outbox.events import Event, Listener
    from outbox.worker.leases import Leases
    from outbox.worker.reporting import Reporting
    from outbox.worker.wakeup import Wakeup

_LONGEST_HEARTBEAT = 15.0
_SELF_TEST = 1.0
_SHORTEST_LIMIT = 1.0
_LONGEST_LIMIT = 4.0
_LAST_WORDS = 5.0  # seconds for saying why a process ends
_GONE = "gone "  # as outbox.supersede() and end_needless() say it
_BLOCKED = 1.0  # seconds between asking the event loop for something and its doing so


def every(lease: float) -> float:
    """Return the seconds between two heartbeats of a worker whose leases are so many seconds long."""
    return min(lease / 3, _LONGEST_HEARTBEAT)


class Lifeline:
    """Runs from `start` to `stop`. Events and wake-ups are handed to the event loop that started it."""

    def __init__(
        self,
        *,
        url: str,
        worker: int,
        leases: Leases,
        wakeups: Mapping[str, Wakeup],
        reporting: Reporting,
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
        longest_attempt: float,
        hints: Mapping[str, Callable[[], None]] | None = None,
        providers: Sequence[str] = (),
    ) -> None:
        """`longest_attempt` is how many seconds any delivery may take: a loop that stands still for longer is stuck.

        `hints` are called when their word is heard, which is no channel's name, and whenever it may have been missed.
        `reporting` is what the worker knows of itself, which goes out with the heartbeats.
        """
        self._url = url
        self._worker = worker
        self._leases = leases
        self._wakeups = wakeups
        self._loop = loop
        self._listener = listener
        self._longest_attempt = longest_attempt
        self._telling = Telling(reporting, worker, list(wakeups), providers)
        self._hints = {channel: wakeup.hint for channel, wakeup in wakeups.items()} | dict(hints or {})
        self._stopping = threading.Event()
        self._asked_at: float | None = None  # the loop, whether it is alive; None once it has answered
        self._stood = self._looked_at = 0.0  # for how long it has not, and when that was last looked at
        self._thread = threading.Thread(target=self._run, name="outbox lifeline", daemon=True)
        self._every = every(leases.seconds)
        self._limit = self._patience = min(max(self._every, _SHORTEST_LIMIT), _LONGEST_LIMIT)

    def start(self) -> None:
        """Begin."""
        self._woken, self._waker = socket.socketpair()
        self._thread.start()

    def stop(self) -> None:
        """End, at once unless the database hangs. Stopping twice does no harm."""
        self._stopping.set()
        self._waker.close()
        self._thread.join(timeout=2)
        self._woken.close()

    def _run(self) -> None:
        lost_at: float | None = None
        next_pause = pauses()
        while not self._stopping.is_set():
            try:
                with self._connect("lifeline") as conn:
                    if lost_at is not None:
                        self._tell(DatabaseBack("lifeline", time.monotonic() - lost_at))
                    lost_at, next_pause = None, pauses()
                    self._keep(conn)
                    self._live(conn)
                    self._say(conn, self._telling.sample)
            except Exception as error:  # noqa: BLE001 - whatever it is, leases lapse if this thread ends
                lost_at = lost_at or time.monotonic()
                pause = next(next_pause)
                self._tell(DatabaseLost("lifeline", describe(error), pause))
                self._set_hearing(able=False)
                self._stopping.wait(pause)

    def _connect(self, purpose: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=max(int(self._limit), 2),
            application_name=f"outbox {purpose}",
            **KEEPALIVE,
        )

    def _hear(self, conn: psycopg.Connection[Any]) -> bool:
        """LISTEN, and prove by a round trip that it works: a pooler may accept LISTEN and deliver nothing.

        Another connection notifies, and this one sends nothing meanwhile. Through a pooler, both may come to the same
        server; a statement of ours would then be answered with the notification, this once. Returns False if there was
        no other connection to be had (the server may be full), and nothing is known yet.
        """
        with limited(conn, self._limit):
            conn.execute("LISTEN outbox")
        token = f"worker {self._worker} hears"
        try:
            with self._connect("self-test") as other, limited(other, self._limit):
                other.execute("SELECT pg_notify('outbox', %s)", [token])
        except psycopg.OperationalError:
            return False
        heard = self._hears(conn, token)
        if not heard:
            with limited(conn, self._limit):
                conn.execute("UNLISTEN outbox")  # as a rule on the same server, which somebody else uses next
            self._tell(ListenUnheard())
        conn.add_notify_handler(lambda notice: self._call(self._hint, notice.payload))
        self._set_hearing(able=heard)
        if heard:
            self._tell(ListenHeard())
        return True

    def _hears(self, conn: psycopg.Connection[Any], token: str) -> bool:
        """Tell whether the token comes. What comes beside it is heeded: it may be about what was taken back."""
        heard, ends = False, time.monotonic() + min(_SELF_TEST, self._every)
        while not heard and (left := ends - time.monotonic()) > 0:
            for notice in conn.notifies(timeout=left, stop_after=1):  # all that came with it, too
                if notice.payload == token:
                    heard = True
                else:
                    self._call(self._hint, notice.payload)
        return heard

    def _live(self, conn: psycopg.Connection[Any]) -> None:
        due = time.monotonic() + self._every
        known = self._hear(conn)
        while not self._stopping.is_set():
            self._listen(conn, max(min(due, self._telling.due) - time.monotonic(), 0.0))
            if time.monotonic() >= due:
                due = time.monotonic() + self._every
                self._keep(conn)
                known = known or self._hear(conn)
            if time.monotonic() >= self._telling.due and not self._stopping.is_set():
                self._say(conn, self._telling.look)

    def _keep(self, conn: psycopg.Connection[Any]) -> None:
        """Renew the leases, then say that we are alive; ask the event loop whether it is, too."""
        self._ask_the_loop()
        try:
            self._renew(conn)
        except (psycopg.ProgrammingError, psycopg.DataError) as error:
            self._tell(ChoreFailed("heartbeat", describe(error)))
        self._say(conn, self._telling.heartbeat)
        self._tell(Heartbeat())

    def _say(self, conn: psycopg.Connection[Any], what: Callable[[psycopg.Connection[Any]], None]) -> None:
        try:
            with limited(conn, self._limit):
                what(conn)
        except (psycopg.ProgrammingError, psycopg.DataError) as error:
            self._tell(ChoreFailed("heartbeat", describe(error)))

    def _listen(self, conn: psycopg.Connection[Any], timeout: float) -> None:
        """Pass on what is heard within `timeout` seconds; return early when the worker stops.

        On the socket itself, since psycopg's own wait cannot be ended from another thread.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(conn.fileno(), selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            selector.select(timeout)
        conn.pgconn.consume_input()
        while (notice := conn.pgconn.notifies()) is not None:
            self._call(self._hint, notice.extra.decode())

    def _renew(self, conn: psycopg.Connection[Any]) -> None:
        held = self._leases.tokens()
        self._extend(conn, held)
        self._extend(conn, self._unheard(conn, held))

    def _unheard(self, conn: psycopg.Connection[Any], held: Mapping[UUID, int]) -> dict[UUID, int]:
        """Return what is ours beside `held`: a claim that was sent off brought it, and a blocked loop has not heard."""
        found: dict[UUID, int] = {}
        for asked in self._leases.unanswered(self._every / 2):
            with limited(conn, self._limit):
                found |= unheard(conn, channel=asked.channel, levels=asked.levels, worker=self._worker)
        return {identity: claim for identity, claim in found.items() if identity not in held}

    def _extend(self, conn: psycopg.Connection[Any], held: Mapping[UUID, int]) -> None:
        if held:
            asked_at = time.monotonic()
            with limited(conn, self._patience):
                # One that is cut off may only be slow, and holds in the database all the same; the next has longer.
                self._patience = min(2 * self._patience, self._leases.seconds * 2 / 3)
                renewed, gone = renew(conn, held=held, lease=self._leases.seconds, worker=self._worker)
            self._patience = self._limit
            self._tell(LeasesRenewed(len(renewed)))
            # Straight from this thread: a send that waits for the lease must not wait for a blocked loop.
            self._leases.renewed({identity: held[identity] for identity in renewed}, asked_at)
            if gone:
                self._call(self._lose, {identity: held[identity] for identity in gone})

    def _lose(self, held: Mapping[UUID, int]) -> None:
        count = self._leases.expire(held)
        if count:
            self._listener(LeaseLost(count))

    def _ask_the_loop(self) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at, self._stood = now, 0.0
            self._call(self._answer, now)
        else:
            # While the whole machine slept, or the process was frozen, this thread stood still as well.
            self._stood += min(now - self._looked_at, 2 * self._every)
            if self._stood > self._longest_attempt:
                self._give_up(self._stood)
        self._looked_at = now

    def _give_up(self, seconds: float) -> None:
        """End the process: its leases, which this thread renews, would keep from others what it never delivers.

        Once they lapse, others send it, and after `max_lost` workers it is a dead letter.
        """
        last = threading.Timer(_LAST_WORDS, os._exit, [1])  # the loop may hold the lock of the log, or its pipe be full
        last.daemon = True
        last.start()
        with contextlib.suppress(Exception):  # nothing may keep it from ending
            self._listener(LoopStuck(seconds))
            faulthandler.dump_traceback()
        os._exit(1)

    def _answer(self, asked_at: float) -> None:
        self._asked_at = None
        seconds = time.monotonic() - asked_at
        if seconds > _BLOCKED:
            self._listener(LoopBlocked(seconds))

    def _hint(self, word: str) -> None:
        """Heed what was heard: that there is something new, or that a notification was taken back."""
        hint = self._hints.get(word)
        if hint is not None:
            hint()
        elif word.startswith(_GONE):
            self._leases.revoke(word.removeprefix(_GONE))

    def _set_hearing(self, *, able: bool) -> None:
        self._telling.listening = able
        for wakeup in self._wakeups.values():
            wakeup.can_hear = able
        for word in self._hints:
            self._call(self._hint, word)

    def _tell(self, event: Event) -> None:
        self._call(self._listener, event)

    def _call(self, function: Any, argument: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            # The loop has ended, and with it whoever would have listened.
            self._stopping.set()
