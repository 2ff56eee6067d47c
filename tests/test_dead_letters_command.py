from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.outcomes import Ambiguous, Dead, Failure, Retry
from outbox.terminal import resolve
from tests.command_line import run, run_on_a_terminal, run_process
from tests.endings import REFUSED, end, put, put_dead

if TYPE_CHECKING:
    from uuid import UUID

UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
SECRET = "the password is tiramisu"
HOSTILE = Failure("temporary", "451", "[bold red]try[/] later :smile:")
EXHAUSTED = Dead(provider="smtp", failure=HOSTILE, reason="exhausted")
UNSURE = Ambiguous(provider="smtp", failure=Failure("ambiguous", None, "lost after DATA"), reason="in_doubt")


def listed(url: str, *arguments: str) -> list[dict[str, Any]]:
    found = json.loads(run(url, "dead-letters", "list", "--json", *arguments).stdout)["dead_letters"]
    assert isinstance(found, list)
    return found


def ids_of(url: str, *arguments: str) -> list[str]:
    return [letter["id"] for letter in listed(url, *arguments)]


def waiting(url: str) -> int:
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT count(*) FROM outbox.queue").fetchone()
    assert row is not None
    return int(row[0])


def let_time_pass(url: str, identity: UUID, hours: int) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(
            "UPDATE outbox.dead_letters SET died_at = died_at - make_interval(hours => %s) WHERE notification_id = %s",
            [hours, identity],
        )


class TestList:
    def test_shows_the_newest_first_and_why_but_not_what_was_said(self, database_url: str) -> None:
        [old] = put_dead(database_url, payload={"text": SECRET})
        [new] = put_dead(database_url, outcome=EXHAUSTED)
        done = run_process(database_url, "dead-letters", "list")
        assert done.returncode == 0
        head, first, second = done.stdout.splitlines()
        assert head.split() == ["ID", "DIED", "CHANNEL", "RECIPIENT", "REASON", "ERROR"]
        assert first.startswith(str(new))
        assert first.endswith("exhausted  451 [bold red]try[/] later :smile:")
        assert second.startswith(str(old))
        assert SECRET not in done.stdout + run(database_url, "dead-letters", "list", "--json").stdout

    def test_takes_filters_alone_and_together(self, database_url: str) -> None:
        [a] = map(str, put_dead(database_url))
        [b] = map(str, put_dead(database_url, outcome=EXHAUSTED))
        [c] = map(str, put_dead(database_url, outcome=EXHAUSTED, channel="sms"))
        [d] = put_dead(database_url, outcome=UNSURE)
        let_time_pass(database_url, d, 25)

        assert ids_of(database_url) == [c, b, a, str(d)]
        assert ids_of(database_url, "--channel", "email") == [b, a, str(d)]
        assert ids_of(database_url, "--channel", "email", "--channel", "sms", "--reason", "exhausted") == [c, b]
        assert ids_of(database_url, "--class", "ambiguous") == [str(d)]
        assert ids_of(database_url, "--class", "temporary", "--class", "rejected", "--channel", "email") == [b, a]
        assert ids_of(database_url, "--since", "24h") == [c, b, a]
        assert ids_of(database_url, "--limit", "2") == [c, b]

    def test_says_how_many_more_there_are(self, database_url: str) -> None:
        put_dead(database_url, 3)
        result = run(database_url, "dead-letters", "list", "--limit", "2")
        assert len(result.stdout.splitlines()) == 3
        assert "the newest 2 of 3" in result.stderr

    def test_leaves_out_the_resolved_unless_asked(self, database_url: str) -> None:
        first, second = map(str, put_dead(database_url, 2))
        run(database_url, "dead-letters", "discard", first, "--yes")
        assert ids_of(database_url) == [second]
        assert {letter["id"]: letter["resolution"] for letter in listed(database_url, "--all")} == {
            first: "discarded",
            second: None,
        }

    def test_without_any_says_so_and_is_no_failure(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "list", "--reason", "poison")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no open dead letter matches" in result.stderr

    def test_is_one_line_a_letter_on_a_terminal(self, database_url: str) -> None:
        wordy = Dead(provider="smtp", failure=Failure("rejected", "554", "no " * 500), reason="rejected")
        [identity] = put_dead(database_url, outcome=wordy, recipient="ünïcödé@example.org")
        code, seen = run_on_a_terminal(database_url, "dead-letters", "list")
        assert code == 0
        [line] = [line for line in seen.splitlines() if str(identity) in line]
        assert "…" in line

    def test_takes_two_lines_a_letter_on_a_narrow_terminal(self, database_url: str) -> None:
        [identity] = put_dead(database_url, outcome=EXHAUSTED)
        _, seen = run_on_a_terminal(database_url, "dead-letters", "list", columns=80)
        first, second, *_ = seen.splitlines()
        assert str(identity) in first
        assert second == "    user0@example.org: 451 [bold red]try[/] later :smile:"

    def test_never_lets_a_terminal_obey_what_others_wrote(self, database_url: str, conn: psycopg.Connection) -> None:
        put_dead(database_url)
        conn.execute("UPDATE outbox.dead_letters SET recipient = E'\\u009b2Jada', topic = E'\\u001b]0;x\\u0007'")
        conn.commit()
        for arguments in (["list"], ["list", "--json"], ["show", *ids_of(database_url)]):
            stdout = run(database_url, "dead-letters", *arguments).stdout
            assert not {"\x9b", "\x1b", "\x07"} & set(stdout)

    @pytest.mark.parametrize("wrong", [["--since", "soon"], ["--class", "rejectd"], ["--limit", "0"]])
    def test_refuses_a_filter_that_it_does_not_understand(self, database_url: str, wrong: list[str]) -> None:
        assert run(database_url, "dead-letters", "list", *wrong).exit_code == 2

    def test_names_the_nearest_class_and_reason(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "list", "--class", "rejectd", "--reason", "exausted")
        assert result.stderr.splitlines() == [
            "error: --class: there is no 'rejectd'; did you mean rejected?",
            "error: --reason: there is no 'exausted'; did you mean exhausted?",
        ]


