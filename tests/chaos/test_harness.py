"""The harness itself: with a ledger that finds nothing, or a proxy that passes everything, all scenarios would pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest

import outbox
from outbox.channels.email import smtp
from outbox.outcomes import Sent
from tests.chaos.background import Background
from tests.chaos.http_provider import Provider, Settings
from tests.chaos.http_sink import HangUp, HttpSink, Reply, Silence, Slowly, gzip_bomb, redirect
from tests.chaos.ledger import BUSINESS_TABLE, Ledger
from tests.chaos.mail_sink import MailSink
from tests.chaos.proxy import Proxy, upstream_of, url_through
from tests.chaos.scenario import Scenario
from tests.chaos.stage import Findings, Stage
from tests.endings import put
from tests.hands import enqueue, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.http_sink import Act

SENT = Sent(provider="recorder")
MESSAGE = outbox.Notification(UUID("01980000-0000-7000-8000-000000000000"), "http", "ada@example.org")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as running:
        yield running


@pytest.fixture
def tcp_url(database_url: str, background: Background) -> tuple[Proxy, str]:
    proxy = background.enter(Proxy(upstream_of(database_url)))
    return proxy, url_through(database_url, proxy.port)


def delivered(ledger: Ledger, identities: list[object]) -> None:
    for identity in identities:
        ledger.deliver(str(identity))


class TestTheLedger:
    def test_finds_nothing_where_all_is_well(self, ledger: Ledger, database_url: str) -> None:
        sent = put(database_url, 3, SENT)
        ledger.acknowledge(sent)
        delivered(ledger, [*sent])
        audit = ledger.audit(database_url)
        assert (audit.lost, audit.waiting, audit.phantom, audit.duplicated, audit.uncertain) == ([], [], [], {}, 0)
        assert (audit.committed, audit.delivered, audit.terminal) == (3, 3, {"sent": 3})

    def test_finds_what_was_acknowledged_and_is_gone(self, ledger: Ledger, database_url: str) -> None:
        ledger.acknowledge(["order-1"])
        assert ledger.audit(database_url).lost == ["order-1"]

    def test_finds_what_has_not_ended(self, ledger: Ledger, database_url: str) -> None:
        (waiting,) = enqueue(database_url)
        audit = ledger.audit(database_url)
        assert (audit.waiting, audit.lost) == ([str(waiting)], [])

    def test_finds_what_counts_as_sent_and_never_arrived(self, ledger: Ledger, database_url: str) -> None:
        (sent,) = put(database_url, 1, SENT)
        assert ledger.audit(database_url).lost == [str(sent)]

    def test_finds_what_arrived_and_was_never_committed(self, ledger: Ledger, database_url: str) -> None:
        ledger.deliver("never")
        assert ledger.audit(database_url).phantom == ["never"]

    def test_finds_what_was_rolled_back_and_is_there(self, ledger: Ledger, database_url: str) -> None:
        (sent,) = put(database_url, 1, SENT, group_key="order-1")
        delivered(ledger, [sent])
        ledger.roll_back(["order-1"])
        assert ledger.audit(database_url).phantom == [str(sent)]

    def test_finds_orders_and_notifications_that_are_alone(self, ledger: Ledger, cloned_url: str) -> None:
        rows(cloned_url, BUSINESS_TABLE)
        rows(cloned_url, "INSERT INTO public.orders VALUES ('order-1'), ('order-2')")
        both = put(cloned_url, 1, SENT, group_key="order-1")
        alone = put(cloned_url, 1, SENT, group_key="order-3")
        delivered(ledger, [*both, *alone])
        audit = ledger.audit(cloned_url, orders=True)
        assert audit.lost == ["order-2"]
        assert audit.phantom == [str(alone[0])]

    def test_finds_copies_and_whether_they_are_on_record(self, ledger: Ledger, database_url: str) -> None:
        known, unknown = put(database_url, 2, SENT)
        rows(database_url, "UPDATE outbox.attempts SET error_class = 'ambiguous' WHERE notification_id = %s", known)
        delivered(ledger, [known, known, known, unknown, unknown])
        audit = ledger.audit(database_url)
        assert audit.duplicated == {str(known): 2, str(unknown): 1}
        assert audit.copies == 3
        assert audit.silent == [str(unknown)]

    def test_finds_what_came_late(self, ledger: Ledger, database_url: str) -> None:
        early, late = put(database_url, 2, SENT)
        delivered(ledger, [early, late])
        ledger.first_at[str(late)] += 10
        assert ledger.audit(database_url, late_after=5).late == [str(late)]

    def test_counts_the_commits_of_which_nobody_knows(self, ledger: Ledger, database_url: str) -> None:
        ledger.attempt(["order-1", "order-2", "order-3"])
        ledger.roll_back(["order-2"])
        put(database_url, 1, SENT, group_key="order-3")
        assert ledger.audit(database_url).uncertain == 2


class TestTheProxy:
    def test_cuts_after_the_commit_was_done(self, tcp_url: tuple[Proxy, str], database_url: str) -> None:
        proxy, url = tcp_url
        trap = proxy.trap(b"COMMIT")
        conn = psycopg.connect(url)
        outbox.enqueue(conn, channel="email", recipient="ada@example.org")
        with pytest.raises(psycopg.OperationalError):
            conn.commit()
        assert trap.sprung == 1
        assert rows(database_url, "SELECT count(*) FROM outbox.notifications") == [(1,)]

    def test_cuts_before_the_commit_arrived(self, tcp_url: tuple[Proxy, str], database_url: str) -> None:
        proxy, url = tcp_url
        proxy.trap(b"COMMIT", mode="before")
        conn = psycopg.connect(url)
        outbox.enqueue(conn, channel="email", recipient="ada@example.org")
        with pytest.raises(psycopg.OperationalError):
            conn.commit()
        assert rows(database_url, "SELECT count(*) FROM outbox.notifications") == [(0,)]

    def test_cuts_only_where_rows_come_back(self, tcp_url: tuple[Proxy, str]) -> None:
        proxy, url = tcp_url
        proxy.trap(mode="rows")
        with psycopg.connect(url, autocommit=True) as conn:
            assert conn.execute("SELECT 1 WHERE false").fetchall() == []
            with pytest.raises(psycopg.OperationalError):
                conn.execute("SELECT 1")

    def test_knows_the_purpose_of_a_connection(self, tcp_url: tuple[Proxy, str]) -> None:
        proxy, url = tcp_url
        trap = proxy.trap(purpose="outbox settle", times=9)
        with psycopg.connect(url, autocommit=True, application_name="outbox claim") as conn:
            conn.execute("SELECT 1")
        conn = psycopg.connect(url, autocommit=True, application_name="outbox settle")
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT 1")
        assert trap.sprung == 1

    def test_freezes_and_thaws(self, tcp_url: tuple[Proxy, str], background: Background) -> None:
        proxy, url = tcp_url
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("SELECT 1")
            assert background.call(proxy.freeze) == 1
            began = time.monotonic()
            background.later(0.3, proxy.thaw)
            conn.execute("SELECT 1")
            assert time.monotonic() - began >= 0.3

    def test_delays(self, tcp_url: tuple[Proxy, str]) -> None:
        proxy, url = tcp_url
        with psycopg.connect(url, autocommit=True) as conn:
            proxy.delay = 0.1
            began = time.monotonic()
            conn.execute("SELECT 1")
            assert time.monotonic() - began >= 0.2

    def test_is_a_black_hole_one_way(self, tcp_url: tuple[Proxy, str], database_url: str) -> None:
        proxy, url = tcp_url
        conn = psycopg.connect(url, autocommit=True)
        proxy.black_holes.add("down")
        conn.pgconn.send_query(b"SELECT pg_notify('heard', '')")
        conn.pgconn.flush()
        pid = conn.info.backend_pid
        seen = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%heard%%' AND state = 'idle'"
        deadline = time.monotonic() + 5
        while rows(database_url, seen, pid) != [(1,)]:
            assert time.monotonic() < deadline
        conn.pgconn.consume_input()
        assert conn.pgconn.is_busy(), "the server has answered, and the answer is gone"
        conn.close()

    def test_cuts_after_so_many_bytes(self, tcp_url: tuple[Proxy, str]) -> None:
        proxy, url = tcp_url
        proxy.limit = 2_000
        conn = psycopg.connect(url, autocommit=True)
        with pytest.raises(psycopg.OperationalError):
            conn.execute("SELECT %s::text", ["x" * 5_000])


class TestTheHttpSink:
    async def test_delivers_once_under_one_key(self, ledger: Ledger) -> None:
        async with HttpSink(ledger) as sink:
            provider = Provider(Settings(port=sink.port))
            for _ in range(3):
                await provider.send(MESSAGE, "key-1")
            await provider.aclose()
        assert ledger.deliveries == {"key-1": 1}
        assert (sink.repeated, sink.changed) == (2, 0)

    async def test_refuses_another_body_under_a_key_that_was_accepted(self, ledger: Ledger) -> None:
        async with HttpSink(ledger) as sink:
            provider = Provider(Settings(port=sink.port))
            await provider.send(MESSAGE, "key-1")
            with pytest.raises(outbox.Rejected):
                await provider.send(MESSAGE._replace(payload={"edited": True}), "key-1")
            await provider.aclose()
        assert sink.changed == 1

    async def test_counts_every_copy_where_keys_mean_nothing(self, ledger: Ledger) -> None:
        async with HttpSink(ledger, idempotent=False) as sink:
            provider = Provider(Settings(port=sink.port))
            for _ in range(3):
                await provider.send(MESSAGE, "key-1")
            await provider.aclose()
        assert ledger.deliveries == {"key-1": 3}

    @pytest.mark.parametrize(
        ("act", "error", "delivered"),
        [
            (Reply(503), outbox.Temporary, 0),
            (Reply(503, accepts=True), outbox.Temporary, 1),
            (Reply(429), outbox.Throttled, 0),
            (Reply(409), outbox.Rejected, 0),
            (redirect("http://127.0.0.1/"), outbox.Rejected, 0),
            (gzip_bomb(10_000_000), outbox.Temporary, 0),
            (HangUp(accepts=True), outbox.Ambiguous, 1),
            (HangUp(), outbox.Ambiguous, 0),
            (Silence(), outbox.Ambiguous, 0),
            (Slowly(between=0.05), outbox.Ambiguous, 1),
        ],
    )
    async def test_misbehaves_as_asked(
        self, ledger: Ledger, act: Act, error: type[outbox.DeliveryError], delivered: int
    ) -> None:
        async with HttpSink(ledger) as sink:
            sink.behave = lambda _: act
            provider = Provider(Settings(port=sink.port, timeout=0.3))
            with pytest.raises(error):
                await provider.send(MESSAGE, "key-1")
            await provider.aclose()
        assert ledger.deliveries.total() == delivered


async def test_the_mail_sink_refuses_one_recipient_and_takes_the_other(ledger: Ledger) -> None:
    async with MailSink(ledger) as sink:
        sink.moments["RCPT"] = lambda line: "550 5.1.1 no such user" if b"nobody" in line else None
        relay = smtp.Settings(host="127.0.0.1", port=sink.port, tls="none", sender="shop@example.org", helo_name="me")
        provider = smtp.Provider(relay)
        known, unknown = (str(UUID(int=MESSAGE.id.int + n)) for n in range(2))
        await provider.send(outbox.Email("ada@example.org", "Hello", "Hi", None, {}), known)
        with pytest.raises(outbox.Unreachable):
            await provider.send(outbox.Email("nobody@example.org", "Hello", "Hi", None, {}), unknown)
        await provider.aclose()
    assert ledger.deliveries == {known: 1}


def test_a_scenario_that_checks_nothing_has_not_met_its_targets() -> None:
    nothing = Scenario(0, "nothing happens", lambda _: None)
    assert not Findings(nothing, 1).met


def test_a_missed_target_is_a_missed_scenario() -> None:
    stage = Stage(Scenario(0, "something happens", lambda _: None), seed=1, full=False)
    for measured, met in ((2, True), (6.5, False), (1, False)):
        stage.at_most(6, "copies a kill", measured)
        assert stage.findings.met == met
    assert [check.measured for check in stage.findings.checks] == ["2", "6.5", "1"]


def test_the_same_seed_makes_the_same_choices_and_another_scenario_makes_others() -> None:
    def chosen(number: int, seed: int) -> float:
        return Stage(Scenario(number, "chance", lambda _: None), seed=seed, full=False).random.random()

    assert chosen(1, 7) == chosen(1, 7)
    assert len({chosen(1, 7), chosen(2, 7), chosen(1, 8)}) == 3
