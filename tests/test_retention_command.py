from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.outcomes import Sent
from tests.backdated import names, put_days_ago
from tests.command_line import run, run_on_a_terminal, run_process
from tests.endings import put
from tests.fleet import Fleet
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

SENT = Sent(provider="smtp")


def retention(url: str, *arguments: object, code: int = 0) -> dict[str, Any]:
    result = run(url, "retention", "--json", *arguments)
    assert result.exit_code == code, result.stderr
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def two_old_days(url: str) -> None:
    put_days_ago(url, 41, 3, SENT, key="a")
    put_days_ago(url, 40, 2, SENT, key="b")
    put_days_ago(url, 40, 1, due_in="60 days")
    put(url, 1, SENT, idempotency_key="c")


def test_a_dry_run_tells_what_would_go_and_writes_nothing(cloned_url: str) -> None:
    two_old_days(cloned_url)
    before = names(cloned_url)
    document = retention(cloned_url, "--dry-run")
    going = [(each["partition"].split("_")[0], each["rows"]) for each in document["would_drop"]]
    assert going == [("notifications", 3), ("attempts", 3)]
    assert all(each["bytes"] > 0 and each["day"] for each in document["would_drop"])
    assert [each["rows"] for each in document["held"]] == [3, 2]
    assert document["would_delete"] == {
        "notifications": 0,
        "attempts": 0,
        "resolved_dead_letters": 0,
        "open_dead_letters": 0,
        "idempotency_keys": 5,
        "erased_keys": 0,
        "fan_outs": 0,
    }
    assert names(cloned_url) == before
    assert rows(cloned_url, "SELECT count(*) FROM outbox.idempotency_keys") == [(6,)]


def test_what_a_dry_run_told_goes_and_is_told(cloned_url: str) -> None:
    two_old_days(cloned_url)
    told = retention(cloned_url, "--dry-run")
    document = retention(cloned_url)
    dropped = [(each["partition"], each["rows"]) for each in document["dropped"]]
    assert dropped == [(each["partition"], each["rows"]) for each in told["would_drop"]]
    assert document["deleted"] == {"idempotency_keys": 5}
    assert [each["why"] for each in document["kept"]] == ["held", "held"]
    assert names(cloned_url) == {"notifications 40", "attempts 40"}
    assert retention(cloned_url)["dropped"] == []


def test_on_paper_it_is_a_table_and_sentences(cloned_url: str) -> None:
    two_old_days(cloned_url)
    told = run(cloned_url, "retention", "--dry-run").stdout.splitlines()
    assert told[0].split() == ["PARTITION", "DAY", "ROWS", "SIZE"]
    assert told[2].endswith("stays: something in the queue is of that day")
    assert told[-2].startswith("would drop 2 partitions with about 6 rows, ")
    assert told[-1] == "would delete 5 idempotency keys older than 30 days"
    done = run(cloned_url, "retention")
    assert done.stdout.startswith("✓ dropped 2 partitions with about 6 rows, ")
    assert done.stdout.endswith("✓ deleted 5 idempotency keys\n")
    assert done.stderr.count("stays: something in the queue is of that day") == 2


def test_where_nothing_is_old_it_says_so(database_url: str) -> None:
    assert run(database_url, "retention").stdout == "nothing is past its time\n"


def test_on_a_terminal_there_is_a_bar(cloned_url: str) -> None:
    two_old_days(cloned_url)
    code, seen = run_on_a_terminal(cloned_url, "retention")
    assert (code, "0/11" in seen, "dropped 2 partitions" in seen) == (0, True, True)


def test_a_day_in_use_is_a_failure_that_says_what_helps(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 1, SENT)
    with psycopg.connect(cloned_url) as reader:
        reader.execute("SELECT FROM outbox.notifications")
        result = run(cloned_url, "retention", "--patience", "5ms")
    assert result.exit_code == 1
    assert "in use without a pause; try again, or let enqueues wait longer with --patience 1s" in result.stdout
    assert names(cloned_url) == {"notifications 40", "attempts 40"}


def test_patience_has_its_limits(database_url: str) -> None:
    for patience, problem in (("1m", "at most 5s"), ("soon", "is not a duration"), ("0", "above zero")):
        result = run(database_url, "retention", "--patience", patience)
        assert (result.exit_code, problem in result.stderr) == (2, True)


def test_the_configuration_says_how_old_is_old(cloned_url: str, tmp_path: Path) -> None:
    two_old_days(cloned_url)
    (tmp_path / "outbox.toml").write_text("[retention]\ndays = 60\n")
    document = retention(cloned_url, "--dry-run", "--config", tmp_path / "outbox.toml")
    assert (document["would_drop"], document["would_delete"]["idempotency_keys"]) == ([], 0)


def test_a_database_without_the_outbox_is_a_sentence(empty_url: str) -> None:
    result = run_process(empty_url, "retention")
    assert (result.returncode, "run `outbox migrate`" in result.stderr) == (1, True)


def test_a_worker_process_does_the_same_unasked(cloned_url: str, tmp_path: Path) -> None:
    two_old_days(cloned_url)
    with Fleet(tmp_path, cloned_url) as fleet:
        process = fleet.start()
        wait_until(lambda: "retention: dropped notifications_" in fleet.log())
        process.terminate()
        assert process.wait(timeout=10) == 0, fleet.log()
    assert names(cloned_url) == {"notifications 40", "attempts 40"}
    assert rows(cloned_url, "SELECT count(*) FROM outbox.idempotency_keys") == [(1,)]
