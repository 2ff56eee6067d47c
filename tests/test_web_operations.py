"""Channels, suppressions, schedules, workers and the audit in the dashboard."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox import schedules, suppressions
from outbox.queue.audit import record
from outbox.reports import Hold, InHand, Report, Tally
from tests.aftermath import aftermath
from tests.dashboard import USERS, configured, visiting
from tests.endings import enter, put
from tests.hands import rows
from tests.scenery import configuration
from tests.test_roles import made

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.dashboard import Visitor

AUDIT = "SELECT actor, action, subject, reason FROM outbox.audit WHERE action <> 'sign_out' ORDER BY id"
QUERY = "SELECT recipient FROM (VALUES ('ada@example.org'), ('grace@example.org')) v (recipient)"


@pytest.fixture
def visitor(database_url: str, tmp_path: Path) -> Iterator[Visitor]:
    with visiting(configured(database_url, configuration(tmp_path), **USERS)) as visitor:
        visitor.sign_in()
        yield visitor


def working(url: str, *, skew: float = 0.0, version: str = "1.0") -> int:
    """Let a worker live that has sent and failed, and holds a provider."""
    worker = enter(url, "email")
    tallies = (
        Tally("email", "smtp", "sent", None, 900, 90),
        Tally("email", "smtp", "retry", "temporary", 100, 10),
        Tally("email", "postmark", "sent", None, 5, 0),
    )
    hold = Hold("email", "postmark", "misconfigured", "401", held_for=60, probe_in=30)
    in_hand = {"email": InHand(2, 3)}
    report = Report(
        0, 10, listening=True, concurrency=50, levels=(5,), drain=False, in_hand=in_hand, tallies=tallies, holds=(hold,)
    )
    told = "UPDATE outbox.workers SET report = %s, seen_at = clock_timestamp(), version = %s WHERE id = %s"
    rows(url, told, json.dumps(report.to_json()), version, worker)
    clock = "jsonb_set(report, '{clock}', to_jsonb(date_part('epoch', seen_at) + %s))"
    rows(url, f"UPDATE outbox.workers SET report = {clock} WHERE id = %s", skew, worker)
    return worker


class TestChannels:
    def test_a_channel_shows_what_waits_and_how_fast_it_goes(self, visitor: Visitor, database_url: str) -> None:
        put(database_url, 7)
        working(database_url)
        page = visitor.get("/channels").text
        line = page[page.index('id="channel-email"') :]
        line = line[: line.index("</tr>")]
        for words in ("serving", "</span>7</td>", "10.0/s", "10 %"):
            assert words in line

    def test_a_provider_that_is_held_says_why_and_until_when(self, visitor: Visitor, database_url: str) -> None:
        working(database_url)
        page = visitor.get("/channels").text
        for words in ("misconfigured", "401", "by 1 of 1 worker since", ">1m ago</time>; next probe"):
            assert words in page
        assert "holds it for email" in visitor.get("/channels/provider/postmark").text

    @pytest.mark.parametrize(("scope", "name"), [("channel", "email"), ("provider", "smtp")])
    def test_it_is_paused_and_resumed(self, visitor: Visitor, database_url: str, scope: str, name: str) -> None:
        where = f"/channels/{scope}/{name}"
        visitor.get(where)
        done = visitor.post(f"{where}/pause", until="2h", reason="they are down")
        assert done.headers["location"] == where
        page = visitor.get(where).text
        assert "is paused for 2h." in page
        assert "they are down" in visitor.get("/channels").text
        [(until,)] = rows(database_url, "SELECT until - paused_at FROM outbox.pauses")
        assert abs(until - timedelta(hours=2)) < timedelta(seconds=1)
        visitor.post(f"{where}/resume", reason="they are up")
        assert "is resumed" in visitor.get(where).text
        visitor.post(f"{where}/resume")
        assert "It was not paused." in visitor.get(where).text
        subject = f"{scope}:{name}"
        assert rows(database_url, AUDIT) == [
            ("ada", "pause", subject, "they are down"),
            ("ada", "resume", subject, "they are up"),
        ]

    def test_workers_that_heed_no_pause_are_named(self, visitor: Visitor, database_url: str) -> None:
        working(database_url)
        rows(database_url, "UPDATE outbox.workers SET providers = '{}', version = '0.0.9'")
        where = "/channels/channel/email"
        assert "goes on sending" not in visitor.get(where).text
        visitor.post(f"{where}/pause")
        page = visitor.get(where).text
        assert "goes on sending" in page
        assert "version 0.0.9" in page

    @pytest.mark.parametrize("until", ["soon", "2030-01-31T09:00", "-1h"])
    def test_an_end_that_is_none_is_refused(self, visitor: Visitor, database_url: str, until: str) -> None:
        visitor.get("/channels/channel/email")
        assert visitor.post("/channels/channel/email/pause", until=until).status_code == 400
        visitor.post("/channels/channel/email/pause", until="2001-01-01T00:00Z")
        assert "It was not paused: " in visitor.get("/channels/channel/email").text
        assert rows(database_url, "SELECT count(*) FROM outbox.pauses") == [(0,)]

    def test_what_there_cannot_be_has_no_page(self, visitor: Visitor) -> None:
        for path in ("/channels/channel/Nonsense", "/channels/planet/mars", "/channels/provider/nobodys"):
            assert visitor.get(path).status_code == 404


class TestSuppressions:
    def test_somebody_is_found_added_and_removed(self, visitor: Visitor, database_url: str) -> None:
        put(database_url, recipient="ada@example.org")
        visitor.get("/suppressions")
        visitor.post(
            "/suppressions/add", channel="email", recipient="Ada@example.org", reason="manual", because="ticket 7"
        )
        page = visitor.get("/suppressions").text
        assert "1 notification that waited ended as suppressed." in page
        found = visitor.post("/suppressions", recipient="ADA@example.org")
        assert "ada@example.org" in found.text
        assert "?" not in str(found.url)
        assert "No suppression matches." in visitor.post("/suppressions", recipient="grace@example.org").text
        visitor.post("/suppressions/remove", channel="email", recipient="ada@example.org", because="ticket 8")
        assert "Removed (manual)." in visitor.get("/suppressions").text
        assert rows(database_url, AUDIT) == [
            ("ada", "suppress", "suppression:email", "ticket 7"),
            ("ada", "unsuppress", "suppression:email", "ticket 8"),
        ]
        assert "example.org" not in str(rows(database_url, "SELECT details FROM outbox.audit"))

    def test_a_complaint_is_lifted_only_by_somebody_who_insists(self, visitor: Visitor, database_url: str) -> None:
        with psycopg.connect(database_url) as conn:
            suppressions.add(conn, channel="email", recipient="ada@example.org", reason="complaint")
        visitor.get("/suppressions")
        whom = {"channel": "email", "recipient": "ada@example.org"}
        visitor.post("/suppressions/remove", **whom)
        assert "Nothing was removed" in visitor.get("/suppressions").text
        visitor.post("/suppressions/remove", **whom, insists="yes")
        assert "Removed (complaint)." in visitor.get("/suppressions").text
        assert [row[1] for row in rows(database_url, AUDIT)] == ["unsuppress"]

    def test_what_cannot_be_says_why(self, visitor: Visitor, database_url: str) -> None:
        visitor.get("/suppressions")
        for given in ({"channel": "E mail", "recipient": "a@b.example"}, {"channel": "email", "recipient": "nobody"}):
            visitor.post("/suppressions/add", reason="manual", **given)
            assert "Nothing was added: " in visitor.get("/suppressions").text
        assert rows(database_url, "SELECT count(*) FROM outbox.suppressions") == [(0,)]

    def test_they_come_page_after_page(self, visitor: Visitor, database_url: str) -> None:
        with psycopg.connect(database_url) as conn:
            for number in range(60):
                suppressions.add(conn, channel="email", recipient=f"p{number:02}@example.org", reason="manual")
        page = visitor.get("/suppressions").text
        assert "p49@" in page
        assert "p50@" not in page
        after = page.partition('name="after" value="')[2].partition('"')[0]
        further = visitor.post("/suppressions", after=after).text
        assert "p50@" in further
        assert "p49@" not in further
        assert visitor.post("/suppressions", after="nonsense").status_code == 400


class TestSchedules:
    @pytest.fixture(autouse=True)
    def schedule(self, database_url: str) -> None:
        with psycopg.connect(database_url) as conn:
            schedules.add(conn, "digest", "0 9 * * MON", QUERY, time_zone="Europe/Berlin", channel="email")

    def test_it_is_listed_with_when_it_runs(self, visitor: Visitor) -> None:
        page = visitor.get("/schedules").text
        for words in ("digest", "0 9 * * MON", "Europe/Berlin", "ready", "never"):
            assert words in page
        page = visitor.get("/schedules/digest").text
        assert page.count("Mon 20") == 5
        assert "VALUES (&#39;ada@example.org&#39;)" in page
        assert visitor.get("/schedules/nonsense").status_code == 400

    def test_it_is_paused_and_resumed(self, visitor: Visitor, database_url: str) -> None:
        visitor.get("/schedules/digest")
        visitor.post("/schedules/digest/pause", reason="holidays")
        assert "It is paused." in visitor.get("/schedules/digest").text
        visitor.post("/schedules/digest/pause")
        assert "It was paused already." in visitor.get("/schedules/digest").text
        visitor.post("/schedules/digest/resume")
        assert "It runs again, next at Mon " in visitor.get("/schedules/digest").text
        assert rows(database_url, AUDIT) == [
            ("ada", "pause", "schedule:digest", "holidays"),
            ("ada", "resume", "schedule:digest", None),
        ]

    def test_it_is_run_now_by_somebody_who_is_sure(self, visitor: Visitor, database_url: str) -> None:
        visitor.get("/schedules/digest")
        visitor.post("/schedules/digest/run")
        assert "Say that you are sure" in visitor.get("/schedules/digest").text
        assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)]
        visitor.post("/schedules/digest/run", sure="yes", reason="they asked")
        page = visitor.get("/schedules/digest").text
        assert "2 notifications enqueued." in page, page[page.index("<main") :][:900]
        assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(2,)]
        assert rows(database_url, AUDIT) == [("ada", "run_now", "schedule:digest", "they asked")]

    def test_a_query_that_fails_or_takes_too_long_enqueues_nothing(self, visitor: Visitor, database_url: str) -> None:
        visitor.get("/schedules/digest")
        for query, words in (
            ("SELECT recipient FROM gone", "Its query failed, and nothing was enqueued"),
            ("SELECT 'a@example.org' AS recipient FROM (SELECT pg_sleep(30)) s", "took more than 5 s"),
        ):
            rows(database_url, "UPDATE outbox.schedules SET query = %s", query)
            visitor.post("/schedules/digest/run", sure="yes")
            assert words in visitor.get("/schedules/digest").text
        assert rows(database_url, AUDIT) == []

    def test_its_query_is_for_operators(self, visitor: Visitor) -> None:
        visitor.become("bob")
        page = visitor.get("/schedules/digest").text
        assert "Its query is for operators alone." in page
        assert "VALUES" not in page
        assert "Run now" not in page


class TestWorkers:
    def test_a_worker_tells_what_it_does(self, visitor: Visitor, database_url: str) -> None:
        assert "No live worker." in visitor.get("/workers").text
        working(database_url)
        page = visitor.get("/workers").text
        for words in ("<dt>Live</dt><dd>1</dd>", "<dt>In hand</dt><dd>5</dd>", "/ 50", "10.0/s", "1,005", "postmark"):
            assert words in page
        assert 'class="notice care"' not in page

    def test_what_is_amiss_with_them_is_said(self, visitor: Visitor, database_url: str) -> None:
        working(database_url)
        late = working(database_url, skew=90, version="0.9")
        page = visitor.get("/workers").text
        assert "Workers of 2 versions run at once: 0.9, 1.0." in page
        assert "is 1m 30s ahead of the database&#39;s" in page
        deaf = "UPDATE outbox.workers SET report = jsonb_set(report, '{listening}', 'false') WHERE id = %s"
        rows(database_url, deaf, late)
        assert "hears no NOTIFY" in visitor.get("/workers").text


class TestAudit:
    def test_it_says_who_did_what_page_after_page(self, visitor: Visitor, database_url: str) -> None:
        with psycopg.connect(database_url) as conn:
            for number in range(60):
                who, details = ("ada", "grace")[number % 2], {"replayed": number, "ids": ["x"]}
                record(
                    conn, actor=who, action="replay", subject="group:c2fc52028c", reason=f"r{number}.", details=details
                )
            record(conn, actor="grace", action="pause", subject="channel:email", reason="<b>down</b>")
        page = visitor.get("/audit").text
        assert 'href="/channels/channel/email"' in page
        assert 'href="/dead-letters/groups/c2fc52028c"' in page
        assert "&lt;b&gt;down" in page
        assert "replayed 59" in page
        assert "r11." in page
        assert "r10." not in page
        further = page.partition('rel="next" href="')[2].partition('"')[0]
        page = visitor.get(f"/audit{further}").text
        assert "r10." in page
        assert "Older ones" not in page
        assert "r58." not in visitor.get("/audit?actor=grace").text
        assert "channel:email" in visitor.get("/audit?action=pause&subject=channel:email").text
        assert "Nothing matches." in visitor.get("/audit?actor=eve").text
        assert visitor.get("/audit?before=nonsense").status_code == 400


ACTIONS = {
    "/channels/channel/email/pause": {"until": "1h"},
    "/channels/channel/email/resume": {},
    "/suppressions/add": {"channel": "email", "recipient": "a@example.org", "reason": "manual"},
    "/suppressions/remove": {"channel": "email", "recipient": "ada@example.org"},
    "/schedules/digest/pause": {},
    "/schedules/digest/resume": {},
    "/schedules/digest/run": {"sure": "yes"},
}


@pytest.mark.parametrize("who", ["a viewer", "somebody with a token of nobody's"])
def test_who_may_not_changes_nothing(visitor: Visitor, database_url: str, who: str) -> None:
    with psycopg.connect(database_url) as conn:
        schedules.add(conn, "digest", "@daily", QUERY, channel="email")
        suppressions.add(conn, channel="email", recipient="ada@example.org", reason="manual")
    if who == "a viewer":
        visitor.become("bob")
        for path in ("/channels", "/channels/channel/email", "/suppressions", "/schedules", "/workers", "/audit"):
            page = visitor.get(path)
            assert page.status_code == 200
            assert "danger" not in page.text
    visitor.get("/suppressions")
    visitor.token += "" if who == "a viewer" else "x"
    for path, fields in ACTIONS.items():
        assert visitor.post(path, **fields).status_code == 403, path
    assert rows(database_url, AUDIT) == []
    assert rows(database_url, "SELECT count(*) FROM outbox.suppressions") == [(1,)]
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)]


def test_a_login_that_may_only_look_sees_every_page(cloned_url: str, tmp_path: Path) -> None:
    found = aftermath(cloned_url)
    path = configuration(tmp_path)
    with made(cloned_url) as roles, visiting(configured(roles.login("auditor"), path, **USERS)) as visitor:
        visitor.sign_in()
        for where in (
            "/dead-letters",
            "/dead-letters/letters",
            f"/dead-letters/groups/{found['group']}",
            f"/dead-letters/groups/{found['group']}/replay",
            f"/dead-letters/letters/{found['letter']}",
            "/channels",
            "/channels/channel/sms",
            "/suppressions",
            "/schedules",
            "/schedules/weekly-digest",
            "/workers",
            "/audit",
        ):
            assert visitor.get(where).status_code == 200, where
        answer = visitor.post("/channels/channel/sms/resume")
        assert answer.status_code == 403
        assert "docs/roles.md" in answer.text


def test_a_login_of_operators_is_enough_for_what_operators_do(cloned_url: str, tmp_path: Path) -> None:
    found = aftermath(cloned_url)
    letters = "/dead-letters/letters"
    path = configuration(tmp_path)
    with made(cloned_url) as roles, visiting(configured(roles.login("operator"), path, **USERS)) as visitor:
        visitor.sign_in()
        visitor.get("/suppressions")
        for where, fields in {
            "/channels/channel/sms/resume": {},
            "/channels/channel/sms/pause": {"until": "1h"},
            f"{letters}/{found['discarded']}/reopen": {},
            f"{letters}/{found['discarded']}/discard": {"reason": "x"},
            f"{letters}/{found['wrong']}/edit": {"recipient": "grace@example.org", "payload": '{"name": "Grace"}'},
            f"/dead-letters/groups/{found['group']}/replay": {"channel": "email", "first": "3"},
            "/suppressions/add": {"channel": "email", "recipient": "eve@example.org", "reason": "manual"},
            "/suppressions/remove": {"channel": "email", "recipient": "eve@example.org"},
        }.items():
            assert visitor.post(where, **fields).status_code == 303, where
    done = [row[1] for row in rows(cloned_url, AUDIT) if row[0] == "ada"]
    assert done[1:] == ["resume", "pause", "reopen", "discard", "edit", "replay", "suppress", "unsuppress"]
