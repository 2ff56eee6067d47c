"""`outbox workers`, `stats` and `audit`: what people see of what goes on, and as JSON."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import errors
from outbox.outcomes import Dead, Failure, Retry, Sent
from outbox.queue.audit import record
from tests.command_line import run, run_on_a_terminal
from tests.endings import enter, put
from tests.hands import enqueue, rows
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from outbox.messages import Notification

BUSY = Retry(provider="smtp", failure=Failure("temporary", "451 4.7.1", "later"), delay=3_600.0)
GONE = Dead(provider="smtp", failure=Failure("rejected", "554 5.6.0", "no"), reason="rejected")


def document(url: str, *arguments: object, code: int = 0) -> dict[str, Any]:
    result = run(url, *arguments, "--json")
    assert result.exit_code == code, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


class TestWorkers:
    def test_where_nobody_works_it_says_so_and_fails(self, database_url: str) -> None:
        done = run(database_url, "workers")
        assert (done.exit_code, done.stdout) == (1, "no live worker; start one: outbox worker --channel …\n")

    async def test_it_tells_what_each_has_in_hand_and_what_is_held(self, database_url: str) -> None:
        let_go = asyncio.Event()

        async def behave(_: Notification) -> None:
            await let_go.wait()

        refusing = Recorder()
        refusing.failing = errors.Misconfigured("bad password", code="535 5.7.8")
        enqueue(database_url, 3)
        enqueue(database_url, 1, channel="sms", recipient="+4915112345678")
        recorder = Recorder(behave)
        async with running(database_url, route(recorder), route(refusing, channel="sms"), lease=3.0):
            await await_until(
                lambda: (
                    (found := json.loads(run(database_url, "workers", "--json").stdout))["held"]
                    and found["workers"][0]["in_hand"] == 3
                ),
                timeout=20,
            )
            found = document(database_url, "workers", "--channel", "email")
            shown = run(database_url, "workers")
            let_go.set()
        assert (found["workers"][0]["state"], found["workers"][0]["channels"]) == ("busy", ["email", "sms"])
        assert (found["held"][0]["provider"], found["held"][0]["error_class"]) == ("recorder0", "misconfigured")
        assert shown.exit_code == 0
        assert "1 live worker on 1 host: 3 in hand" in shown.stdout
        assert "warning: recorder0 (sms) is held by 1 worker since " in shown.stdout
        assert "misconfigured 535 5.7.8; it is probed" in shown.stdout

    def test_who_vanished_lately_is_there_still(self, database_url: str) -> None:
        worker = enter(database_url, "email")
        rows(database_url, "UPDATE outbox.workers SET seen_at = now() - interval '3 minutes'")
        done = run(database_url, "workers")
        assert done.exit_code == 1
        assert "vanished" in done.stdout
        assert f"warning: worker {worker} on " in done.stdout
        assert "was last seen 3m " in done.stdout
        found = document(database_url, "workers", code=1)
        assert [(each["id"], each["state"]) for each in found["workers"]] == [(worker, "vanished")]

    def test_a_terminal_that_is_too_narrow_shows_them_one_below_the_other(self, database_url: str) -> None:
        enter(database_url, "email")
        code, shown = run_on_a_terminal(database_url, "workers", columns=50)
        assert code == 0
        assert "  channels" in shown


class TestStats:
    def test_it_counts_how_attempts_ended_by_channel(self, database_url: str) -> None:
        put(database_url, 6, Sent(provider="smtp"))
        put(database_url, 1, BUSY)
        put(database_url, 1, GONE)
        put(database_url, 2, Sent(provider="sns"), channel="sms", recipient="+4915112345678")
        email, sms = document(database_url, "stats")["values"]
        assert {key: email[key] for key in ("value", "sent", "retry", "dead", "failure_ratio")} == {
            "value": "email", "sent": 6, "retry": 1, "dead": 1, "failure_ratio": 0.25,
        }  # fmt: skip
        assert email["delivery_seconds"]["p50"] == pytest.approx(0.2, abs=0.01)
        assert 0 <= email["end_to_end_seconds"]["p50"] < 30
        assert (sms["value"], sms["sent"], sms["failure_ratio"]) == ("sms", 2, 0.0)

    @pytest.mark.parametrize(
        ("by", "values"),
        [
            ("provider", ["smtp", "ses"]),
            ("template", [None, "welcome"]),
            ("topic", [None, "news"]),
            ("class", [None, "temporary"]),
        ],
    )
    def test_by_anything_the_most_frequent_first(self, database_url: str, by: str, values: list[str | None]) -> None:
        put(database_url, 3, Sent(provider="smtp"))
        put(database_url, 1, Sent(provider="ses"), template="welcome", topic="news")
        put(database_url, 1, BUSY)
        found = [each["value"] for each in document(database_url, "stats", "--by", by)["values"]]
        assert found == values

    def test_by_the_hour_in_order(self, database_url: str) -> None:
        put(database_url, 1, Sent(provider="smtp"))
        rows(database_url, "UPDATE outbox.attempts SET finished_at = now() - interval '3 hours'")
        put(database_url, 2, Sent(provider="smtp"))
        earlier, later = document(database_url, "stats", "--by", "hour")["values"]
        assert (earlier["sent"], later["sent"]) == (1, 2)
        assert earlier["value"] < later["value"]
        assert len(document(database_url, "stats", "--by", "hour", "--since", "1h")["values"]) == 1

    def test_only_the_channels_that_were_asked_for(self, database_url: str) -> None:
        put(database_url, 1, Sent(provider="smtp"))
        put(database_url, 1, Sent(provider="sns"), channel="sms", recipient="+4915112345678")
        found = document(database_url, "stats", "--by", "provider", "--channel", "sms")["values"]
        assert [each["value"] for each in found] == ["sns"]

    def test_it_is_a_table_with_bars(self, database_url: str) -> None:
        put(database_url, 4, Sent(provider="smtp"))
        put(database_url, 2, Sent(provider="sns"), channel="sms", recipient="+4915112345678")
        email, sms = run(database_url, "stats").stdout.splitlines()[1:]
        assert email.split()[:3] == ["email", "4", "4"]
        assert email.endswith(" ████████████")
        assert sms.endswith(" ██████")

    def test_where_nothing_ended_it_says_so(self, database_url: str) -> None:
        assert run(database_url, "stats", "--since", "1h").stdout == "nothing ended in the last 1h\n"

    def test_what_takes_too_long_is_cut_and_says_so(self, database_url: str) -> None:
        put(database_url, 1, Sent(provider="smtp"))
        with psycopg.connect(database_url) as somebody:
            somebody.execute("LOCK TABLE outbox.attempts IN ACCESS EXCLUSIVE MODE")
            done = run(database_url, "stats", "--timeout", "100ms")
        assert done.exit_code == 1
        assert "it was cut after 100ms, and nothing is known: ask for less (--since 1h)" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--by", "chanel"], "--by: 'chanel' is nothing to count by; did you mean channel?"),
            (["--since", "yesterday"], "--since: 'yesterday' is not a duration"),
            (["--timeout", "long"], "--timeout: 'long' is not a duration"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, database_url: str, arguments: list[str], said: str) -> None:
        done = run(database_url, "stats", *arguments)
        assert done.exit_code == 2
        assert said in done.stderr


class TestAudit:
    @pytest.fixture(autouse=True)
    def _done(self, database_url: str) -> None:
        with psycopg.connect(database_url) as conn:
            record(conn, actor="ada@desk", action="pause", subject="channel:email", reason="a bad template")
            record(conn, actor="bob@desk", action="replay", subject="all", details={"count": 3})

    def test_it_is_a_table_the_newest_first(self, database_url: str) -> None:
        newest, oldest = run(database_url, "audit").stdout.splitlines()[1:]
        assert newest.endswith("count 3")
        assert "ada@desk  pause   channel:email  a bad template" in oldest

    @pytest.mark.parametrize(
        ("arguments", "actors"),
        [
            ([], ["bob@desk", "ada@desk"]),
            (["--actor", "ada@desk"], ["ada@desk"]),
            (["--action", "replay", "--action", "discard"], ["bob@desk"]),
            (["--subject", "channel:email"], ["ada@desk"]),
            (["--since", "1h"], ["bob@desk", "ada@desk"]),
            (["--since", "0s"], []),
            (["--limit", "1"], ["bob@desk"]),
        ],
    )
    def test_it_can_be_asked_for_by_who_what_and_when(
        self, database_url: str, arguments: list[str], actors: list[str]
    ) -> None:
        assert [each["actor"] for each in document(database_url, "audit", *arguments)["entries"]] == actors

    def test_when_there_is_more_it_says_so(self, database_url: str) -> None:
        assert "--limit shows more" in run(database_url, "audit", "--limit", "1").stderr

    def test_what_nobody_did_is_no_failure(self, database_url: str) -> None:
        done = run(database_url, "audit", "--actor", "eve")
        assert (done.exit_code, done.stdout) == (0, "nobody did anything of that kind\n")
        assert run(database_url, "audit", "--since", "x").exit_code == 2
