"""`outbox topic` and `outbox preference`, as people and scripts use them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import run
from tests.endings import put
from tests.hands import rows
from tests.topical import ADA, choose, say

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[topics.receipts]
transactional = true

[topics.news]
default = "opt_in"
channels = ["email", "push"]
delivery = "at_most_once"
expires = "2d"
"""
TO_ADA = ("--channel", "email", "--recipient", ADA)


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "outbox.toml").write_text(CONFIG)
    return str(tmp_path / "outbox.toml")


def document(url: str, *arguments: str) -> Any:
    result = run(url, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# topic sync


def test_sync_shows_what_is_different_and_then_declares_it(database_url: str, config: str) -> None:
    say(database_url, news={"channels": ["sms"]}, old={})
    result = run(database_url, "topic", "sync", "--dry-run", "--config", config)
    assert result.exit_code == 0
    added, changed, kept = result.stdout.splitlines()
    assert (added, kept) == ("add     receipts", "keep    old")
    assert changed.removeprefix("change  news: ").split(", ") == [
        "default opt_out → opt_in",
        "channels sms → email push",
        "delivery as its channel → at_most_once",
        "expires never → 2d",
    ]
    assert "2 topics would change; nothing was written" in result.stderr
    assert rows(database_url, "SELECT name FROM outbox.topics WHERE transactional OR opt_in") == []
    assert "✓ 2 topics changed" in run(database_url, "topic", "sync", "--config", config).stdout
    assert rows(database_url, "SELECT name, transactional, opt_in FROM outbox.topics ORDER BY 1") == [
        ("news", False, True),
        ("old", False, False),
        ("receipts", True, False),
    ]
    assert "nothing is different" in run(database_url, "topic", "sync", "--config", config).stdout


def test_prune_removes_the_others_unless_something_waits_under_one(database_url: str, config: str) -> None:
    say(database_url, old={}, older={})
    put(database_url, 2, topic="old")
    result = run(database_url, "topic", "sync", "--prune", "--config", config)
    assert result.exit_code == 1
    assert "error: old cannot be removed: 2 notifications wait under it" in result.stderr
    assert rows(database_url, "SELECT name FROM outbox.topics ORDER BY 1") == [("old",), ("older",)], (
        "nothing was written"
    )
    rows(database_url, "DELETE FROM outbox.queue")
    said = document(database_url, "topic", "sync", "--prune", "--config", config)
    assert [(change["action"], change["topic"]) for change in said["changes"]] == [
        ("add", "receipts"),
        ("add", "news"),
        ("remove", "old"),
        ("remove", "older"),
    ]
    assert (said["written"], said["waiting"]) == (True, {})
    assert rows(database_url, "SELECT name FROM outbox.topics ORDER BY 1") == [("news",), ("receipts",)]


def test_an_escalation_that_is_different_is_shown_before_it_is_written(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "outbox.toml"

    def sync(escalation: str, *options: str) -> Any:
        lanes = "".join(f'[channels.{name}]\nproviders = ["console"]\n' for name in ("email", "sms"))
        path.write_text(f"{lanes}[topics.alerts]\n{escalation}[topics.news]\n")
        return run(database_url, "topic", "sync", *options, "--config", str(path))

    def written() -> list[tuple[Any, ...]]:
        return rows(database_url, "SELECT name, escalation FROM outbox.topics ORDER BY 1")

    first, other = (f'escalation = ["email", "wait {time} unless sent", "sms"]\n' for time in ("5m", "10m"))
    steps = ["email", "wait 300s unless sent", "sms"]
    assert "✓ 2 topics changed" in sync(first).stdout
    assert written() == [("alerts", steps), ("news", None)]
    assert sync(first).stdout.splitlines() == ["keep    alerts", "keep    news", "nothing is different"]
    foretold = sync(other, "--dry-run")
    told = "escalation email; wait 300s unless sent; sms → email; wait 600s unless sent; sms"
    assert foretold.stdout.splitlines() == [f"change  alerts: {told}", "keep    news"]
    assert "1 topic would change; nothing was written" in foretold.stderr
    assert written()[0] == ("alerts", steps)
    changes = json.loads(sync("", "--json").stdout)["changes"]
    differs = {"escalation": ["email; wait 300s unless sent; sms", "none"]}
    assert changes[0] == {"action": "change", "topic": "alerts", "differs": differs}
    assert written() == [("alerts", None), ("news", None)]
    assert "change  alerts: escalation none → email; " in sync(first).stdout
    assert [one["escalation"] for one in document(database_url, "topic", "list")["topics"]] == [steps, None]
    line = " ".join(run(database_url, "topic", "list").stdout.splitlines()[1].split())
    assert line == "alerts who did not opt out every as its channel never email; wait 300s unless sent; sms 0 0 0"


# topic list


def test_list_counts_what_waits_and_what_people_chose(database_url: str) -> None:
    put(database_url, topic="free")
    say(
        database_url,
        news={"default": "opt_in", "channels": ["email"], "expires": "10m"},
        receipts={"transactional": True},
    )
    for number in range(3):
        choose(database_url, "news", wanted=number > 0, recipient=f"user{number}@example.org")
    put(database_url, 4, topic="receipts")
    result = run(database_url, "topic", "list")
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "TOPIC WHO CHANNELS IN DOUBT EXPIRES ESCALATION WAITING OPTED IN OPTED OUT",
        "news who opted in email as its channel 10m none 0 2 1",
        "receipts everybody every as its channel never none 4 0 0",
    ]
    assert "1 notification wait under free, which is not declared" in result.stderr
    said = document(database_url, "topic", "list")
    assert [(one["name"], one["opt_in"], one["waiting"], one["opted_out"]) for one in said["topics"]] == [
        ("news", True, 0, 1),
        ("receipts", False, 4, 0),
    ]
    assert said["undeclared"] == {"free": 1}


def test_list_says_so_where_nothing_is_declared(database_url: str) -> None:
    assert "no topic is declared, so any word is one" in run(database_url, "topic", "list").stderr


# preference


def test_a_preference_is_set_shown_and_forgotten(database_url: str) -> None:
    say(database_url, news={}, receipts={"transactional": True})
    put(database_url, 2, recipient=ADA, topic="news")
    rows(
        database_url,
        "INSERT INTO outbox.suppressions (channel, recipient, topic, reason) "
        "VALUES ('email', %s, 'news', 'unsubscribed'), ('email', %s, '', 'manual')",
        ADA,
        ADA,
    )
    result = run(database_url, "preference", "set", *TO_ADA, "--topic", "news", "--no")
    assert result.stdout.splitlines() == [f"✓ {ADA} by email does not want news", "✓ ended 2 notifications that waited"]
    result = run(database_url, "preference", "set", *TO_ADA, "--topic", "news", "--yes", "--source", "a call")
    assert result.stdout.splitlines() == [
        f"✓ {ADA} by email wants news",
        "✓ lifted the suppression of that topic: unsubscribed",
    ]
    assert "still suppressed: manual" in result.stderr
    lines = [line.split() for line in run(database_url, "preference", "list", *TO_ADA).stdout.splitlines()]
    assert lines[0] == ["TOPIC", "WANTED", "WHY", "SOURCE", "SINCE", "SUPPRESSED"]
    assert (lines[1][:5], lines[1][-1]) == (["news", "yes", "explicit", "a", "call"], "manual")
    assert lines[2] == ["receipts", "yes", "transactional", "-", "-", "manual"]
    assert document(database_url, "preference", "set", *TO_ADA, "--topic", "news", "--clear") == {
        "cleared": True,
        "ended": 0,
        "in_hand": 0,
    }
    shown = document(database_url, "preference", "list", *TO_ADA)["preferences"]
    assert [(one["topic"], one["why"]) for one in shown] == [("news", "default"), ("receipts", "transactional")]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--topic", "receipts", "--no"], "--topic: 'receipts' is transactional: everybody gets it"),
        (["--topic", "newz", "--no"], "--topic: 'newz' is not declared; did you mean news?"),
        (["--topic", "news"], "give --yes, --no or --clear, and one of them"),
        (["--topic", "news", "--yes", "--clear"], "give --yes, --no or --clear, and one of them"),
    ],
)
def test_a_mistake_names_the_option(database_url: str, options: list[str], problem: str) -> None:
    say(database_url, news={}, receipts={"transactional": True})
    result = run(database_url, "preference", "set", *TO_ADA, *options)
    assert result.exit_code == 2
    assert problem in result.stderr


# explain


def test_explain_tells_the_rule_and_the_preference_that_hold(database_url: str) -> None:
    say(database_url, news={"default": "opt_in"})
    [identity] = put(database_url, recipient=ADA, topic="news")

    def told() -> str:
        return run(database_url, "explain", str(identity)).stdout

    assert "news, for those who want it" in told()
    assert "and ends it as suppressed, unsent: did not opt in, topic news." in told()
    choose(database_url, "news", wanted=True, source="the form")
    assert "wanted, by the form, since " in told()
    assert "as suppressed" not in told()
    choose(database_url, "news", wanted=False)
    assert "it was not sent: opted out, topic news, since " in told()
    said = document(database_url, "explain", str(identity))
    assert (said["consent"]["default"], said["consent"]["wanted"]) == ("opt_in", False)
    assert said["suppression"].startswith("opted out, topic news, since ")
