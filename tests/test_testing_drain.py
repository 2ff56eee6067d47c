"""drain, travel and the fake providers: an application's test delivers what it enqueued, and rolls it back."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.errors import CheckViolation

import outbox
from outbox import Ambiguous, Misconfigured, Rejected, Temporary, Throttled, Unreachable, config
from outbox.channels.recorder import recorded
from outbox.errors import ConfigError, NotInTransaction
from outbox.queue.claim import CLAIM
from outbox.queue.pause import pause
from outbox.queue.resume import resume
from outbox.testing import FakeProvider, adrain, atravel, drain, failing, hanging, travel
from outbox.testing import bridge as bridging
from outbox.testing.desk import Desk
from tests.hands import enqueue, rows
from tests.kinds import KINDS, Async, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outbox.config import Config

HI: dict[str, Any] = {"channel": "email", "payload": {"subject": "Hello", "text": "Hi"}}
ADA = HI | {"recipient": "ada@example.org"}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No configuration is near, and nothing was sent before."""
    monkeypatch.chdir(tmp_path)
    recorded.clear()
    yield
    recorded.clear()


def configured(tmp_path: Path, text: str) -> Config:
    (tmp_path / "given.toml").write_text(text)
    return config.load(tmp_path / "given.toml", environ={})


def states(conn: psycopg.Connection) -> list[Any]:
    return [state for (state,) in conn.execute("SELECT state FROM outbox.status ORDER BY id").fetchall()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_it_fails_twice_then_is_sent_on_any_connection_and_vanishes_with_its_transaction(
    kind: Any, database_url: str
) -> None:
    flaky = failing(Temporary("try later", code="451"), times=2)
    async with opened(kind, database_url) as transaction:
        await transaction.enqueue(**ADA)
        await transaction.enqueue(channel="inapp", recipient="user:1", payload={"title": "Hello"})
        if isinstance(transaction, Async):
            await transaction.execute("SELECT 1")
            first = await adrain(transaction.conn, channels=["email"], provider=flaky)
            await atravel(transaction.conn, seconds=2)
            second = await adrain(transaction.conn, channels=["email"], provider=flaky)
            rest = await adrain(transaction.conn, provider=flaky, until="1m")
        else:
            first = drain(transaction.conn, channels=["email"], provider=flaky)
            travel(transaction.conn, seconds=2)
            second = drain(transaction.conn, channels=["email"], provider=flaky)
            rest = drain(transaction.conn, provider=flaky, until="1m")
        assert (first.outcomes, second.outcomes) == (["retry"], ["retry"])
        assert [(each.channel, each.name) for each in rest.attempts] == [
            ("inapp", "retry"),
            ("inapp", "retry"),
            ("email", "sent"),
            ("inapp", "sent"),
        ]
        assert rest.waiting == ()
        assert {message.recipient for message in rest.messages} == {"ada@example.org", "user:1"}
        await transaction.rollback()
    left = "SELECT (SELECT count(*) FROM outbox.notifications) + (SELECT count(*) FROM outbox.attempts)"
    assert rows(database_url, f"{left} + (SELECT count(*) FROM outbox.inbox)") == [(0,)]


def test_attempts_are_as_far_apart_as_the_backoff_says(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA)
    drained = drain(conn, provider=failing(Temporary("451"), times=3), until="1h")
    after = [each.after.total_seconds() for each in drained.attempts]
    gaps = conn.execute(
        "SELECT extract(epoch FROM finished_at - lag(finished_at) OVER (ORDER BY claim))::float8 FROM outbox.attempts"
    ).fetchall()
    for told, (on_record,), wanted in zip(pairwise(after), gaps[1:], (1, 3, 10), strict=True):
        assert wanted <= round(told[1] - told[0], 2) < wanted + 2  # and what a busy machine takes
        assert wanted <= round(on_record, 2) < wanted + 2


def test_the_claim_takes_nothing_but_what_is_this_transactions(conn: psycopg.Connection, database_url: str) -> None:
    enqueue(database_url, 3)
    outbox.enqueue(conn, **ADA)
    drained = drain(conn)
    assert [each.recipient for each in drained.sent] == ["ada@example.org"]
    assert drained.passed_by == 3
    assert "3 not of this transaction passed by" in str(drained)
    with psycopg.connect(database_url) as other:  # nothing of theirs is locked, or moved
        assert len(other.execute("SELECT FROM outbox.queue FOR UPDATE SKIP LOCKED").fetchall()) == 3
    assert len(drain(conn, committed=True).sent) == 3


def test_the_claim_is_the_engines_own_but_for_one_condition() -> None:
    narrowed = bridging.narrowed(CLAIM)
    assert narrowed.replace(" AND waiting.id = ANY (%(own)s::uuid[])", "") == CLAIM
    assert len(narrowed) > len(CLAIM)


def test_two_tests_drain_beside_each_other(database_url: str) -> None:
    drained: list[list[str]] = []

    def run(name: str) -> None:
        with psycopg.connect(database_url) as conn:
            for number in range(20):
                outbox.enqueue(conn, **HI, recipient=f"{name}{number}@example.org")
            both.wait()
            drained.append([each.recipient for each in drain(conn).sent])
            conn.rollback()

    both = threading.Barrier(2)
    threads = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(each) for each in drained) == [20, 20]
    assert sorted("".join({recipient[0] for recipient in each}) for each in drained) == ["a", "b"]


