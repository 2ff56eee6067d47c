"""What a scenario is given: a database, a seed, workers, sinks, proxies, a ledger, and a place for its findings."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from outbox.children import Children
from outbox.migrate import upgrade
from tests.chaos.activity import Activity
from tests.chaos.application import Application
from tests.chaos.background import Background
from tests.chaos.cluster import Cluster
from tests.chaos.fleet import Fleet
from tests.chaos.http_sink import HttpSink
from tests.chaos.ledger import Ledger
from tests.chaos.mail_sink import MailSink
from tests.chaos.proxy import Proxy, upstream_of, url_through
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.chaos.ledger import Audit
    from tests.chaos.scenario import Scenario

T = TypeVar("T")

_SHOWN = 5


@dataclass(frozen=True)
class Check:
    """One thing that was measured, and what it had to be."""

    name: str
    target: str
    measured: str
    met: bool


@dataclass
class Findings:
    """What came out of one run of a scenario."""

    scenario: Scenario
    seed: int
    checks: list[Check] = field(default_factory=list)
    ran: str = ""
    """How long and how much, in words."""
    took: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether every target was met, and there was one."""
        return bool(self.checks) and all(check.met for check in self.checks)


class Stage:
    """Use it as a context manager; all that was made with it ends with it.

    `full` is False for the few seconds that every test run has. `random` is seeded: take every choice from it.
    `url` is a migrated database of the scenario's own; with `own_cluster`, there is none until `cluster()` makes it.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        full: bool,
        url: str | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.full = full
        self.seed = seed
        self.random = random.Random(f"{seed}:{scenario.number}")
        self.ledger = Ledger()
        self.findings = Findings(scenario, seed)
        self._url = url
        self._tell = tell
        self._stack = ExitStack()
        self._background: Background | None = None
        self._fleets: list[Fleet] = []

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._children = self._stack.enter_context(Children("chaos"))
        return self

    def __exit__(self, *_: object) -> None:
        self.findings.took = time.monotonic() - self._began
        self._stack.close()

    @property
    def folder(self) -> Path:
        """A folder of the scenario's own."""
        return self._children.folder

    @property
    def url(self) -> str:
        """The URL of the scenario's database."""
        assert self._url is not None, "own_cluster: call cluster() first"
        return self._url

    @property
    def background(self) -> Background:
        """The event loop in which the sinks and proxies live."""
        if self._background is None:
            self._background = self._stack.enter_context(Background())
        return self._background

    def pick(self, *, reduced: T, full: T) -> T:
        """Return the one for this size."""
        return full if self.full else reduced

    # What a scenario is made of

    def cluster(self, settings: Mapping[str, str] | None = None) -> Cluster:
        """Start a server that may be killed, with a migrated database, which is `url` from now on."""
        cluster = self._stack.enter_context(Cluster(self.folder / "cluster", settings))
        self._url = cluster.url
        upgrade(cluster.url)
        return cluster

    def proxy(self, url: str | None = None) -> tuple[Proxy, str]:
        """Put a proxy before a PostgreSQL server; return it, and the database's URL by way of it."""
        proxy = self.background.enter(Proxy(upstream_of(url or self.url)))
        return proxy, url_through(url or self.url, proxy.port)

    def tcp_proxy(self, port: int) -> Proxy:
        """Put a proxy before a sink that listens on this port."""
        return self.background.enter(Proxy(("127.0.0.1", port)))

    def http_sink(self, *, idempotent: bool = True) -> HttpSink:
        """Start an HTTP sink that writes to the ledger."""
        return self.background.enter(HttpSink(self.ledger, idempotent=idempotent))

    def mail_sink(self) -> MailSink:
        """Start an SMTP sink that writes to the ledger."""
        return self.background.enter(MailSink(self.ledger))

    def fleet(
        self,
        *,
        url: str | None = None,
        http: HttpSink | int | None = None,
        mail: MailSink | int | None = None,
        policy: Mapping[str, Any] | None = None,
        provider: Mapping[str, Any] | None = None,
        smtp: Mapping[str, Any] | None = None,
        worker: Mapping[str, Any] | None = None,
    ) -> Fleet:
        """Make the configuration of a fleet, and start nothing yet.

        With `http` there is a channel `http`, with `mail` a channel `email`, to the sink or the port that is given.
        `policy` is added to every channel, `provider` and `smtp` to the settings of the one provider and the other.
        """
        channels: dict[str, dict[str, Any]] = {}
        providers: dict[str, dict[str, Any]] = {}
        if http is not None:
            name = "tests.chaos.http_provider"
            channels["http"] = {"providers": [name], **(policy or {})}
            providers[name] = {"port": http if isinstance(http, int) else http.port, **(provider or {})}
        if mail is not None:
            channels["email"] = {"providers": ["smtp"], **(policy or {})}
            port = mail if isinstance(mail, int) else mail.port
            relay = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "Shop <shop@example.org>"}
            providers["smtp"] = {**relay, "helo_name": "worker.test", **(smtp or {})}
        fleet = Fleet(self._children, url or self.url, channels=channels, providers=providers, worker=worker)
        self._fleets.append(fleet)
        return fleet

    def application(
        self, *, rate: float, channels: Mapping[str, float], url: str | None = None, **how: Any
    ) -> Application:
        """Make an application that takes orders at `rate` a second; enter it to start it."""
        seed = self.random.getrandbits(32)
        return Application(url or self.url, self.ledger, rate=rate, seed=seed, channels=channels, **how)

    # What it does meanwhile

    def say(self, words: str) -> None:
        """Tell the person who watches what is going on."""
        self._tell(words)

    def unsettled(self, url: str | None = None) -> int:
        """Return how many notifications have not ended."""
        return int(rows(url or self.url, "SELECT count(*) FROM outbox.queue")[0][0])

    def settle(self, timeout: float) -> float:
        """Wait until every notification has ended; return the seconds that it took.

        After `timeout` seconds it gives up: what has not ended is for the ledger to report.
        """
        began = time.monotonic()
        try:
            wait_until(lambda: self.unsettled() == 0, timeout)
        except AssertionError:
            states = rows(self.url, "SELECT state, count(*) FROM outbox.status GROUP BY state ORDER BY state")
            self.note(f"not settled after {timeout:g} s: {dict(states)}")
        return time.monotonic() - began

    def last_words(self) -> str:
        """Return the seed, and the ends of the workers' logs."""
        return "\n".join([f"seed {self.seed}", *(fleet.last_words() for fleet in self._fleets)])

    # What it finds

    def ran(self, words: str) -> None:
        """Say what was run: how long, at what rate, how often."""
        self.findings.ran = words

    def note(self, words: str) -> None:
        """Add what a reader of the findings should know."""
        self.findings.notes.append(words)

    @contextmanager
    def watched_sessions(self) -> Iterator[None]:
        """At full length, look at what the workers do in the database, and check what scenario 58 asks of it."""
        if not self.full:
            yield
            return
        with Activity(self.url) as activity:
            yield
        self.at_most(1, "the longest transaction", activity.longest, " s")
        self.exactly(0, "idle in a transaction", activity.idle)
        if activity.idle:
            self.note(f"idle in a transaction was last: {' '.join(activity.idle_did.split())}")
        if activity.longest > 1:
            self.note(f"the longest transaction was seen last: {' '.join(activity.longest_did.split())}")

    def at_most(self, limit: float, name: str, measured: float, unit: str = "") -> None:
        """Check that no more than `limit` was measured."""
        self._add(name, f"≤ {_number(limit)}{unit}", f"{_number(measured)}{unit}", met=measured <= limit)

    def at_least(self, limit: float, name: str, measured: float, unit: str = "") -> None:
        """Check that no less than `limit` was measured."""
        self._add(name, f"≥ {_number(limit)}{unit}", f"{_number(measured)}{unit}", met=measured >= limit)

    def exactly(self, wanted: object, name: str, measured: object) -> None:
        """Check that just this was measured."""
        self._add(name, str(wanted), str(measured), met=wanted == measured)

    def account(
        self, *, orders: bool = False, late_after: float | None = None, silent: bool = True, url: str | None = None
    ) -> Audit:
        """Compare the ledger with the database; check that nothing is lost, waiting, phantom, repeated or late."""
        audit = self.ledger.audit(url or self.url, orders=orders, late_after=late_after)
        self._none("lost", audit.lost)
        self._none("waiting when it was over", audit.waiting)
        self._none("phantom", audit.phantom)
        if silent:
            self._none("repeated without a record", audit.silent)
        if late_after is not None:
            self._none(f"later than {_number(late_after)} s", audit.late)
        return audit

    def _none(self, name: str, found: list[str]) -> None:
        self.exactly(0, name, len(found))
        if found:
            self.note(f"{name}: {', '.join(found[:_SHOWN])}")

    def _add(self, name: str, target: str, measured: str, *, met: bool) -> None:
        self.findings.checks.append(Check(name, target, measured, met))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def play(scenario: Scenario, **how: Any) -> Findings:
    """Play a scenario on a stage that is made as `how` says; return what was found.

    What it raises carries the last words of its workers, and the seed.
    """
    with Stage(scenario, **how) as stage:
        try:
            scenario.play(stage)
        except Exception as error:
            error.add_note(stage.last_words())
            raise
    return stage.findings
