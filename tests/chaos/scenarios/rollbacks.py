"""Business transactions that are taken back, in every way there is."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from outbox.errors import NotInTransaction
from tests.chaos.ledger import BUSINESS_TABLE
from tests.chaos.scenario import scenario
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.ledger import Ledger
    from tests.chaos.stage import Stage

    Conn = psycopg.Connection[Any]

_SESSIONS = 4


class Customer:
    """One session of the application, and how each of its transactions ends."""

    def __init__(self, url: str, ledger: Ledger, seed: int) -> None:
        self._url = url
        self._ledger = ledger
        self._random = Random(seed)
        self.ways: Counter[str] = Counter()
        self.refused = 0

    def run(self, transactions: int) -> None:
        """Make so many transactions."""
        ways, shares = [way for way, _ in _WAYS], [share for _, share in _WAYS]
        conn = psycopg.connect(self._url)
        for way in self._random.choices(ways, shares, k=transactions):
            if conn.closed:
                conn = psycopg.connect(self._url)
            self.ways[way.__name__.strip("_").replace("_", " ")] += 1
            way(self, conn)
        conn.close()

    def commits(self, conn: Conn) -> None:
        labels = self._order(conn, self._random.randint(1, 3))
        conn.commit()
        self._ledger.acknowledge(labels)

    def rolls_back(self, conn: Conn) -> None:
        self._ledger.roll_back(self._order(conn, self._random.randint(1, 3)))
        conn.rollback()

    def breaks_a_constraint(self, conn: Conn) -> None:
        labels = self._order(conn)
        self._ledger.roll_back(labels)
        try:
            conn.execute("INSERT INTO public.orders VALUES (%s)", labels)
        except psycopg.errors.UniqueViolation:
            conn.rollback()

    def vanishes(self, conn: Conn) -> None:
        self._ledger.roll_back(self._order(conn))
        conn.close()

    def is_terminated(self, conn: Conn) -> None:
        self._ledger.roll_back(self._order(conn))
        rows(self._url, "SELECT pg_terminate_backend(%s, 5000)", conn.info.backend_pid)
        try:
            conn.commit()
        except psycopg.OperationalError:
            conn.close()

    def takes_a_part_back(self, conn: Conn) -> None:
        kept = self._order(conn)
        conn.execute("SAVEPOINT part")
        self._ledger.roll_back(self._order(conn))
        conn.execute("ROLLBACK TO SAVEPOINT part")
        kept += self._order(conn)
        conn.commit()
        self._ledger.acknowledge(kept)

    def keeps_a_part_and_rolls_back(self, conn: Conn) -> None:
        conn.execute("SAVEPOINT part")
        self._ledger.roll_back(self._order(conn))
        conn.execute("RELEASE SAVEPOINT part")
        conn.rollback()

    def forgets_the_transaction(self, conn: Conn) -> None:
        """In autocommit mode: refused, unless it is insisted on."""
        conn.autocommit = True
        (label,) = labels = self._labels(1)
        self._ledger.attempt(labels)
        try:
            outbox.enqueue(conn, **_draft(label))
        except NotInTransaction:
            self.refused += 1
            self._ledger.roll_back(labels)
        (label,) = labels = self._labels(1)
        self._ledger.attempt(labels)
        with conn.transaction():
            conn.execute("INSERT INTO public.orders VALUES (%s)", labels)
        outbox.enqueue(conn, **_draft(label), allow_autocommit=True)
        self._ledger.acknowledge(labels)
        conn.autocommit = False

    def _order(self, conn: Conn, count: int = 1) -> list[str]:
        labels = self._labels(count)
        self._ledger.attempt(labels)
        conn.execute("INSERT INTO public.orders SELECT unnest(%s::text[])", [labels])
        if count > 1:
            outbox.enqueue_many(conn, [_draft(label) for label in labels])
        else:
            outbox.enqueue(conn, **_draft(labels[0]))
        return labels

    def _labels(self, count: int) -> list[str]:
        return [f"order-{self._random.getrandbits(64):016x}" for _ in range(count)]


# Half of the transactions come to nothing.
_WAYS: Sequence[tuple[Callable[[Customer, Conn], None], float]] = (
    (Customer.commits, 0.35),
    (Customer.takes_a_part_back, 0.10),
    (Customer.forgets_the_transaction, 0.05),
    (Customer.rolls_back, 0.30),
    (Customer.keeps_a_part_and_rolls_back, 0.10),
    (Customer.breaks_a_constraint, 0.08),
    (Customer.vanishes, 0.015),
    (Customer.is_terminated, 0.005),
)


def _draft(label: str) -> dict[str, Any]:
    return {"channel": "http", "recipient": label, "group_key": label}


@scenario(17, "half of the business transactions are rolled back")
def rolled_back_transactions(stage: Stage) -> None:
    count = stage.pick(reduced=1_000, full=100_000)
    rows(stage.url, BUSINESS_TABLE)
    fleet = stage.fleet(http=stage.http_sink())
    workers = fleet.start(stage.pick(reduced=1, full=2))
    customers = [Customer(stage.url, stage.ledger, stage.random.getrandbits(32)) for _ in range(_SESSIONS)]
    with ThreadPoolExecutor(_SESSIONS) as sessions:
        list(sessions.map(lambda customer: customer.run(count // _SESSIONS), customers))
    stage.settle(timeout=30)
    stage.exactly([0] * len(workers), "exit codes", fleet.stop())
    ways = sum((customer.ways for customer in customers), Counter())
    forgotten = ways["forgets the transaction"]
    stage.exactly(forgotten, "enqueues in autocommit mode refused", sum(customer.refused for customer in customers))
    audit = stage.account(orders=True)
    stage.exactly(len(stage.ledger.acknowledged), "notifications", audit.committed)
    stage.ran(f"{count:,} transactions: " + ", ".join(f"{each:,} {way}" for way, each in ways.most_common()))
