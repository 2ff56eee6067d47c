"""`outbox pause` and `resume`, and what `status` and `explain` say meanwhile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from outbox.outcomes import Deferred, Failure, Sent
from outbox.terminal.actor import whoami
from tests.command_line import run, run_on_a_terminal, run_process
from tests.endings import enter, put
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HELD = Deferred(failure=Failure("paused", None, "held: every provider of email is paused"), delay=0.0)


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    file = tmp_path / "outbox.toml"
    file.write_text(
        '[channels.email]\nproviders = ["smtp", "postmark"]\n[channels.sms]\nproviders = ["console"]\n',
        encoding="utf-8",
    )
    return ["--config", str(file)]


def document(url: str, *arguments: object) -> dict[str, Any]:
    result = run(url, *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def before_pauses(url: str, channel: str, providers: Sequence[str] = ()) -> int:
    [(identity,)] = rows(
        url,
        "INSERT INTO outbox.workers (pid, host, version, channels, providers) "
        "VALUES (4711, 'elsewhere', '0.0.9', ARRAY[%s], %s::text[]) RETURNING id",
        channel, list(providers),
    )  # fmt: skip
    return int(identity)


def test_a_channel_is_paused_until_somebody_resumes_it(database_url: str, config: list[str]) -> None:
    done = run(database_url, "pause", "email", "--reason", "a bad template", *config)
    assert (done.exit_code, done.stdout) == (0, "✓ email is paused until somebody resumes it\n")
    assert "outbox resume email" in done.stderr
    done = run(database_url, "resume", "email", *config)
    assert done.exit_code == 0
    assert done.stdout.startswith("✓ email is resumed: it was paused for ")
    assert done.stdout.endswith(f", by {whoami()}\n")
    audit = rows(database_url, "SELECT actor, action, subject, reason FROM outbox.audit ORDER BY id")
    assert audit == [
        (whoami(), "pause", "channel:email", "a bad template"),
        (whoami(), "resume", "channel:email", None),
    ]


def test_a_provider_is_paused_for_so_long(database_url: str, config: list[str]) -> None:
    found = document(database_url, "pause", "provider:postmark", "--until", "2h", *config)
    assert (found["scope"], found["name"], found["again"]) == ("provider", "postmark", False)
    assert 7_190 < found["left_seconds"] <= 7_200
    again = run(database_url, "pause", "provider:postmark", *config)
    assert again.stdout == "✓ the provider postmark was paused before, and is from now on until somebody resumes it\n"


def test_what_was_not_paused_is_said_and_is_no_failure(database_url: str, config: list[str]) -> None:
    done = run(database_url, "resume", "email", *config)
    assert (done.exit_code, done.stdout) == (0, "email was not paused\n")
    assert document(database_url, "resume", "email", *config)["resumed"] is False


class TestWorkersOfBefore:
    """Those of a version that knew of no pauses say nothing of their providers."""

    def test_they_are_warned_of_by_name(self, database_url: str, config: list[str]) -> None:
        old, elsewhere = before_pauses(database_url, "email"), before_pauses(database_url, "sms")
        result = run(database_url, "pause", "email", *config)
        assert result.exit_code == 0
        assert "goes on sending" in result.stderr
        assert f"worker {old} (elsewhere, pid 4711, version 0.0.9)" in result.stderr
        assert f"worker {elsewhere} " not in result.stderr
        told = document(database_url, "pause", "email", *config)
        assert told["heedless"] == [{"id": old, "host": "elsewhere", "pid": 4711, "version": "0.0.9"}]

    def test_any_of_them_may_send_through_a_provider(self, database_url: str, config: list[str]) -> None:
        old = before_pauses(database_url, "sms")
        assert f"worker {old} " in run(database_url, "pause", "provider:console", "--force", *config).stderr

    def test_who_heeds_pauses_or_is_gone_is_not_spoken_of(self, database_url: str, config: list[str]) -> None:
        before_pauses(database_url, "email", providers=["smtp"])
        gone = before_pauses(database_url, "email")
        rows(database_url, "UPDATE outbox.workers SET seen_at = now() - interval '2 minutes' WHERE id = %s", gone)
        assert "goes on sending" not in run(database_url, "pause", "email", *config).stderr


class TestWhatNobodyKnows:
    @pytest.mark.parametrize(
        ("target", "meant"), [("emial", "email"), ("provider:postmrak", "postmark"), ("provider:smpt", "smtp")]
    )
    @pytest.mark.parametrize("command", ["pause", "resume"])
    def test_it_is_refused_with_the_nearest_that_somebody_knows(
        self, database_url: str, config: list[str], command: str, target: str, meant: str
    ) -> None:
        done = run(database_url, command, target, *config)
        assert done.exit_code == 2
        assert f"did you mean {meant}?" in done.stderr
        assert rows(database_url, "SELECT count(*) FROM outbox.pauses") == [(0,)]

    def test_a_worker_may_know_what_the_configuration_here_does_not(self, database_url: str) -> None:
        enter(database_url, "chat")
        assert run(database_url, "pause", "chat").exit_code == 0
        assert "did you mean chat?" in run(database_url, "pause", "chatt").stderr

    def test_it_is_paused_all_the_same_by_force(self, database_url: str, config: list[str]) -> None:
        done = run(database_url, "pause", "fax", "--force", *config)
        assert done.exit_code == 0
        assert "neither a live worker nor the configuration here has a channel fax" in done.stderr

    def test_where_nobody_can_know_it_is_paused_with_a_warning(self, database_url: str) -> None:
        done = run(database_url, "pause", "email")
        assert done.exit_code == 0
        assert "nobody can say whether there is a channel email" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["topic:news"], "is neither a channel (email) nor provider:NAME"),
            (["E-Mail"], "a channel's name is made of"),
            (["email", "--until", "tomorrow"], "--until: 'tomorrow' is not a moment"),
            (["email", "--until", "2020-01-01T00:00:00Z"], "is past: nothing would be paused"),
            (["email", "--reason", "x" * 1_001], "--reason: it has 1,001 characters"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, database_url: str, config: list[str], arguments: list[str], said: str
    ) -> None:
        done = run(database_url, "pause", *arguments, *config)
        assert done.exit_code == 2
        assert said in done.stderr


class TestStatus:
    def test_it_says_who_paused_what_and_how_to_resume_it(self, database_url: str, config: list[str]) -> None:
        put(database_url, 3)
        run(database_url, "pause", "email", "--reason", "a bad template", *config)
        run(database_url, "pause", "provider:postmark", "--until", "2h", *config)
        shown = run_process(database_url, "status").stdout
        assert f"warning: email is paused by {whoami()} since " in shown
        assert "ago, until somebody resumes it (a bad template); to resume it: outbox resume email" in shown
        assert "ago, for 1h 59m more; to resume it: outbox resume provider:postmark" in shown
        found = document(database_url, "status")
        assert found["channels"][0]["paused"] is True
        assert [pause["target"] for pause in found["pauses"]] == ["email", "provider:postmark"]

    def test_it_tells_of_the_channels_that_were_asked_for(self, database_url: str, config: list[str]) -> None:
        run(database_url, "pause", "email", *config)
        assert document(database_url, "status", "--channel", "sms")["pauses"] == []

    def test_the_reason_is_not_obeyed_by_a_terminal(self, database_url: str, config: list[str]) -> None:
        run(database_url, "pause", "email", "--reason", "[red]no[/]\x1b[31m", *config)
        assert "([red]no[/])" in run_on_a_terminal(database_url, "status")[1].replace("\r\n", "")


class TestExplain:
    def test_what_waits_says_that_its_channel_is_paused(self, database_url: str, config: list[str]) -> None:
        enter(database_url, "email")
        [identity] = put(database_url)
        run(database_url, "pause", "email", "--until", "1h", "--reason", "a bad template", *config)
        found = document(database_url, "explain", identity, *config)
        assert f"Meanwhile email is paused by {whoami()} since" in found["why"]
        assert "(a bad template)." in found["why"]
        assert found["next"].startswith("nothing before somebody resumes it, or in 59m 5")
        assert "by itself: outbox resume email. Then: the next claim takes it" in found["next"]
        assert [pause["target"] for pause in found["pauses"]] == ["email"]

    def test_what_is_over_is_not_held_up_by_it(self, database_url: str, config: list[str]) -> None:
        [identity] = put(database_url, 1, Sent(provider="smtp"))
        run(database_url, "pause", "email", *config)
        found = document(database_url, "explain", identity, *config)
        assert "Meanwhile" not in found["why"]
        assert found["next"] == "nothing: this is its end."

    def test_one_provider_of_two_is_told_beside_and_both_hold_it_up(self, database_url: str, config: list[str]) -> None:
        enter(database_url, "email")
        [identity] = put(database_url, 1, HELD)
        run(database_url, "pause", "provider:smtp", *config)
        shown = run(database_url, "explain", identity, *config).stdout
        assert "paused        the provider smtp is paused by" in shown
        assert "next  the next claim takes it" in shown
        run(database_url, "pause", "provider:postmark", *config)
        found = document(database_url, "explain", identity, *config)
        assert "outbox resume provider:postmark or outbox resume provider:smtp. Then: " in found["next"]
        assert found["history"][0]["error_class"] == "paused"

    def test_a_provider_of_another_channel_is_not_spoken_of(self, database_url: str, config: list[str]) -> None:
        [identity] = put(database_url)
        run(database_url, "pause", "provider:console", *config)
        assert document(database_url, "explain", identity, *config)["pauses"] == []
