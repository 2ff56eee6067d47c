"""The application of the scenarios: takes orders at a steady rate, each with its notification in one transaction."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import psycopg

import outbox
from tests.chaos.ledger import BUSINESS_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.ledger import Ledger

_RECONNECT = 0.05
_PAYLOAD = {"subject": "Your order", "text": "Thank you for your order. It is on its way. " * 4}


class Application:
    """Use it as a context manager, in which it enqueues from threads of its own; `finish` ends it earlier.

    `rate` is notifications a second, of all `clients` together, in transactions of `batch`; `channels` maps each to its
    share; `rolled_back` is the share of transactions that are taken back. It ends after `total`, if given. While the
    database is away it waits, and what was due meanwhile is not made up for. A commit that broke off is left as it is:
    nobody knows about it, and the ledger says so.
    """

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        *,
        rate: float,
        seed: int,
        channels: Mapping[str, float],
        clients: int = 3,
        batch: int = 5,
        rolled_back: float = 0.0,
        total: int | None = None,
    ) -> None:
        self._url = url
        self._ledger = ledger
        self._pause = clients * batch / rate
        self._seed = seed
        self._channels = list(channels)
        self._shares = list(channels.values())
        self._clients = clients
        self._batch = batch
        self._rolled_back = rolled_back
        self._total = total
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[Future[None]] = []
        self.enqueued = 0
        """Notifications whose commit was acknowledged."""
        self.last_at = 0.0
        """The `time.monotonic()` of the last such commit."""

    def __enter__(self) -> Self:
        with psycopg.connect(self._url) as conn:
            conn.execute(BUSINESS_TABLE)
        self._began = time.monotonic()
        pool = ThreadPoolExecutor(self._clients, "application")
        self._threads = [pool.submit(self._run, random.Random(f"{self._seed}:{n}")) for n in range(self._clients)]
        pool.shutdown(wait=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def __str__(self) -> str:
        seconds = max(self.last_at - self._began, 1e-3)
        return f"{self.enqueued:,} orders, {self.enqueued / seconds:,.0f} a second"

    def finish(self) -> None:
        """Stop, and raise what a thread died of, if one did."""
        self._stopping.set()
        self.wait()

    def wait(self) -> None:
        """Wait until `total` are enqueued."""
        for thread in self._threads:
            thread.result()

    def _run(self, chance: random.Random) -> None:
        while not self._done():
            try:
                with psycopg.connect(self._url, connect_timeout=5) as conn:
                    self._take_orders(conn, chance)
            except psycopg.OperationalError:
                self._stopping.wait(_RECONNECT)

    def _done(self) -> bool:
        return self._stopping.is_set() or (self._total is not None and self.enqueued >= self._total)

    def _take_orders(self, conn: psycopg.Connection[Any], chance: random.Random) -> None:
        due = time.monotonic() + chance.random() * self._pause  # not all clients at once
        while not self._done():
            if (pause := due - time.monotonic()) > 0:
                self._stopping.wait(pause)
            self._take(conn, chance)
            due += self._pause

    def _take(self, conn: psycopg.Connection[Any], chance: random.Random) -> None:
        labels = [f"order-{chance.getrandbits(64):016x}" for _ in range(self._batch)]
        self._ledger.attempt(labels)
        # One transaction for a few orders keeps this thread cheap: it shares two cores with all that it tests.
        conn.execute("INSERT INTO public.orders SELECT unnest(%s::text[])", [labels])
        outbox.enqueue_many(conn, [self._draft(label, chance) for label in labels])
        if chance.random() < self._rolled_back:
            conn.rollback()
            self._ledger.roll_back(labels)
            return
        conn.commit()
        self._ledger.acknowledge(labels)
        with self._lock:
            self.enqueued += len(labels)
            self.last_at = time.monotonic()

    def _draft(self, label: str, chance: random.Random) -> dict[str, Any]:
        (channel,) = chance.choices(self._channels, self._shares)
        recipient = f"{label}@example.org"
        return {"channel": channel, "recipient": recipient, "group_key": label, "payload": _PAYLOAD}