class TestShow:
    def test_shows_everything(self, database_url: str) -> None:
        put(database_url, 1, template="welcome", payload={"text": SECRET}, headers={"X": "y"}, locale="pt-BR")
        end(database_url, Retry(provider="smtp", failure=HOSTILE, delay=0.0))
        [identity] = end(database_url, REFUSED)
        done = run_process(database_url, "dead-letters", "show", identity)
        assert done.returncode == 0
        for words in (identity, "welcome", "pt-BR", SECRET, "[bold red]try[/] later :smile:", "554 5.6.0", "retry"):
            assert str(words) in done.stdout
        assert f"outbox dead-letters replay {identity}\n" in done.stderr
        assert f"outbox dead-letters discard {identity}\n" in done.stderr

    def test_as_json_has_the_history_and_the_payload(self, database_url: str) -> None:
        [identity] = put_dead(database_url, payload={"text": SECRET})
        letter = json.loads(run(database_url, "dead-letters", "show", identity, "--json").stdout)
        assert letter["payload"] == {"text": SECRET}
        assert letter["enqueued_at"].endswith("Z")
        assert [(entry["claim"], entry["outcome"]) for entry in letter["history"]] == [(1, "dead")]

    def test_of_an_unknown_one_fails(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "show", UNKNOWN)
        assert result.exit_code == 1
        assert UNKNOWN in result.stderr

    def test_of_what_is_no_id_is_misuse(self, database_url: str) -> None:
        assert run(database_url, "dead-letters", "show", "12").exit_code == 2


