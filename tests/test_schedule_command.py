"""`outbox schedule`, as people and scripts see it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.command_line import run, run_on_a_terminal
from tests.hands import rows

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

QUERY = "SELECT email AS recipient, jsonb_build_object('text', name) AS payload FROM customers"


@pytest.fixture
def url(database_url: str) -> str:
    rows(
        database_url,
        "DROP TABLE IF EXISTS customers; CREATE TABLE customers (email text, name text); "
        "INSERT INTO customers VALUES ('ada@example.org', 'Ada'), ('bob@example.org', 'Bob')",
    )
    return database_url


def add(url: str, *options: str, name: str = "digest", cron: str = "0 9 * * MON", query: str = QUERY) -> Result:
    return run(url, "schedule", "add", name, cron, "--sql", query, "--channel", "email", *options)


def test_add_says_in_words_when_it_comes_due_and_shows_the_next_three(url: str) -> None:
    result = add(url, "--tz", "Europe/Berlin", "--template", "digest", "--priority", "bulk", "--timeout", "5m")
    assert result.exit_code == 0, result.stderr
    first, header, *occurrences = result.stdout.splitlines()
    assert first == "✓ added digest: At 09:00 on Monday, by the clocks of Europe/Berlin"
    assert header.split() == ["NEXT", "IN", "UTC", "FROM", "NOW"]
    assert len(occurrences) == 3
    assert all(
        re.match(r"Mon \d{4}-\d\d-\d\d 09:00 CES?T  \d{4}-\d\d-\d\d 0[78]:00  in ", line) for line in occurrences
    )
    assert rows(url, "SELECT time_zone, defaults, date_part('epoch', timeout) FROM outbox.schedules") == [
        ("Europe/Berlin", {"channel": "email", "template": "digest", "priority": 8}, 300)
    ]


def test_the_query_may_be_in_a_file_or_come_from_standard_input(url: str, tmp_path: Path) -> None:
    (tmp_path / "query.sql").write_text(f"-- whom we write to\n{QUERY};\n")
    assert add(url, query=f"@{tmp_path}/query.sql").exit_code == 0
    given = run(url, "schedule", "add", "other", "@daily", "--sql", "-", "--channel", "email", given=QUERY)
    assert given.exit_code == 0
    assert rows(url, "SELECT query FROM outbox.schedules ORDER BY name") == [
        (f"-- whom we write to\n{QUERY}",),
        (QUERY,),
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "a b"}, "NAME: 'a b' is not a name"),
        ({"cron": "0 25 * * *"}, "CRON: the hour '25' is none: it takes 0 to 23"),
        ({"cron": "0 9 * *"}, "CRON: '0 9 * *' has 4 fields"),
        ({"query": "SELECT email AS recipent FROM customers"}, "a field of a notification; did you mean recipient?"),
        ({"query": "SELECT email AS recipient, now() AS created_at FROM customers"}, "the fields are channel,"),
        ({"query": "SELECT name AS locale FROM customers"}, "--sql: returns no recipient"),
        ({"query": "SELECT email AS recipient, name AS recipient FROM customers"}, "--sql: returns 'recipient' twice"),
        ({"query": "SELECT email AS recipient FROM customerz"}, 'relation "customerz" does not exist'),
        ({"query": "SELECT 1; SELECT 2"}, "it must be one SELECT"),
        ({"query": "DELETE FROM customers"}, "it must be one SELECT"),
        ({"query": "DELETE FROM customers RETURNING email AS recipient"}, "it must be one SELECT"),
        ({"query": "WITH d AS (DELETE FROM customers RETURNING *) TABLE d"}, "it must be one SELECT"),
        ({"query": "SELECT email FROM customers) AS q; DROP TABLE customers; --"}, "it must be one SELECT"),
        ({"query": "SHOW search_path"}, "it must be one SELECT"),
        ({"query": "/* nothing"}, "unterminated /* comment"),
        ({"query": " ; "}, "must be one SELECT"),
        ({"query": "SELECT email AS recipient, name AS priority FROM customers"}, 'priority" is of type smallint'),
        ({"query": "SELECT email AS recipient FROM customers FOR UPDATE"}, "cannot execute SELECT FOR UPDATE"),
        ({"query": "@nowhere.sql"}, "--sql: nowhere.sql cannot be read"),
        ({"options": ["--tz", "Europe/Berln"]}, "--tz: 'Europe/Berln' is no time zone; did you mean Europe/Berlin?"),
        ({"options": ["--missed", "some"]}, "--missed: 'some' is none of skip, once, all"),
        ({"options": ["--timeout", "soon"]}, "--timeout: 'soon' is not a duration"),
        ({"options": ["--timeout", "2d"]}, "--timeout: 172800 s is not between a millisecond and a day"),
        ({"options": ["--priority", "urgentt"]}, "--priority: 'urgentt' is none of urgent"),
        ({"options": ["--payload", "{"]}, "--payload: is not JSON"),
        ({"options": ["--channel", "E-Mail"]}, "--channel: 'E-Mail' is not a channel name"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_what_would_be_right(url: str, change: dict[str, object], complaint: str) -> None:
    options = change.pop("options", [])
    assert isinstance(options, list)
    result = add(url, *options, **change)  # type: ignore[arg-type]
    assert result.exit_code == 2, result.stdout
    assert complaint in result.stderr
    assert rows(url, "SELECT 1 FROM outbox.schedules") == []
    assert rows(url, "SELECT count(*) FROM customers") == [(2,)]


def test_without_a_channel_anywhere_it_is_asked_for(url: str) -> None:
    result = run(url, "schedule", "add", "digest", "@daily", "--sql", QUERY)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --channel: is not given, and the query does not return it\n",
    )


def test_the_life_of_a_schedule_on_the_command_line(url: str) -> None:
    assert "there are no schedules yet" in run(url, "schedule", "list").stderr
    assert add(url, "--tz", "Europe/Berlin").exit_code == 0
    assert "already" in add(url).stderr
    assert add(url, "--tz", "Europe/Berlin", "--replace").exit_code == 0
    header, line = run(url, "schedule", "list").stdout.splitlines()
    assert header.split() == ["NAME", "STATE", "WHEN", "NEXT", "LAST", "RUN"]
    assert line.startswith("digest  ready  0 9 * * MON Europe/Berlin  Mon ")
    assert line.endswith("never")

    ran = run(url, "schedule", "run-now", "digest")
    assert (ran.exit_code, ran.stdout) == (0, "✓ enqueued 2 notifications\n")
    assert "ago, enqueued 2" in run(url, "schedule", "list").stdout
    assert run(url, "schedule", "pause", "digest").stdout == "✓ paused digest\n"
    assert run(url, "schedule", "pause", "digest").stdout == "digest was paused already\n"
    assert "  paused  " in run(url, "schedule", "list").stdout
    upcoming = run(url, "schedule", "next", "digest", "--count", "4")
    assert len(upcoming.stdout.splitlines()) == 5
    assert "it is paused" in upcoming.stderr
    assert run(url, "schedule", "resume", "digest").stdout.startswith("✓ resumed digest\n")
    assert run(url, "schedule", "resume", "digest").stdout.startswith("digest was not paused\n")
    shown = run(url, "schedule", "show", "digest").stdout
    for part in ("At 09:00 on Monday", "Europe/Berlin", QUERY, "each channel", "tables in"):
        assert part in shown
    refused = run(url, "schedule", "remove", "digest")
    assert (refused.exit_code, "add --yes" in refused.stderr) == (2, True)
    assert run(url, "schedule", "remove", "digest", "--yes").exit_code == 0
    assert rows(url, "SELECT 1 FROM outbox.schedule_runs") == []


def test_what_fails_and_what_nobody_runs_is_warned_of(url: str) -> None:
    add(url, name="failing")
    add(url, name="late")
    rows(
        url,
        "UPDATE outbox.schedules SET failures = 3, problem = 'UndefinedTable: no', retry_at = now() + interval '1 h' "
        "WHERE name = 'failing'; "
        "UPDATE outbox.schedules SET next_at = now() - interval '1 h' WHERE name = 'late'; "
        "INSERT INTO outbox.schedule_runs (schedule, occurrence, ran_by, failures, error) "
        "VALUES ('failing', now(), 'here:1', 3, 'UndefinedTable: no')",
    )
    listed = run(url, "schedule", "list").stdout
    assert "warning: failing has failed 3 times in a row, and is tried again in 59m" in listed
    assert "warning: late was due 1h ago, and no worker has run it" in listed
    shown = run(url, "schedule", "show", "failing").stdout
    assert "failed 3 times: UndefinedTable: no" in shown
    document = json.loads(run(url, "schedule", "list", "--json").stdout)
    assert [(each["name"], each["state"]) for each in document["schedules"]] == [
        ("failing", "failing"),
        ("late", "overdue"),
    ]


def test_json_has_moments_in_utc_and_by_the_clocks_of_the_zone(url: str) -> None:
    added = json.loads(add(url, "--tz", "Asia/Kathmandu", "--json", cron="@daily").stdout)
    assert (added["cron"], added["missed"], added["timeout"], len(added["next"])) == ("@daily", "once", 60.0, 3)
    assert added["next"][0]["at"].endswith("T18:15:00Z")
    assert added["next"][0]["local"].endswith("T00:00:00+05:45")
    assert json.loads(run(url, "schedule", "next", "digest", "--json").stdout)["next"][:3] == added["next"]
    assert json.loads(run(url, "schedule", "run-now", "digest", "--json").stdout) == {"name": "digest", "enqueued": 2}
    shown = json.loads(run(url, "schedule", "show", "digest", "--json").stdout)
    assert (shown["query"], shown["defaults"], shown["runs"][0]["enqueued"]) == (QUERY, {"channel": "email"}, 2)
    assert json.loads(run(url, "schedule", "pause", "digest", "--json").stdout)["state"] == "paused"
    assert json.loads(run(url, "schedule", "resume", "digest", "--json").stdout)["state"] == "ready"
    assert json.loads(run(url, "schedule", "remove", "digest", "--json", "--yes").stdout) == {"removed": "digest"}


@pytest.mark.parametrize("command", ["show", "next", "pause", "resume", "run-now", "remove --yes"])
def test_one_that_is_not_there_is_named_and_exits_with_1(url: str, command: str) -> None:
    add(url)
    result = run(url, "schedule", *command.split(), "digset")
    assert (result.exit_code, result.stderr) == (1, "error: there is no schedule 'digset': did you mean digest?\n")


def test_run_now_exits_with_1_where_the_query_fails(url: str) -> None:
    add(url)
    rows(url, "DROP TABLE customers")
    result = run(url, "schedule", "run-now", "digest")
    assert result.exit_code == 1
    assert result.stderr == ('error: the query of digest failed: UndefinedTable: relation "customers" does not exist\n')


def test_on_a_terminal_it_asks_before_it_removes(url: str) -> None:
    add(url)
    code, seen = run_on_a_terminal(url, "schedule", "remove", "digest", answer="n\n")
    assert (code, "Remove digest and the record of its runs?" in seen) == (1, True)
    code, seen = run_on_a_terminal(url, "schedule", "remove", "digest", answer="y\n")
    assert (code, "removed digest; what it enqueued stays" in seen) == (0, True)


@pytest.mark.parametrize("command", ["add", "list", "show", "next", "pause", "resume", "run-now", "remove"])
def test_every_command_has_an_example_in_its_help(command: str) -> None:
    result = run("", "schedule", command, "--help")
    assert result.exit_code == 0
    assert f"Example: outbox schedule {command}" in " ".join(result.stdout.replace("│", " ").split())
