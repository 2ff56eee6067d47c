"""What is done by a command leaves the trace that the same click in the dashboard leaves, and nothing of anybody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.outcomes import Sent
from outbox.terminal.actor import whoami
from tests.command_line import run, run_on_a_terminal
from tests.dashboard import USERS, configured, visiting
from tests.endings import put
from tests.hands import rows
from tests.scenery import configuration
from tests.test_roles import made
from tests.topical import say

if TYPE_CHECKING:
    from pathlib import Path

ADA = "ada@example.org"
TO_ADA = ("--channel", "email", "--recipient", ADA)
FILE = "channel,recipient,reason\n" + "".join(f"email,user{number}@example.org,stop\n" for number in range(20))
WANTED = "channel,recipient,topic,wanted\n" + "".join(f"email,u{number}@example.org,news,no\n" for number in range(20))


def audit(url: str) -> list[tuple[str, str, dict[str, Any]]]:
    """What was done, to what, and the details; by whoever types, and with nothing of anybody in it."""
    written = rows(url, "SELECT actor, action, subject, details, reason FROM outbox.audit ORDER BY id")
    assert all((row[0], row[4]) == (whoami(), None) for row in written)
    assert "example.org" not in str([row[1:] for row in written])
    return [row[1:4] for row in written]


def done(url: str, *command: object, given: str | None = None, code: int = 0) -> str:
    result = run(url, *command, given=given)
    assert result.exit_code == code, result.output
    return result.stdout


# suppress


def test_a_suppression_is_recorded_as_the_dashboard_records_it(database_url: str, tmp_path: Path) -> None:
    put(database_url, 2, recipient=ADA)
    done(database_url, "suppress", "add", *TO_ADA, "--reason", "unsubscribed")
    done(database_url, "suppress", "add", *TO_ADA, "--topic", "news")
    done(database_url, "suppress", "remove", *TO_ADA, "--topic", "news", "--strong")
    by_command = audit(database_url)
    assert by_command == [
        ("suppress", "suppression:email", {"reason": "unsubscribed", "topic": None, "ended": 2}),
        ("suppress", "suppression:email", {"reason": "manual", "topic": "news", "ended": 0}),
        ("unsuppress", "suppression:email", {"reason": "manual", "topic": "news"}),
    ]
    with visiting(configured(database_url, configuration(tmp_path), **USERS)) as visitor:
        visitor.sign_in()
        visitor.get("/suppressions")
        about = {"channel": "email", "recipient": ADA, "topic": "news"}
        visitor.post("/suppressions/add", **about, reason="manual")
        visitor.post("/suppressions/remove", **about, insists="yes")
    by_click = rows(database_url, "SELECT action, subject, details FROM outbox.audit WHERE actor = 'ada' ORDER BY id")
    assert by_click == by_command[1:]


def test_what_was_refused_or_was_not_there_leaves_no_trace(database_url: str) -> None:
    done(database_url, "suppress", "remove", *TO_ADA, code=1)
    done(database_url, "suppress", "add", "--channel", "email", "--recipient", "ada", code=2)
    done(database_url, "suppress", "import", "-", "--dry-run", given=FILE)
    done(database_url, "suppress", "import", "-", given=f"{FILE}email,ada,stop\n", code=2)
    done(database_url, "preference", "set", *TO_ADA, "--topic", "news", "--clear")
    done(database_url, "preference", "import", "-", "--dry-run", given=WANTED)
    done(database_url, "erase", "--recipient", ADA, "--dry-run")
    assert audit(database_url) == []


def test_the_record_and_what_it_tells_of_are_one_transaction(cloned_url: str) -> None:
    rows(
        cloned_url,
        "CREATE FUNCTION public.full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE disk_full USING MESSAGE = 'the disk is full'; END $$; "
        "CREATE TRIGGER full_disk BEFORE INSERT ON outbox.audit FOR EACH ROW EXECUTE FUNCTION public.full()",
    )
    put(cloned_url, recipient=ADA)
    for command in (
        ("suppress", "add", *TO_ADA),
        ("preference", "set", *TO_ADA, "--topic", "news", "--no"),
        ("erase", "--recipient", ADA, "--yes"),
    ):
        assert "the disk is full" in run(cloned_url, *command).stderr, command
    for what, given in (("suppress", FILE), ("preference", WANTED)):
        assert "the disk is full" in run(cloned_url, what, "import", "-", given=given).stderr, what
    for table in ("suppressions", "preferences"):
        assert rows(cloned_url, "SELECT count(*) FROM outbox." + table) == [(0,)]
    assert rows(cloned_url, "SELECT recipient FROM outbox.notifications") == [(ADA,)]


def test_an_import_of_many_chunks_is_one_record_with_the_count(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.queue.load.CHUNK", 7)
    monkeypatch.setattr("outbox.queue.load_preferences.CHUNK", 7)
    done(database_url, "suppress", "import", "-", given=f"{FILE}email,USER1@example.org,stop\n")
    done(database_url, "preference", "import", "-", given=WANTED)
    assert audit(database_url) == [
        ("suppress", "suppressions", {"lines": 21, "suppressions": 20}),
        ("set_preference", "preferences", {"lines": 20, "preferences": 20}),
    ]


def test_an_import_that_is_stopped_after_its_first_chunk_has_left_its_trace(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise psycopg.OperationalError("the network is gone")

    monkeypatch.setattr("outbox.queue.load.sweep", stop)
    assert "the network is gone" in run(database_url, "suppress", "import", "-", given=FILE).stderr
    assert rows(database_url, "SELECT count(*) FROM outbox.suppressions") == [(20,)]
    assert audit(database_url) == [("suppress", "suppressions", {"lines": 20, "suppressions": 20})]


# preference


def test_what_somebody_wants_is_recorded_without_who_it_is(database_url: str) -> None:
    say(database_url, news={})
    put(database_url, 2, recipient=ADA, topic="news")
    about = ("preference", "set", *TO_ADA, "--topic", "news")
    done(database_url, *about, "--no", "--source", f"a mail of {ADA}")
    done(database_url, "suppress", "add", *TO_ADA, "--topic", "news", "--reason", "unsubscribed")
    done(database_url, *about, "--yes")
    done(database_url, *about, "--clear")
    done(database_url, *about, "--clear")
    assert [entry for entry in audit(database_url) if entry[0] != "suppress"] == [
        ("set_preference", "preference:email", {"topic": "news", "wanted": False, "ended": 2, "lifted": None}),
        ("set_preference", "preference:email", {"topic": "news", "wanted": True, "ended": 0, "lifted": "unsubscribed"}),
        ("clear_preference", "preference:email", {"topic": "news", "ended": 0}),
    ]


# schedule


def test_what_is_done_to_a_schedule_is_on_its_page_in_the_dashboard(database_url: str, tmp_path: Path) -> None:
    query = f"SELECT '{ADA}' AS recipient"
    given = ("--sql", query, "--channel", "email", "--tz", "Europe/Berlin")
    done(database_url, "schedule", "add", "digest", "0 9 * * MON", *given)
    for verb in ("pause", "pause", "resume", "resume", "run-now"):
        done(database_url, "schedule", verb, "digest")
    terms = {"cron": "0 9 * * MON", "time_zone": "Europe/Berlin", "replace": False}
    expected = [("add", terms), ("pause", {}), ("resume", {}), ("run_now", {"enqueued": 1})]
    assert audit(database_url) == [(action, "schedule:digest", details) for action, details in expected]
    with visiting(configured(database_url, configuration(tmp_path), **USERS)) as visitor:
        visitor.sign_in()
        page = visitor.get("/schedules/digest").text
        assert page.count(whoami()) >= len(expected)
    done(database_url, "schedule", "remove", "digest", "--yes")
    assert audit(database_url)[-1] == ("remove", "schedule:digest", {})


def test_a_run_that_fails_was_not_run(database_url: str) -> None:
    rows(database_url, "DROP TABLE IF EXISTS public.customers; CREATE TABLE public.customers (recipient text)")
    query = "SELECT recipient FROM public.customers"
    done(database_url, "schedule", "add", "digest", "@daily", "--sql", query, "--channel", "email")
    rows(database_url, "DROP TABLE public.customers")
    done(database_url, "schedule", "run-now", "digest", code=1)
    done(database_url, "schedule", "pause", "none", code=1)
    assert [action for action, *_ in audit(database_url)] == ["add"]


# erase


def test_an_erasure_leaves_its_counts_and_nobody(database_url: str, tmp_path: Path) -> None:
    put(database_url, 2, Sent(provider="smtp", provider_message_id="250 ok"), recipient=ADA)
    put(database_url, 1, recipient=ADA, idempotency_key=f"welcome:{ADA}")
    done(database_url, "suppress", "add", "--channel", "sms", "--recipient", "+447700900001")
    done(database_url, "erase", "--recipient", ADA, "--channel", "email", "--yes")
    done(database_url, "erase", "--recipient", "+447700900001", "--yes", "--suppressions")
    nothing = dict.fromkeys(("cancelled", "leased", "attempts", "dead_letters", "inbox", "idempotency_keys"), 0)
    nothing |= {"notifications": 0, "suppressions": 0}
    assert audit(database_url)[1:] == [
        ("erase", "person:email", {"begun": True}),
        ("erase", "person:email", nothing | {"notifications": 3, "cancelled": 1, "attempts": 2, "idempotency_keys": 1}),
        ("erase", "person", {"begun": True}),
        ("erase", "person", nothing | {"suppressions": 1}),
    ]
    assert rows(database_url, "SELECT 1 FROM outbox.audit a WHERE to_jsonb(a)::text ~ '7700900001'") == []
    with visiting(configured(database_url, configuration(tmp_path), **USERS)) as visitor:
        visitor.sign_in()
        page = visitor.get("/audit?action=erase").text
        assert page.count("<b>erase</b>") == 4
        assert "attempts 2, cancelled 1, notifications 3, idempotency keys 1" in page
        assert "suppression:sms" not in page
    listed = json.loads(done(database_url, "audit", "--action", "erase", "--subject", "person:email", "--json"))
    assert [entry["details"].get("notifications") for entry in listed["entries"]] == [3, None]


def test_an_erasure_that_is_stopped_has_left_its_trace(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise psycopg.OperationalError("the network is gone")

    monkeypatch.setattr("outbox.terminal.erase.erase_keys", stop)
    put(database_url, 1, recipient=ADA)
    assert "the network is gone" in run(database_url, "erase", "--recipient", ADA, "--yes").stderr
    assert rows(database_url, "SELECT 1 FROM outbox.notifications") == []
    assert audit(database_url) == [("erase", "person", {"begun": True})]


def test_who_is_asked_and_says_no_leaves_no_trace(database_url: str) -> None:
    put(database_url, 1, recipient=ADA)
    assert run_on_a_terminal(database_url, "erase", "--recipient", ADA, answer="n\n")[0] == 1
    assert audit(database_url) == []


def test_an_address_in_the_place_of_a_channel_is_refused(database_url: str) -> None:
    result = run(database_url, "erase", "--recipient", ADA, "--channel", ADA, "--yes")
    assert (result.exit_code, result.stderr.partition(" is not")[0]) == (2, f"error: --channel: '{ADA}'")
    assert audit(database_url) == []


# Who may


def test_who_may_not_write_the_audit_does_all_that_they_may_without_a_trace(cloned_url: str) -> None:
    say(cloned_url, news={})
    put(cloned_url, 2, recipient=ADA)
    with made(cloned_url) as roles:
        url = roles.login("enqueuer")
        assert "ended 2 notifications" in done(url, "suppress", "add", *TO_ADA, "--reason", "unsubscribed")
        assert "does not want news" in done(url, "preference", "set", *TO_ADA, "--topic", "news", "--no")
        assert "said nothing" in done(url, "preference", "set", *TO_ADA, "--topic", "news", "--clear")
        assert rows(cloned_url, "SELECT reason FROM outbox.suppressions") == [("unsubscribed",)]
        assert audit(cloned_url) == []


def test_an_operator_leaves_a_trace_with_their_login(cloned_url: str) -> None:
    with made(cloned_url) as roles:
        for verb in ("add", "remove"):
            done(roles.login("operator"), "suppress", verb, *TO_ADA, *(["--strong"] if verb == "remove" else []))
        login = f"{roles.name('operator')}_login"
        assert rows(cloned_url, "SELECT action, login FROM outbox.audit ORDER BY id") == [
            ("suppress", login),
            ("unsuppress", login),
        ]


@pytest.mark.parametrize("lacking", ["INSERT (reason)", "SELECT (id)"])
def test_whoever_lacks_a_part_of_the_right_is_not_stopped_either(cloned_url: str, lacking: str) -> None:
    with made(cloned_url) as roles:
        operator = roles.name("operator")
        rights = {"INSERT (reason)": "SELECT (id), INSERT (actor)", "SELECT (id)": "INSERT"}[lacking]
        rows(cloned_url, f"REVOKE ALL ON outbox.audit FROM {operator}; GRANT {rights} ON outbox.audit TO {operator}")
        done(roles.login("operator"), "suppress", "add", *TO_ADA)
        assert rows(cloned_url, "SELECT reason FROM outbox.suppressions") == [("manual",)]
        assert audit(cloned_url) == []