def test_each_error_has_its_consequence_by_recipient(conn: psycopg.Connection) -> None:
    provider = (
        failing(Unreachable("no such user", code="550"), recipients=["gone@example.org"])
        .failing(Rejected("spam"), recipients=["spam@example.org"])
        .failing(Throttled("slow down", code="421"), recipients=["slow@example.org"], times=1)
        .failing(Ambiguous("the line went dead"), recipients="doubt@example.org", times=1, accepts=True)
    )
    for name in ("gone", "spam", "doubt", "fine", "slow"):
        outbox.enqueue(conn, **HI, recipient=f"{name}@example.org")
    drained = drain(conn, provider=provider, until="1h")
    ends = {each.recipient.partition("@")[0]: each.name for each in drained.attempts}
    assert ends == {"gone": "dead", "spam": "dead", "doubt": "sent", "fine": "sent", "slow": "sent"}
    assert [each.error for each in drained.failed] == ["unreachable: 550: no such user", "rejected: spam"]
    assert sorted(each.name for each in drained.retried) == ["ambiguous", "deferred"]
    assert [each.message.recipient for each in recorded].count("doubt@example.org") == 2  # a copy, as it would be
    letters = conn.execute("SELECT recipient, reason FROM outbox.dead_letters ORDER BY 1").fetchall()
    assert letters == [("gone@example.org", "unreachable"), ("spam@example.org", "rejected")]
    assert conn.execute("SELECT recipient FROM outbox.suppressions").fetchall() == [("gone@example.org",)]


def test_who_hangs_is_given_up_soon_and_nobody_can_know(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA)
    drained = drain(conn, provider=hanging(times=1), until="10s")
    assert drained.outcomes == ["ambiguous", "sent"]
    assert drained.attempts[0].error == "ambiguous: no answer within 0.05 s"


def test_what_uses_up_its_attempts_is_a_dead_letter(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA)
    drained = drain(conn, provider=failing(Temporary("451")), until="1d")
    assert drained.outcomes == ["retry"] * 4 + ["dead"]
    assert [each.number for each in drained.attempts] == [1, 2, 3, 4, 5]
    assert (drained.sent, drained.waiting, len(drained.failed)) == ((), (), 1)


def test_the_next_provider_is_tried_as_configured(conn: psycopg.Connection, tmp_path: Path) -> None:
    given = configured(tmp_path, '[channels.email]\nproviders = ["ses", "smtp"]\n')
    outbox.enqueue(conn, **ADA)
    ses, smtp = failing(Misconfigured("bad key", code="403")), FakeProvider()
    drained = drain(conn, config=given, providers={"ses": ses, "smtp": smtp})
    assert [each.outcome.provider for each in drained.sent] == ["smtp"]
    assert (len(ses.asked), len(smtp.asked)) == (1, 1)
    with pytest.raises(ConfigError, match=r"providers\['smpt'\]: .* did you mean smtp\?"):
        drain_of_one(conn, config=given, providers={"smpt": smtp})


def drain_of_one(conn: psycopg.Connection, **given: Any) -> Any:
    outbox.enqueue(conn, **ADA)
    return drain(conn, **given)


def test_a_provider_that_is_misconfigured_keeps_it_waiting(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA)
    drained = drain(conn, provider=failing(Misconfigured("bad key", code="403")), until="2m")
    assert set(drained.outcomes) == {"deferred"}
    assert len(drained.outcomes) > 2
    assert [each.state for each in drained.waiting] == ["deferred"]


