"""A session that listens, in the moment in which PostgreSQL hands it what it has heard."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_MUCH = "SELECT count(pg_notify('deaf', n || repeat('x', 7900))) FROM generate_series(1, 2000) n"
_HANDED = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE pid = %s AND state = 'idle' AND wait_event = 'ClientWrite' AND xact_start IS NOT NULL"
)


@contextmanager
def handed_notifications(url: str, *, application_name: str) -> Iterator[int]:
    """Hold a session in that moment; gives its process id.

    It is a transaction that says to have begun with the session's last statement, however long ago that was. To make it
    last, the client does not read.
    """
    with psycopg.connect(url, autocommit=True, application_name=application_name) as listener:
        listener.execute("LISTEN deaf")
        rows(url, _MUCH)
        pid = listener.info.backend_pid
        wait_until(lambda: rows(url, _HANDED, pid) == [(1,)])
        yield pid
