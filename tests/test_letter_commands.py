"""The commands for dead letters by the group: look, try a few, edit, reopen, export."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from outbox.outcomes import Dead, Failure, Sent
from outbox.queue.audit import list_audit
from outbox.terminal.actor import whoami
from tests.command_line import run, run_on_a_terminal, run_process
from tests.endings import REFUSED, claim_due, end, put_dead, settle_as
from tests.hands import rows
from tests.race import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from outbox.outcomes import Outcome
    from outbox.queue.audit import Entry

SECRET = "the password is tiramisu"
BUSY = Dead(provider="smtp", failure=Failure("temporary", "451", "[red]try[/] later"), reason="exhausted")


def letters(url: str, *arguments: object) -> Any:
    return json.loads(run(url, "dead-letters", *arguments, "--json").stdout)


def waiting(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM outbox.queue")[0][0])


def written_down(url: str) -> list[Entry]:
    with psycopg.connect(url) as conn:
        return list_audit(conn)


def backdate_expiry(url: str) -> None:
    rows(url, "ALTER TABLE outbox.notifications DISABLE TRIGGER USER")
    rows(url, "UPDATE outbox.notifications SET expires_at = run_at + interval '1 microsecond'")
    rows(url, "ALTER TABLE outbox.notifications ENABLE TRIGGER USER")


@contextmanager
def at_work(url: str, outcome: Callable[[int], Outcome]) -> Iterator[None]:
    """A worker that ends the first, the second and so on, as `outcome` says."""
    scene, seen = Scene(url), [0]

    def work() -> None:
        for claimed in claim_due(url, limit=1):
            settle_as(url, [claimed], outcome(seen[0]))
            seen[0] += 1

    thread = threading.Thread(target=scene.until_stopped, args=(work,))
    thread.start()
    try:
        yield
    finally:
        scene.stop.set()
        thread.join(timeout=60)
    assert scene.errors == []


class TestGroups:
    def test_shows_the_largest_first_and_what_to_type(self, database_url: str) -> None:
        put_dead(database_url, 3, BUSY, template="welcome", payload={"text": SECRET})
        put_dead(database_url, 1)
        done = run_process(database_url, "dead-letters", "groups")
        head, first, second = done.stdout.splitlines()
        assert head.split() == ["GROUP", "LETTERS", "DIED", "AGAIN", "FIRST", "LAST", "FAILED", "REASON", "EXAMPLE"]
        assert first.startswith("c2fc52028c        3           0  ")
        assert first.endswith("email smtp temporary 451 welcome  exhausted  [red]try[/] later")
        assert "email smtp rejected 554 5.6.0" in second
        assert "4 open dead letters" in done.stderr
        assert "outbox dead-letters replay --group c2fc52028c --canary 10" in done.stderr
        assert SECRET not in done.stdout

    def test_as_json_has_all_of_it(self, database_url: str) -> None:
        [identity] = put_dead(database_url, 1, BUSY, template="welcome")
        told = letters(database_url, "groups")
        assert (told["total"], told["letters"]) == (1, 1)
        [group] = told["groups"]
        assert (group["id"], group["count"], group["example"]) == ("c2fc52028c", 1, str(identity))
        assert group["reasons"] == {"exhausted": 1}

    def test_takes_the_filters(self, database_url: str) -> None:
        put_dead(database_url, 1, BUSY)
        put_dead(database_url, 1)
        for arguments in (["--code", "451"], ["--class", "temporary"], ["--provider", "smtp", "--reason", "exhausted"]):
            assert [group["error_code"] for group in letters(database_url, "groups", *arguments)["groups"]] == ["451"]
        assert letters(database_url, "groups", "--until", "1h")["groups"] == []

    def test_fits_on_a_narrow_terminal(self, database_url: str) -> None:
        put_dead(database_url, 1, BUSY, template="welcome")
        _, seen = run_on_a_terminal(database_url, "dead-letters", "groups", columns=60)
        first = seen.splitlines()[0]
        assert "c2fc52028c" in first
        assert "FAILED" not in seen
        assert "email smtp temporary 451 welcome" in seen

    def test_without_any_says_so_and_is_no_failure(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "groups")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "no open dead letter matches" in result.stderr

    def test_what_can_be_no_group_is_refused(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "list", "--group", "welcome")
        assert result.exit_code == 2
        assert "outbox dead-letters groups shows them" in result.stderr


class TestReplay:
    def test_by_group_puts_back_what_is_in_it(self, database_url: str) -> None:
        put_dead(database_url, 2, BUSY, template="welcome")
        put_dead(database_url, 3)
        result = run(database_url, "dead-letters", "replay", "--group", "c2fc52028c", "--because", "it is back")
        assert (result.exit_code, result.stdout) == (0, "✓ replayed 2 dead letters\n")
        (entry,) = written_down(database_url)
        assert (entry.actor, entry.action, entry.subject) == (whoami(), "replay", "group:c2fc52028c")
        assert (entry.reason, entry.details["replayed"]) == ("it is back", 2)

    def test_a_canary_that_lives_is_followed_by_the_rest(self, database_url: str) -> None:
        put_dead(database_url, 8)
        with at_work(database_url, lambda _: Sent(provider="smtp")):
            result = run(database_url, "dead-letters", "replay", "--all", "--canary", "3")
        assert (result.exit_code, result.stdout) == (0, "✓ replayed 8 dead letters\n")
        assert "the canary lives: 3 sent; 5 dead letters to follow" in result.stderr
        assert rows(database_url, "SELECT DISTINCT resolution FROM outbox.dead_letters") == [("replayed",)]

    def test_a_canary_that_dies_leaves_the_rest_as_it_was(self, database_url: str) -> None:
        put_dead(database_url, 8)
        with at_work(database_url, lambda number: REFUSED if number == 1 else Sent(provider="smtp")):
            result = run(database_url, "dead-letters", "replay", "--all", "--first", "3", "--json")
        told = json.loads(result.stdout)
        assert (result.exit_code, told["replayed"]) == (3, 3)
        assert told["canary"]["dead"] == 1
        assert told["canary"]["passed"] is False
        assert "the canary died: " in result.stderr
        assert "5 dead letters left as they were" in result.stderr
        assert ", rejected: 554 5.6.0 the content is not acceptable" in result.stderr
        assert rows(database_url, "SELECT count(*) FROM outbox.dead_letters WHERE replays = 0") == [(5,)]

    def test_a_threshold_forgives_some(self, database_url: str) -> None:
        put_dead(database_url, 8)
        with at_work(database_url, lambda number: REFUSED if number == 1 else Sent(provider="smtp")):
            result = run(database_url, "dead-letters", "replay", "--all", "--canary", "4", "--threshold", "75%")
        assert (result.exit_code, result.stdout) == (0, "✓ replayed 8 dead letters\n")

    def test_a_canary_that_nobody_delivers_is_given_up(self, database_url: str) -> None:
        put_dead(database_url, 3)
        asked = ["--all", "--canary", "2", "--canary-timeout", "600ms"]
        result = run(database_url, "dead-letters", "replay", *asked)
        assert result.exit_code == 3
        assert "no live worker serves email" in result.stderr
        assert "the canary has not ended after 600ms: 2 waiting; 1 dead letter left as they were" in result.stderr
        assert waiting(database_url) == 2

    def test_letters_that_are_no_use_as_a_canary_are_passed_over(self, database_url: str) -> None:
        first, *_ = put_dead(database_url, 3)
        rows(database_url, "UPDATE outbox.dead_letters SET replays = 3 WHERE notification_id = %s", first)
        with at_work(database_url, lambda _: Sent(provider="smtp")):
            result = run(database_url, "dead-letters", "replay", "--all", "--canary", "1")
        assert "✓ replayed 2 dead letters" in result.stdout
        assert "1 sent" in result.stderr

    def test_what_died_of_every_replay_is_left_alone_and_said_so(self, database_url: str) -> None:
        first, _ = put_dead(database_url, 2)
        rows(database_url, "UPDATE outbox.dead_letters SET replays = 3 WHERE notification_id = %s", first)
        foretold = letters(database_url, "replay", "--all", "--dry-run")
        assert foretold["left_alone"] == [{"id": str(first), "why": "too_often"}]
        result = run(database_url, "dead-letters", "replay", "--all")
        assert result.stdout == "✓ replayed 1 dead letter\n"
        assert "dead each time (--again replays them all the same): " + str(first) in result.stderr
        assert run(database_url, "dead-letters", "replay", "--all", "--max-replays", "4").exit_code == 0
        assert waiting(database_url) == 2

    def test_again_replays_whatever_was_replayed_before(self, database_url: str) -> None:
        [first] = put_dead(database_url)
        rows(database_url, "UPDATE outbox.dead_letters SET replays = 30")
        assert run(database_url, "dead-letters", "replay", first).exit_code == 1
        assert run(database_url, "dead-letters", "replay", first, "--again").exit_code == 0

    @pytest.mark.parametrize(
        "wrong", [["--threshold", "most"], ["--threshold", "0%"], ["--canary-timeout", "soon"], ["--rate", "fast"]]
    )
    def test_of_a_canary_that_makes_no_sense_is_misuse(self, database_url: str, wrong: list[str]) -> None:
        put_dead(database_url)
        assert run(database_url, "dead-letters", "replay", "--all", "--canary", "1", *wrong).exit_code == 2
        assert waiting(database_url) == 0


class TestEdit:
    def test_sends_it_to_somebody_else(self, database_url: str) -> None:
        [old] = put_dead(database_url)
        told = letters(database_url, "edit", old, "--recipient", "ada@example.net", "--because", "a typo")
        assert (told["id"], told["changed"], told["why_not"]) == (str(old), ["recipient"], None)
        assert end(database_url, Sent(provider="smtp")) == [UUID(told["new_id"])]
        (entry,) = written_down(database_url)
        assert (entry.action, entry.subject, entry.reason) == ("edit", str(old), "a typo")

    def test_both_stories_tell_of_it(self, database_url: str) -> None:
        [old] = put_dead(database_url)
        new = letters(database_url, "edit", old, "--recipient", "ada@example.net", "--because", "a typo")["new_id"]
        before, after = (run(database_url, "explain", identity).stdout for identity in (old, new))
        assert f"another was enqueued in its place, which is due: outbox explain {new}" in before
        assert f"edit (recipient) by {whoami()}" in before
        assert before.split("by hand")[1].splitlines()[0].endswith(": a typo")
        assert ["in", "place", "of", f"{old},", "its", "dead", "letter"] in [
            line.split() for line in after.splitlines()
        ]
        shown = run(database_url, "dead-letters", "show", old).stdout
        assert f"outbox explain {new}" in shown
        document = json.loads(run(database_url, "explain", new, "--json").stdout)
        assert document["replaces"] == str(old)

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ([], "nothing is changed: give --recipient, --payload or --editor"),
            (["--recipient", "ada@"], "--recipient: "),
            (["--payload", "[1]"], "--payload: must be a JSON object"),
            (["--payload", "{"], "--payload: is not JSON"),
            (["--payload", "{}", "--editor"], "give one of them"),
        ],
    )
    def test_refuses_what_an_enqueue_would(self, database_url: str, wrong: list[str], words: str) -> None:
        [old] = put_dead(database_url)
        result = run(database_url, "dead-letters", "edit", old, *wrong)
        assert result.exit_code == 2
        assert words in result.stderr
        assert waiting(database_url) == 0

    def test_refuses_what_the_template_cannot_say(
        self, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "templates" / "welcome"
        folder.mkdir(parents=True)
        (folder / "subject.txt").write_text("Welcome, {{ name }}")
        (folder / "body.txt").write_text("Hello")
        (folder / "template.toml").write_text('[variables]\nname = "string"\n')
        (tmp_path / "outbox.toml").write_text("")
        monkeypatch.chdir(tmp_path)
        [old] = put_dead(database_url, template="welcome", payload={"name": 1})
        result = run(database_url, "dead-letters", "edit", old, "--payload", f'{{"nome": "{SECRET}"}}')
        assert result.exit_code == 1
        assert "payload.name is missing" in result.stderr
        assert SECRET not in result.stderr
        assert waiting(database_url) == 0
        assert run(database_url, "dead-letters", "edit", old, "--payload", '{"name": "Ada"}').exit_code == 0

    def test_refuses_what_the_handler_of_its_channel_is_not_given(
        self, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "jobs_to_edit.py").write_text(
            "import outbox\n@outbox.handler('count')\ndef count(numbers: dict[str, int]) -> None: ...\n"
        )
        (tmp_path / "outbox.toml").write_text('[worker]\nhandlers = ["jobs_to_edit"]\n')
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        [old] = put_dead(database_url, channel="count", payload={"apples": "three"})
        result = run(database_url, "dead-letters", "edit", old, "--payload", '{"apples": "four"}')
        assert result.exit_code == 2
        assert "--payload.apples: input should be a valid integer" in result.stderr
        assert waiting(database_url) == 0
        assert run(database_url, "dead-letters", "edit", old, "--payload", '{"apples": 4}').exit_code == 0

    def test_one_whose_handler_cannot_be_imported_here_is_edited_all_the_same(
        self, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "outbox.toml").write_text('[channels.count]\nproviders = ["jobs_elsewhere.count"]\n')
        monkeypatch.chdir(tmp_path)
        [old] = put_dead(database_url, channel="count", payload={"apples": "three"})
        assert run(database_url, "dead-letters", "edit", old, "--payload", '{"apples": 4}').exit_code == 0

    def test_says_that_it_is_past_its_time_before_it_asks_and_after(self, database_url: str) -> None:
        [old] = put_dead(database_url, expires_at=timedelta(hours=1))
        backdate_expiry(database_url)
        asked = ["dead-letters", "edit", old, "--recipient", "ada@example.net"]
        _, seen = run_on_a_terminal(database_url, *asked, answer="n\n")
        assert seen.index("past its expires_at") < seen.index("Send it with another recipient?")
        result = run(database_url, *asked)
        assert "past its expires_at" in result.stderr

    def test_asks_a_person_first(self, database_url: str) -> None:
        [old] = put_dead(database_url)
        asked = ["dead-letters", "edit", old, "--recipient", "ada@example.net"]
        code, seen = run_on_a_terminal(database_url, *asked, answer="n\n")
        assert (code, waiting(database_url)) == (1, 0)
        assert "Send it with another recipient?" in seen
        assert run_on_a_terminal(database_url, *asked, answer="y\n")[0] == 0
        assert waiting(database_url) == 1

    def test_takes_the_payload_as_an_editor_leaves_it(
        self, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [old] = put_dead(database_url, payload={"text": "wrong", "n": 1})
        script = tmp_path / "editor.py"
        script.write_text(
            "import pathlib, sys\nfile = pathlib.Path(sys.argv[1])\n"
            "file.write_text(file.read_text().replace('wrong', 'right'))\n"
        )
        monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
        result = run(database_url, "dead-letters", "edit", old, "--editor")
        assert result.exit_code == 0
        [claimed] = claim_due(database_url)
        assert json.loads(claimed.payload) == {"text": "right", "n": 1}

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            ("print('left as it was')", "nothing would be different"),
            ("raise SystemExit(3)", "did not work: exit code 3"),
        ],
    )
    def test_an_editor_that_changes_nothing_changes_nothing(
        self, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
    ) -> None:
        [old] = put_dead(database_url)
        (tmp_path / "editor.py").write_text(program)
        monkeypatch.setenv("VISUAL", f"{sys.executable} {tmp_path / 'editor.py'}")
        result = run(database_url, "dead-letters", "edit", old, "--editor")
        assert result.exit_code in {1, 2}
        assert words in result.stderr
        assert waiting(database_url) == 0

    def test_of_one_that_is_not_open_fails_and_says_why(self, database_url: str) -> None:
        [old] = put_dead(database_url)
        run(database_url, "dead-letters", "replay", old)
        result = run(database_url, "dead-letters", "edit", old, "--recipient", "ada@example.net")
        assert result.exit_code == 1
        assert f"left alone, replayed before: {old}" in result.stderr


class TestDiscardAndReopen:
    def test_the_reason_is_kept_and_shown(self, database_url: str) -> None:
        [old] = put_dead(database_url)
        run(database_url, "dead-letters", "discard", old, "--yes", "--because", "a list that was bought")
        assert "a list that was bought" in run(database_url, "dead-letters", "show", old).stdout
        assert "because of this: a list that was bought" in run(database_url, "explain", old).stdout
        (entry,) = written_down(database_url)
        assert (entry.action, entry.reason) == ("discard", "a list that was bought")

    def test_a_reason_that_is_too_long_is_misuse(self, database_url: str) -> None:
        [old] = put_dead(database_url)
        assert run(database_url, "dead-letters", "discard", old, "--yes", "--because", "x" * 1_001).exit_code == 2

    def test_what_was_discarded_is_opened_again(self, database_url: str) -> None:
        old, still = put_dead(database_url, 2)
        run(database_url, "dead-letters", "discard", old, "--yes")
        result = run(database_url, "dead-letters", "reopen", old)
        assert (result.exit_code, result.stdout) == (0, "✓ reopened 1 dead letter\n")
        result = run(database_url, "dead-letters", "reopen", still, "--json")
        assert (result.exit_code, json.loads(result.stdout)) == (
            1,
            {"reopened": 0, "left_alone": [{"id": str(still), "why": "open"}]},
        )


class TestExport:
    def test_is_a_line_of_json_for_each_the_oldest_first(self, database_url: str) -> None:
        ids = put_dead(database_url, 3, BUSY, payload={"text": SECRET})
        put_dead(database_url)
        done = run_process(database_url, "dead-letters", "export", "--class", "temporary")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert [line["id"] for line in lines] == [str(identity) for identity in ids]
        assert {line["error_class"] for line in lines} == {"temporary"}
        assert lines[0]["died_at"].endswith("Z")
        assert SECRET not in done.stdout
        assert "payload" not in lines[0]
        assert done.stderr == "3 open dead letters\n"

    def test_with_payload_has_what_the_messages_said(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("outbox.terminal.letter_export.CHUNK", 2)
        put_dead(database_url, 5, payload={"text": SECRET}, headers={"X-A": "b"}, locale="pt-BR")
        lines = run(database_url, "dead-letters", "export", "--with-payload").stdout.splitlines()
        assert len(lines) == 5
        assert [json.loads(line)["payload"] for line in lines] == [{"text": SECRET}] * 5
        assert (json.loads(lines[0])["locale"], json.loads(lines[0])["headers"]) == ("pt-BR", {"X-A": "b"})

    def test_of_none_is_empty(self, database_url: str) -> None:
        result = run(database_url, "dead-letters", "export")
        assert (result.exit_code, result.stdout) == (0, "")


class TestStatus:
    def test_names_the_largest_group_and_what_to_type(self, database_url: str) -> None:
        put_dead(database_url, 3, BUSY, template="welcome")
        put_dead(database_url, 1)
        said = run(database_url, "status").stdout
        assert (
            "dead letters: 2 groups, largest: 3 of email smtp temporary 451 welcome; outbox dead-letters groups" in said
        )

    def test_looks_at_the_newest_only_and_says_so(self, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("outbox.terminal.status._NEWEST", 2)
        put_dead(database_url, 3, BUSY)
        said = run(database_url, "status").stdout
        assert "dead letters: 1 group among the newest 2 of 3, largest: 2 of email smtp temporary 451" in said

    def test_says_nothing_where_nothing_died(self, database_url: str) -> None:
        assert "group" not in run(database_url, "status").stdout
        assert json.loads(run(database_url, "status", "--json").stdout)["dead_letter_groups"]["largest"] == []


def test_a_letter_that_died_of_what_nobody_can_read_is_shown_and_exported_as_text(database_url: str) -> None:
    unreadable, other = put_dead(database_url, 2)
    rows(
        database_url,
        "UPDATE outbox.dead_letters SET payload = '{\"n\": 1e5000}' WHERE notification_id = %s",
        unreadable,
    )
    shown = run(database_url, "dead-letters", "show", str(unreadable))
    assert shown.exit_code == 0
    assert "0" * 50 in "".join(shown.stdout.split())
    assert letters(database_url, "show", unreadable)["payload"].startswith('{"n": 1000')
    exported = run(database_url, "dead-letters", "export", "--with-payload")
    assert exported.exit_code == 0
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    assert {line["id"] for line in lines} == {str(unreadable), str(other)}