def test_a_channel_that_the_configuration_lacks_is_told_of(conn: psycopg.Connection, tmp_path: Path) -> None:
    given = configured(tmp_path, '[channels.email]\nproviders = ["smtp"]\n')
    outbox.enqueue(conn, channel="emial", recipient="ada@example.org")
    with pytest.raises(ConfigError, match=r"no \[channels.emial\] in .*given.toml: did you mean email\?"):
        drain(conn, config=given)
    assert drain(conn, config=given, channels=["email"]).attempts == ()


def test_a_function_of_the_tests_own_is_a_provider(conn: psycopg.Connection) -> None:
    paid = []

    def pay(message: outbox.Notification, key: str) -> str:
        paid.append((message.payload["amount"], key))
        return "invoice 1"

    it = outbox.enqueue(conn, channel="invoice", recipient="42", payload={"amount": 7})
    drained = drain(conn, provider=pay)
    assert paid == [(7, str(it.id))]
    assert drained.sent[0].outcome.provider_message_id == "invoice 1"


def test_templates_topics_and_quiet_hours_are_those_of_the_configuration(
    conn: psycopg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "templates" / "welcome").mkdir(parents=True)
    (tmp_path / "templates" / "welcome" / "subject.txt").write_text("Welcome, {{ name }}")
    (tmp_path / "templates" / "welcome" / "body.txt").write_text("Hello")
    opens = datetime.now(UTC) + timedelta(hours=2)
    hours = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    given = configured(
        tmp_path,
        '[channels.email]\nproviders = ["smtp"]\n'
        f'[topics.news]\nsend_window = "{hours}"\ntime_zone = "UTC"\n[topics.bills]\ndefault = "opt_in"\n',
    )
    outbox.enqueue(conn, **ADA | {"payload": {"name": "Ada"}}, template="welcome", topic="news")
    outbox.enqueue(conn, **ADA, topic="bills")
    outbox.enqueue(conn, **ADA | {"payload": {}}, template="welcome")
    drained = drain(conn, config=given)
    assert drained.outcomes == ["deferred", "suppressed", "dead"]
    assert "name" in str(drained.failed[0].error)
    assert len(drained.ended) == 1
    assert [message.subject for message in drain(conn, config=given, until="4h").messages] == ["Welcome, Ada"]


def test_what_waits_for_another_goes_after_it_in_the_same_drain(conn: psycopg.Connection) -> None:
    for number in range(5):
        outbox.enqueue(conn, **HI, recipient=f"{number}@example.org", ordering_key="order:1", priority=5 - number)
    drained = drain(conn, provider=failing(Temporary("451"), times=1, recipients=["2@example.org"]), until="1m")
    assert [each.recipient[0] for each in drained.sent] == ["0", "1", "2", "3", "4"]


def test_a_digest_goes_out_when_its_window_closes(conn: psycopg.Connection) -> None:
    for name in ("Bob", "Eve"):
        outbox.enqueue(
            conn, channel="note", recipient="ada", payload={"by": name}, digest_key="likes",
            digest_window=timedelta(minutes=10),
        )  # fmt: skip
    early = drain(conn, until="9m")
    assert (early.attempts, [each.state for each in early.waiting]) == ((), ["gathering", "gathering"])
    (message,) = drain(conn, until="2m").messages
    assert [item["by"] for item in message.payload["items"]] == ["Bob", "Eve"]


def test_a_throttle_lets_the_next_go_when_its_period_has_passed(conn: psycopg.Connection, tmp_path: Path) -> None:
    given = configured(
        tmp_path,
        '[channels.email]\nproviders = ["smtp"]\n[topics.news]\nthrottle = "1/d"\nthrottle_policy = "defer"\n',
    )
    for _ in range(3):
        outbox.enqueue(conn, **ADA, topic="news")
    drained = drain(conn, config=given, until="3d")
    assert [round(each.after / timedelta(days=1)) for each in drained.sent] == [0, 1, 2]


def test_an_escalation_is_not_needed_once_it_was_read(conn: psycopg.Connection, tmp_path: Path) -> None:
    given = configured(tmp_path, '[channels.email]\nproviders = ["smtp"]\n[channels.inapp]\nproviders = ["inbox"]\n')
    first = outbox.enqueue(conn, channel="inapp", recipient="user:1", payload={"title": "Hi"})
    outbox.enqueue(conn, **ADA, run_at=timedelta(minutes=10), unless_read=first.id)
    assert drain(conn, config=given, until="5m").outcomes == ["sent"]
    outbox.mark_read(conn, first.id)
    assert drain(conn, config=given, until="6m").attempts == ()
    assert states(conn) == ["sent", "cancelled"]


def test_what_expires_on_the_way_is_not_sent(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA, expires_at=timedelta(minutes=5))
    travel(conn, "6m")
    assert drain(conn).outcomes == ["expired"]