class TestReplay:
    def test_by_id_puts_them_back(self, database_url: str) -> None:
        first, second, _ = put_dead(database_url, 3)
        done = run_process(database_url, "dead-letters", "replay", first, second)
        assert (done.returncode, done.stdout) == (0, "✓ replayed 2 dead letters\n")
        assert waiting(database_url) == 2

    def test_by_filter_puts_back_what_matches(self, database_url: str) -> None:
        put_dead(database_url, 2)
        [late] = put_dead(database_url, outcome=EXHAUSTED)
        let_time_pass(database_url, late, 3)
        put_dead(database_url, 4, outcome=EXHAUSTED)
        result = run(database_url, "dead-letters", "replay", "--class", "temporary", "--since", "2h")
        assert result.exit_code == 0
        assert waiting(database_url) == 4

    def test_all_puts_everything_back_chunk_by_chunk(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(resolve, "CHUNK", 2)
        put_dead(database_url, 5)
        result = run(database_url, "dead-letters", "replay", "--all", "--rate", "60/m")
        assert result.stdout == "✓ replayed 5 dead letters, the last of them due in 4s\n"
        with psycopg.connect(database_url) as conn:
            rows = conn.execute("""
                SELECT date_part('epoch', q.run_at - min(q.run_at) OVER ()) FROM outbox.queue q
                JOIN outbox.dead_letters d ON d.notification_id = q.id ORDER BY d.died_at, d.notification_id
            """).fetchall()
        assert [round(row[0]) for row in rows] == [0, 1, 2, 3, 4]

    def test_of_nothing_in_particular_is_misuse(self, database_url: str) -> None:
        put_dead(database_url)
        result = run(database_url, "dead-letters", "replay")
        assert result.exit_code == 2
        assert "nothing is selected" in result.stderr
        assert waiting(database_url) == 0

    @pytest.mark.parametrize(
        "wrong",
        [
            ["--all", "--channel", "email"],
            [UNKNOWN, "--all"],
            [UNKNOWN, "--since", "1h"],
            ["not-an-id"],
            ["--all", "--rate", "fast"],
            ["--all", "--rate", "0/s"],
            ["--all", "--rate", "5/y"],
        ],
    )
    def test_of_a_contradiction_is_misuse(self, database_url: str, wrong: list[str]) -> None:
        put_dead(database_url)
        assert run(database_url, "dead-letters", "replay", *wrong).exit_code == 2
        assert waiting(database_url) == 0

    def test_of_one_that_is_not_open_fails_and_says_why(self, database_url: str) -> None:
        before, fresh = put_dead(database_url, 2)
        run(database_url, "dead-letters", "replay", before)
        result = run(database_url, "dead-letters", "replay", before, fresh, UNKNOWN)
        assert result.exit_code == 1
        assert "replayed 1 dead letter" in result.stdout
        assert f"left alone, replayed before: {before}" in result.stderr
        assert f"left alone, no such dead letter: {UNKNOWN}" in result.stderr
        assert waiting(database_url) == 2

    def test_of_none_that_is_open_claims_no_success(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "replay", UNKNOWN)
        assert (result.exit_code, result.stdout) == (1, "replayed nothing\n")

    def test_as_json_tells_what_was_done(self, database_url: str, conn: psycopg.Connection) -> None:
        kept, gone = put_dead(database_url, 2)
        conn.execute("DELETE FROM outbox.notifications WHERE id = %s", [gone])
        conn.commit()
        result = run(database_url, "dead-letters", "replay", kept, gone, UNKNOWN, "--json")
        told = json.loads(result.stdout)
        assert (result.exit_code, told["replayed"]) == (1, 2)
        assert [each["id"] for each in told["anew"]] == [str(gone)]
        assert told["left_alone"] == [{"id": UNKNOWN, "why": "unknown"}]

    def test_dry_as_json_tells_what_would_be_done(self, database_url: str) -> None:
        put_dead(database_url, 1)
        put_dead(database_url, 1, outcome=UNSURE, channel="sms")
        assert json.loads(run(database_url, "dead-letters", "replay", "--all", "--dry-run", "--json").stdout) == {
            "would_replay": 2,
            "by_channel": {"email": 1, "sms": 1},
            "by_reason": {"rejected": 1, "in_doubt": 1},
            "anew": 0,
            "ambiguous": 1,
            "expired": 0,
            "left_alone": [],
        }
        assert waiting(database_url) == 0

    def test_dry_tells_what_would_happen_and_writes_nothing(self, database_url: str, conn: psycopg.Connection) -> None:
        put_dead(database_url, 2)
        put_dead(database_url, 1, outcome=UNSURE, channel="sms")
        [gone] = put_dead(database_url, 1, outcome=EXHAUSTED)
        conn.execute("DELETE FROM outbox.notifications WHERE id = %s", [gone])
        conn.commit()
        put_dead(database_url, 1, expires_at=timedelta(milliseconds=150))
        conn.execute("SELECT pg_sleep(0.2)")

        said = run(database_url, "dead-letters", "replay", "--all", "--rate", "2/s", "--dry-run")
        assert said.exit_code == 0
        assert said.stdout.splitlines() == [
            "would replay 5 dead letters, the last of them due in 2s",
            "  by channel: email 4, sms 1",
            "  by reason: rejected 3, in_doubt 1, exhausted 1",
            "  1 of them anew, under new ids: retention has dropped the notifications, the copies remain",
            "  1 of them may have been delivered already: nobody could know when they were given up",
            "  1 of them are past their expires_at, and would end as expired, unsent",
        ]
        assert waiting(database_url) == 0
        assert len(listed(database_url)) == 5

    def test_of_one_that_retention_dropped_tells_the_new_id(self, database_url: str, conn: psycopg.Connection) -> None:
        [old] = put_dead(database_url)
        conn.execute("DELETE FROM outbox.notifications")
        conn.commit()
        said = run(database_url, "dead-letters", "replay", old).stdout
        row = conn.execute("SELECT id FROM outbox.notifications").fetchone()
        assert row is not None
        assert f"{old} is gone from outbox.notifications: its copy was enqueued anew as {row[0]}" in said

    def test_by_filter_asks_a_person_first(self, database_url: str) -> None:
        put_dead(database_url, 2)
        code, seen = run_on_a_terminal(database_url, "dead-letters", "replay", "--all", answer="n\n")
        assert code == 1
        assert "would replay 2 dead letters" in seen
        assert waiting(database_url) == 0
        code, seen = run_on_a_terminal(database_url, "dead-letters", "replay", "--all", answer="y\n")
        assert code == 0
        assert "replayed 2 dead letters" in seen
        assert waiting(database_url) == 2

    @pytest.mark.parametrize("arguments", [["--all", "--yes"], ["--channel", "email", "-y"]])
    def test_does_not_ask_who_is_sure(self, database_url: str, arguments: list[str]) -> None:
        put_dead(database_url)
        code, seen = run_on_a_terminal(database_url, "dead-letters", "replay", *arguments)
        assert (code, waiting(database_url)) == (0, 1)
        assert "Replay them?" not in seen

    def test_of_what_nothing_matches_is_no_failure(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "replay", "--channel", "fax")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no open dead letter matches" in result.stderr


class TestDiscard:
    def test_closes_them_and_keeps_them(self, database_url: str) -> None:
        first, _ = put_dead(database_url, 2)
        done = run_process(database_url, "dead-letters", "discard", first, "--yes")
        assert (done.returncode, done.stdout) == (0, "✓ discarded 1 dead letter\n")
        assert len(listed(database_url)) == 1
        assert len(listed(database_url, "--all")) == 2

    def test_refuses_where_there_is_nobody_to_ask(self, database_url: str) -> None:
        [identity] = put_dead(database_url)
        for selection in (["--all"], [str(identity)], ["--reason", "rejected"]):
            result = run(database_url, "dead-letters", "discard", *selection)
            assert result.exit_code == 2
            assert "--yes" in result.stderr
        assert len(listed(database_url)) == 1

    def test_asks_a_person_first(self, database_url: str) -> None:
        [identity] = put_dead(database_url)
        code, seen = run_on_a_terminal(database_url, "dead-letters", "discard", identity, answer="n\n")
        assert code == 1
        assert "Discard 1 dead letter?" in seen
        assert len(listed(database_url)) == 1
        assert run_on_a_terminal(database_url, "dead-letters", "discard", identity, answer="y\n")[0] == 0
        assert listed(database_url) == []

    def test_as_json_tells_what_was_done(self, database_url: str) -> None:
        [identity] = put_dead(database_url)
        asked = ["dead-letters", "discard", identity, UNKNOWN, "--json"]
        left = [{"id": UNKNOWN, "why": "unknown"}]
        assert json.loads(run(database_url, *asked, "--dry-run").stdout) == {"would_discard": 1, "left_alone": left}
        assert json.loads(run(database_url, *asked, "--yes").stdout) == {"discarded": 1, "left_alone": left}

    def test_dry_needs_no_answer_and_writes_nothing(self, database_url: str) -> None:
        put_dead(database_url, 3)
        result = run(database_url, "dead-letters", "discard", "--all", "--dry-run")
        assert (result.exit_code, result.stdout) == (0, "would discard 3 dead letters\n")
        assert len(listed(database_url)) == 3

    def test_of_one_that_is_not_open_fails_and_says_why(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "discard", UNKNOWN, "--yes")
        assert (result.exit_code, result.stdout) == (1, "discarded nothing\n")
        assert "no such dead letter" in result.stderr

    def test_of_nothing_in_particular_is_misuse(self, database_url: str) -> None:
        assert run(database_url, "dead-letters", "discard", "--yes").exit_code == 2
