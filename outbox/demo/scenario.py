"""The demo from its beginning to its end. Read this first."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import psycopg

from outbox.demo.application import USERS
from outbox.demo.clients import Clients
from outbox.demo.evidence import collect
from outbox.demo.site import write_site
from outbox.demo.stage import Stage
from outbox.migrate import upgrade

if TYPE_CHECKING:
    from outbox.children import Children
    from outbox.demo.display import Display
    from outbox.demo.evidence import Evidence
    from outbox.demo.progress import Progress

_WORKERS = 2
_KILL_AFTER = 0.4  # of the signups
_START_LIMIT = 30.0  # seconds


def play(url: str, signups: int, seed: int, display: Display, children: Children) -> Evidence:
    """Run the whole demo in an empty database, and return what the witnesses have to say.

    Raises:
        DemoError: something took too long, or ended before its time.
    """
    upgrade(url)
    limit = 60 + signups / 20
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
        conn.execute(USERS)
        version = ".".join(map(str, divmod(conn.info.server_version, 10_000)))
        display.tell(f"PostgreSQL {version} is up, and has the schema outbox beside the application's own table users")
        clients = Clients(url, signups, seed)
        stage = Stage(conn, clients, children, display)
        configuration = write_site(children.folder, url, stage.open_mail_server(seed))
        for number in range(1, _WORKERS + 1):  # one after the other, so that the database numbers them as we do
            stage.start_worker(configuration)
            stage.wait("a worker to start", partial(_has_workers, number), _START_LIMIT)
        with clients:
            display.tell(f"{signups:,} people sign up, each with a welcome mail in the same transaction")
            stage.wait("the signups to get going", lambda now: now.tried >= _KILL_AFTER * signups, limit)
            stage.wait("a worker to have mail in flight", stage.kill_one, limit)
            stage.start_worker(configuration)
            stage.wait("the signups to end", lambda now: now.tried == signups, limit)
        display.tell("all signups are over; what waits for a retry, or for the killed worker's leases to end, comes in")
        stage.wait("the queue to drain", lambda now: now.waiting == 0, limit)
        stage.close()
        return collect(conn, clients.application, stage.ledger.catch_up())


def _has_workers(count: int, now: Progress) -> bool:
    return len(now.workers) == count
