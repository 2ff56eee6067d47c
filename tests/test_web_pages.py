"""What the pages say."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

import outbox
from outbox.outcomes import Retry, Sent
from outbox.queue.look_up import look_up_recipient
from outbox.web import search, standing
from tests.command_line import run
from tests.dashboard import USERS, configured, dashboard, visiting
from tests.endings import claim_due, end, enter, put, put_dead
from tests.hands import TROUBLE, rows
from tests.scenery import configuration, scene
from tests.test_roles import made
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.dashboard import Visitor

NOBODYS = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture
def visitor(database_url: str, tmp_path: Path) -> Iterator[Visitor]:
    with visiting(configured(database_url, configuration(tmp_path), **USERS)) as visitor:
        visitor.sign_in()
        yield visitor


def test_the_overview_warns_of_what_status_warns_of(visitor: Visitor, database_url: str) -> None:
    put(database_url, 2)
    page = visitor.get("/").text
    warnings = json.loads(run(database_url, "status", "--json").stdout)["warnings"]
    assert len(warnings) == 1
    assert warnings[0] in page
    assert "<dt>Due now</dt><dd>2</dd>" in page


def test_an_empty_overview_says_so(visitor: Visitor) -> None:
    page = visitor.get("/").text
    assert "Nothing waits, and there are no dead letters." in page
    assert "No live worker." in page


def events(url: str, cookies: httpx.Cookies, into: list[tuple[str, str]], stop: threading.Event) -> None:
    with httpx.stream("GET", f"{url}/live", cookies=cookies, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name, data = "", []
        for line in answer.iter_lines():
            if stop.is_set():
                return
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data.append(line.removeprefix("data: "))
            elif not line:
                into.append((name, "\n".join(data)))
                name, data = "", []


def test_whoever_watches_is_told_what_changes(visitor: Visitor, database_url: str) -> None:
    seen: list[tuple[str, str]] = []
    stop = threading.Event()
    told = (str(visitor.client.base_url), visitor.client.cookies, seen, stop)
    watcher = threading.Thread(target=events, args=told, daemon=True)
    watcher.start()

    def due() -> list[int]:
        return [json.loads(data)["due"] for name, data in list(seen) if name == "sample"]

    wait_until(lambda: 0 in due(), timeout=30)
    put(database_url, 3)
    wait_until(lambda: 3 in due(), timeout=30)
    assert any(name == "" and "<dt>Due now</dt><dd>3</dd>" in data for name, data in seen)
    stop.set()
    watcher.join(timeout=30)
    assert not watcher.is_alive()


def test_a_notifications_page_tells_what_explain_tells(visitor: Visitor, database_url: str) -> None:
    enter(database_url, "email")
    [identity] = put(
        database_url,
        1,
        Retry(provider="smtp", failure=TROUBLE, delay=3_600),
        template="welcome",
        topic="news",
        group_key="order:42",
        idempotency_key="welcome:1",
        priority="high",
        expires_at=timedelta(hours=2),
    )
    page = visitor.get(f"/notifications/{identity}").text
    told = json.loads(run(database_url, "explain", identity, "--json").stdout)
    assert told["state"] == "retrying"
    for words in (
        "user0@example.org, by email",
        "order:42",
        "welcome:1",
        "high (2)",
        "451 4.3.0",
        "try later",
        "temporary",
    ):
        assert words in page
    assert told["next"].split("; if it fails")[0].split(" (")[0] in page
    assert 'class="badge care"' in page


def test_every_attempt_is_on_its_page_in_order(visitor: Visitor, database_url: str) -> None:
    put(database_url)
    end(database_url, Retry(provider="smtp", failure=TROUBLE, delay=0.0))
    claim_due(database_url, lease=0)
    [identity] = end(database_url, Sent(provider="postmark", provider_message_id="<1@example.org>"))
    page = visitor.get(f"/notifications/{identity}").text
    order = [page.index(f"<b>{event}</b>") for event in ("enqueued", "retry", "lost", "sent")]
    assert order == sorted(order)
    assert "they call it" in page
    assert "&lt;1@example.org&gt;" in page


def test_a_window_of_a_digest_and_a_dead_letter_that_is_left_have_a_page_too(
    visitor: Visitor, database_url: str
) -> None:
    with psycopg.connect(database_url) as conn:
        likes: dict[str, Any] = {"digest_key": "likes", "digest_window": timedelta(minutes=10)}
        window = outbox.enqueue(conn, channel="email", recipient="ada@example.org", **likes)
    page = visitor.get(f"/notifications/{window.id}").text
    assert "1 item of the digest likes waits here" in page
    [dead] = put_dead(database_url)
    rows(database_url, "DELETE FROM outbox.notifications WHERE id = %s", dead)
    page = visitor.get(f"/notifications/{dead}").text
    assert "its dead letter is kept" in page


def test_what_there_is_not_has_a_page_that_says_so(visitor: Visitor) -> None:
    for path in (f"/notifications/{NOBODYS}", "/notifications/nonsense", "/nowhere", "/assets/x/../../etc/passwd"):
        answer = visitor.get(path)
        assert answer.status_code == 404
        assert "<h1>There is nothing here</h1>" in answer.text


def test_an_operator_reads_what_it_says_in_a_frame_that_can_do_nothing(visitor: Visitor, database_url: str) -> None:
    [identity] = put(database_url, template="welcome", payload={"name": "Ada"})
    page = visitor.get(f"/notifications/{identity}/contents").text
    assert "Welcome, Ada" in page
    assert '<iframe class="frame" sandbox=""' in page
    frame = visitor.get(f"/notifications/{identity}/frame")
    assert "Good to have you here" in frame.text
    policy = frame.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "frame-ancestors 'self'" in policy
    assert frame.headers["x-frame-options"] == "SAMEORIGIN"


def test_what_cannot_be_rendered_says_why_and_shows_the_payload(visitor: Visitor, database_url: str) -> None:
    [identity] = put(database_url, template="farewell", payload={"name": "Ada"})
    page = visitor.get(f"/notifications/{identity}/contents").text
    assert "It cannot be rendered here: there is no template farewell" in page
    assert "&#34;name&#34;: &#34;Ada&#34;" in page


def test_a_cancelled_notification_is_not_sent_and_the_audit_says_who_did_it(
    visitor: Visitor, database_url: str
) -> None:
    [identity] = put(database_url)
    visitor.get(f"/notifications/{identity}")
    done = visitor.post(f"/notifications/{identity}/cancel", reason="it was a test")
    assert (done.status_code, done.headers["location"]) == (303, f"/notifications/{identity}")
    page = visitor.get(f"/notifications/{identity}").text
    assert "It was taken back, and will not be sent." in page
    assert "it was a test" in page
    assert "It was taken back" not in visitor.get(f"/notifications/{identity}").text
    assert rows(database_url, "SELECT actor, action, subject, reason FROM outbox.audit") == [
        ("ada", "cancel", str(identity), "it was a test")
    ]
    visitor.post(f"/notifications/{identity}/cancel")
    assert "Nothing was changed" in visitor.get("/").text
    assert rows(database_url, "SELECT count(*) FROM outbox.audit") == [(1,)]


class TestSearch:
    def test_an_id_leads_to_its_page(self, visitor: Visitor) -> None:
        visitor.get("/search")
        for query in (NOBODYS, f" {NOBODYS.upper()} "):
            assert visitor.post("/search", q=query).headers["location"] == f"/notifications/{NOBODYS}"

    def test_a_key_is_found_on_every_channel(self, visitor: Visitor, database_url: str) -> None:
        ids = put(database_url, idempotency_key="welcome:1")
        ids += put(database_url, idempotency_key="welcome:1", channel="sms", recipient="+4915112345678")
        visitor.get("/search")
        page = visitor.post("/search", q="welcome:1", days="1").text
        for identity in ids:
            assert f"/notifications/{identity}" in page

    def test_a_recipient_is_found_however_they_write_themselves(self, visitor: Visitor, database_url: str) -> None:
        [identity] = put(database_url, recipient="Ada@Example.org")
        put(database_url, recipient="grace@example.org")
        visitor.get("/search")
        page = visitor.post("/search", q="ADA@example.ORG", days="7").text
        assert f"/notifications/{identity}" in page
        assert "grace@" not in page
        assert "1 notification, looked through back to " in page

    def test_what_was_searched_for_is_in_no_address(self, visitor: Visitor) -> None:
        visitor.get("/search")
        answer = visitor.post("/search", q="ada@example.org", days="7")
        assert answer.status_code == 200
        assert "ada@" not in str(answer.url)

    def test_it_looks_day_by_day_and_no_longer_than_it_may(self, conn: psycopg.Connection, database_url: str) -> None:
        put(database_url, recipient="ada@example.org")
        assert [found.recipient for found in search.look(conn, "ada@example.org", 7).by_recipient] == [
            "ada@example.org"
        ]
        late = search.look(conn, "ada@example.org", 7, budget=-1)
        assert late.cut
        assert late.by_recipient == []
        assert late.wider is None

    def test_it_shows_no_more_than_a_page_and_says_that_there_is_more(
        self, conn: psycopg.Connection, database_url: str
    ) -> None:
        put(database_url, 60, recipient="ada@example.org")
        found = search.look(conn, "ada@example.org", 1)
        assert len(found.by_recipient) == 50
        assert found.cut

    def test_one_day_reads_the_partitions_of_that_day_alone(self, conn: psycopg.Connection) -> None:
        plan = "\n".join(row[0] for row in explained(conn))
        scanned = {line.strip() for line in plan.splitlines() if " on notifications_" in line}
        assert len(scanned) == 1, plan


def explained(conn: psycopg.Connection) -> list[tuple[str]]:
    from outbox import connections  # noqa: PLC0415
    from outbox.queue.look_up import BY_RECIPIENT  # noqa: PLC0415

    (today,) = connections.run(conn, "SELECT CAST(current_date AS text)", {})[0]
    assert look_up_recipient(conn, "ada@example.org", conn.execute("SELECT current_date").fetchone()[0], limit=5) == []  # type: ignore[index]
    asked: connections.Parameters = {"recipients": ["ada@example.org"], "day": today, "limit": "5"}
    return [tuple(row) for row in connections.run(conn, f"EXPLAIN (ANALYZE, COSTS OFF) {BY_RECIPIENT}", asked)]


def test_while_the_database_is_away_a_page_says_so_and_shows_no_address_of_it() -> None:
    away = "postgresql://ghost:secret@127.0.0.1:1/nowhere"
    with dashboard(configured(away)) as url:
        answer = httpx.get(url)
        assert answer.status_code == 503
        assert "<h1>The database does not answer</h1>" in answer.text
        assert "ghost" not in answer.text
        assert httpx.get(f"{url}/healthz").text == "ok\n"


def test_a_database_without_an_outbox_says_what_to_do(empty_url: str) -> None:
    with dashboard(configured(empty_url)) as url:
        answer = httpx.get(url)
        assert answer.status_code == 503
        assert "run `outbox migrate`" in answer.text


class TestOverview:
    def test_it_says_how_fast_each_channel_goes_by_what_workers_report(
        self, visitor: Visitor, database_url: str
    ) -> None:
        scene(database_url)
        page = visitor.get("/").text
        assert "<dt>Sent</dt><dd>84<small>/s</small></dd>" in page
        assert "<dt>Failing</dt><dd>1.2<small>/s</small></dd>" in page
        assert "<b>postmark</b> is held by worker" in page
        row = page.partition('<tr id="channel-email">')[2].partition("</tr>")[0]
        assert "84<small>/s</small>" in row
        assert ">bulk</td>" in page.replace("</span>bulk</td>", ">bulk</td>")

    def test_its_charts_have_the_hours_before(self, conn: psycopg.Connection, database_url: str) -> None:
        scene(database_url)
        hour = standing.history(conn, "1h")
        assert 58 <= len(hour) <= 61
        busy = [one["sent"] for one in hour if one["sent"] is not None]
        assert 30 < sum(busy) / len(busy) < 110
        assert hour[-1]["due"] is not None
        assert hour[-1]["sent"] is None  # this minute is not over
        assert [one["at"] for one in hour] == sorted(one["at"] for one in hour)
        assert len(standing.history(conn, "24h")) < 20

    def test_too_much_to_count_is_shown_as_it_was_measured(
        self, visitor: Visitor, database_url: str, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scene(database_url)
        counted = standing.look(conn)
        conn.rollback()
        monkeypatch.setattr(standing, "_FEW", 10)
        measured = standing.look(conn)
        assert counted.measured is None
        assert measured.measured is not None
        for name in ("due", "leased", "retrying", "scheduled", "blocked", "dead", "workers"):
            assert measured.total(name) == counted.total(name), name
        assert "ago: there is too much to count" in visitor.get("/").text


def test_an_auditors_login_is_enough_to_look(cloned_url: str, tmp_path: Path) -> None:
    [identity] = put(cloned_url, recipient="ada@example.org", idempotency_key="k")
    with (
        made(cloned_url) as roles,
        visiting(configured(roles.login("auditor"), configuration(tmp_path))) as visitor,
    ):
        for path in ("/", "/?span=7d", "/search", f"/notifications/{identity}"):
            assert visitor.get(path).status_code == 200, path
        for query in ("ada@example.org", "k"):
            assert f"/notifications/{identity}" in visitor.post("/search", q=query, days="1").text
        for refused in (
            visitor.get(f"/notifications/{identity}/contents"),
            visitor.post(f"/notifications/{identity}/cancel"),
        ):
            assert refused.status_code == 403
            assert "does not let this dashboard&#39;s login do that" in refused.text
