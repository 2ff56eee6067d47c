"""The clients of the sample application: several at once, at an even pace, some of them unlucky."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Self

import psycopg

from outbox.demo.application import Ending, people, sign_up
from outbox.demo.evidence import Application
from outbox.demo.trouble import DemoError

if TYPE_CHECKING:
    from outbox.demo.application import Person

_CLIENTS = 8
_PER_SECOND = 350.0  # for a load that two small workers can follow, so that the latency is not that of a backlog
_SHORTEST, _LONGEST = 4.0, 15.0  # seconds that the signups are spread over
_CONNECT_TIMEOUT = 10
_OPTIONS = "-c statement_timeout=30s"


class Clients:
    """Signs people up in threads, from `with` on; `application` is what they know about it."""

    def __init__(self, url: str, signups: int, seed: int) -> None:
        self._url = url
        self._people = enumerate(people(signups, seed))
        self._pause = min(max(signups / _PER_SECOND, _SHORTEST), _LONGEST) / signups
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, name=f"client {n}", daemon=True) for n in range(_CLIENTS)]
        self._problem: Exception | None = None
        self.application = Application()

    def __enter__(self) -> Self:
        """Begin."""
        self._began_at = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, after the transactions that are under way."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise `DemoError` if one of the clients failed."""
        if self._problem is not None:
            raise DemoError(f"a signup failed: {self._problem}") from self._problem

    def _run(self) -> None:
        try:
            while self._serve_over_one_connection():
                pass
        except Exception as error:  # noqa: BLE001 - whatever it is, `check` raises it where it is seen
            self._problem = error
            self._stopping.set()

    def _serve_over_one_connection(self) -> bool:
        """Return True when the connection was cut, and False when nobody is left."""
        with self._connect() as conn:
            while not conn.closed:
                person = self._next()
                if person is None:
                    return False
                self._serve(conn, person)
        return True

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._url, connect_timeout=_CONNECT_TIMEOUT, options=_OPTIONS, application_name="outbox demo client"
        )

    def _next(self) -> Person | None:
        """Return the next person when it is their turn; None when there is nobody left."""
        with self._turn:
            number, person = next(self._people, (0, None))
        due = self._began_at + number * self._pause
        return None if self._stopping.wait(max(due - time.monotonic(), 0)) else person

    def _serve(self, conn: psycopg.Connection[Any], person: Person) -> None:
        known = self.application
        sign_up(conn, person)
        asked_at = time.time()
        match person.ending:
            case Ending.COMMITTED:
                conn.commit()
                known.committed[person.email] = asked_at
            case Ending.ROLLED_BACK:
                conn.rollback()
                known.rolled_back.add(person.email)
            case Ending.CUT:
                _commit_without_an_answer(conn)
                self._serve_again(person, asked_at)

    def _serve_again(self, person: Person, first_asked_at: float) -> None:
        """Repeat the signup as after an ambiguous commit: the key tells whether the first one counted."""
        with self._connect() as conn:
            enqueued = sign_up(conn, person)
            asked_at = time.time()
        self.application.committed[person.email] = asked_at if enqueued.created else first_asked_at
        (self.application.repeated_anew if enqueued.created else self.application.repeated_in_vain).add(person.email)


def _commit_without_an_answer(conn: psycopg.Connection[Any]) -> None:
    conn.pgconn.send_query(b"COMMIT")
    conn.pgconn.flush()
    conn.close()