def test_who_has_travelled_enqueues_from_then_on(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA, run_at=timedelta(minutes=10), expires_at=timedelta(minutes=30))
    travel(conn, minutes=5)
    outbox.enqueue(conn, **HI, recipient="bob@example.org", run_at=timedelta(minutes=10))
    assert travel(conn, "5m") == timedelta(minutes=10)
    assert [each.recipient for each in drain(conn).sent] == ["ada@example.org"]
    outbox.enqueue(conn, **ADA, expires_at=timedelta(minutes=5))  # ten minutes have gone by, and it is new
    assert [each.name for each in drain(conn).attempts] == ["sent"]
    assert [each.recipient for each in drain(conn, until="5m").sent] == ["bob@example.org"]


def test_a_savepoint_that_is_rolled_back_takes_its_travels_along(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA, run_at=timedelta(minutes=10))
    with conn.transaction(force_rollback=True):
        travel(conn, hours=1)
        assert drain(conn).outcomes == ["sent"]
    assert drain(conn).attempts == ()
    assert travel(conn, minutes=10) == timedelta(minutes=10)
    assert drain(conn).outcomes == ["sent"]


def test_nothing_of_anybody_elses_travels(conn: psycopg.Connection, database_url: str) -> None:
    enqueue(database_url, run_at=timedelta(minutes=10))
    outbox.enqueue(conn, **ADA)
    travel(conn, hours=1)
    assert drain(conn, committed=True).outcomes == ["sent"]
    assert states(conn) == ["scheduled", "sent"]


def test_one_cannot_travel_outside_a_transaction_nor_back(conn: psycopg.Connection, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as other, pytest.raises(NotInTransaction):
        travel(other, minutes=5)
    with pytest.raises(ValueError, match="not between nothing and a hundred years"):
        travel(conn, minutes=-5)
    with pytest.raises(ValueError, match="'soon' is not a duration"):
        travel(conn, "soon")
    with pytest.raises(TypeError, match="say how far"):
        travel(conn)


def test_without_a_transaction_what_is_committed_is_drained_as_by_a_worker(database_url: str) -> None:
    enqueue(database_url, 2)
    with psycopg.connect(database_url, autocommit=True) as conn:
        assert drain(conn).outcomes == ["sent", "sent"]
    assert rows(database_url, "SELECT state FROM outbox.status") == [("sent",), ("sent",)]
    assert rows(database_url, "SELECT FROM outbox.workers") == []


async def test_a_synchronous_drain_works_where_a_loop_is_running(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA)
    assert drain(conn).outcomes == ["sent"]
    await asyncio.sleep(0)


def test_an_interruption_ends_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was taken when the signal came is never served, and its thread does not wait for that."""
    desk = Desk()

    class Interrupting(SimpleQueue[Any]):
        def get(self, *_: Any, **__: Any) -> Any:
            super().get()
            raise KeyboardInterrupt

    monkeypatch.setattr(desk, "_requests", Interrupting())
    with pytest.raises(KeyboardInterrupt):
        desk.serve(lambda: desk.ask(lambda: 1))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("outbox drain")]


def test_what_is_paused_waits(conn: psycopg.Connection) -> None:
    pause(conn, scope="channel", name="email", actor="cli:ada", reason="the templates are wrong")
    outbox.enqueue(conn, **ADA)
    drained = drain(conn, until="1h")
    assert (drained.attempts, [each.state for each in drained.waiting]) == ((), ["due"])
    resume(conn, scope="channel", name="email", actor="cli:ada")
    assert drain(conn).outcomes == ["sent"]


def test_urgent_ones_go_first(conn: psycopg.Connection) -> None:
    for number in range(200):
        outbox.enqueue(conn, **HI, recipient=f"{number}@example.org", priority=9 - number % 10)
    assert [9 - int(each.recipient.partition("@")[0]) % 10 for each in drain(conn).sent] == sorted(
        [number % 10 for number in range(200)]
    )


def test_what_the_database_refuses_is_raised(cloned_url: str) -> None:
    with psycopg.connect(cloned_url) as conn:
        conn.execute("ALTER TABLE outbox.attempts ADD CHECK (provider <> 'recorder')")
        outbox.enqueue(conn, **ADA)
        with pytest.raises(CheckViolation):
            drain(conn)
        conn.rollback()


def test_a_fake_fails_with_delivery_errors_alone() -> None:
    with pytest.raises(TypeError, match="one of the delivery errors"):
        failing(OSError("no"))  # type: ignore[arg-type]
