"""`outbox import procrastinate`: jobs that its own functions deferred, beside its own worker."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.config import TopicConfig
from outbox.importing.mapping import Mapping, Rule
from outbox.importing.procrastinate import Procrastinate
from outbox.importing.transfer import AGAIN, BEHIND, Tally, Transfer
from outbox.queue.topics import declare_now
from tests.command_line import run, run_on_a_terminal
from tests.hands import rows
from tests.migrating.killing import kill_often
from tests.migrating.procrastinate_shop import defer, shop, worker
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEFT = '[tasks."shop.tasks.daily_report"]\nleave = true\n'
MAPPING = """
[tasks."shop.tasks.welcome"]
channel = "email"
recipient = "{email}"
template = "welcome"
rename = { name = "first_name" }
"""
STORED = "SELECT recipient, template, payload, priority, idempotency_key FROM outbox.notifications ORDER BY id"
STATUSES = "SELECT id, status::text FROM procrastinate_jobs WHERE task_name = 'shop.tasks.welcome' ORDER BY id"


@pytest.fixture
def jobs(cloned_url: str) -> Iterator[dict[str, Any]]:
    with shop(cloned_url) as tasks:
        yield tasks


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.toml"
    file.write_text(MAPPING)
    return file


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A mapping that has every task of the shop."""
    file = tmp_path / "whole.toml"
    file.write_text(f'{MAPPING}[tasks."shop.tasks.invoice"]\nchannel = "invoice"\n{LEFT}')
    return file


def welcome(jobs: dict[str, Any], name: str = "ada", **options: Any) -> int:
    return defer(jobs["welcome"], arguments={"email": f"{name}@example.org", "name": name.title()}, **options)


def test_a_job_becomes_a_notification_and_is_cancelled_there(
    cloned_url: str, jobs: dict[str, Any], mapping: Path
) -> None:
    later = datetime.now(UTC) + timedelta(hours=3)
    first = welcome(jobs)
    second = welcome(jobs, "bob", run_at=later, priority=3, lock="user:bob", queueing_lock="welcome:bob")
    done = run(cloned_url, "import", "procrastinate", "--map", mapping)
    assert (done.exit_code, done.stdout.splitlines()) == (0, ["✓ imported 2 from procrastinate"])
    payload = {"email": "bob@example.org", "first_name": "Bob"}
    # The one of the higher priority comes first.
    assert rows(cloned_url, STORED) == [
        ("bob@example.org", "welcome", payload, 2, f"procrastinate:{second}"),
        (
            "ada@example.org",
            "welcome",
            {"email": "ada@example.org", "first_name": "Ada"},
            5,
            f"procrastinate:{first}",
        ),
    ]
    assert rows(cloned_url, STATUSES) == [(first, "cancelled"), (second, "cancelled")]
    kept = "SELECT run_at, ordering_key, group_key FROM outbox.notifications WHERE recipient = 'bob@example.org'"
    assert rows(cloned_url, kept) == [(later, "user:bob", "welcome:bob")]
    again = run(cloned_url, "import", "procrastinate", "--map", mapping, "--json")
    assert json.loads(again.stdout)["imported"] == 0
    welcome(jobs, "bob", queueing_lock="welcome:bob")  # its lock is free again


def test_a_dry_run_says_what_would_become_of_what_and_nothing_that_it_says(
    cloned_url: str, jobs: dict[str, Any], mapping: Path
) -> None:
    welcome(jobs)
    defer(jobs["welcome"], arguments={"email": 7})
    defer(jobs["invoice"], arguments={"order": 7})
    told = run(cloned_url, "import", "procrastinate", "--map", mapping, "--dry-run")
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "TASK                QUEUE    WAITING  RUNNING  FAILED  BECOMES",
        "shop.tasks.invoice  money          1        0       0  -",
        "shop.tasks.welcome  default        2        0       0  email, welcome",
        "",
        "would import 1",
        "  1 of shop.tasks.welcome stay: recipient: an email address looks like name@example.org",
        "  1 of shop.tasks.invoice stay: the mapping does not have it",
        "  such as shop.tasks.welcome: email to a***@example.org, template welcome, with email, first_name",
    ]
    document = json.loads(run(cloned_url, "import", "procrastinate", "--map", mapping, "--dry-run", "--json").stdout)
    assert document["would"]["imported"] == 1
    assert "Ada" not in json.dumps(document)
    assert rows(cloned_url, STORED) == []
    assert {status for _, status in rows(cloned_url, STATUSES)} == {"todo"}


def test_a_sketch_is_a_mapping_file_once_its_channels_are_filled_in(
    cloned_url: str, jobs: dict[str, Any], tmp_path: Path
) -> None:
    welcome(jobs)
    defer(jobs["invoice"], arguments={"order": 7})
    sketch = run(cloned_url, "import", "procrastinate", "--sketch").stdout
    assert '# recipient = "{email}"  # arguments: email, name' in sketch
    file = tmp_path / "mapping.toml"
    file.write_text(sketch)
    refused = run(cloned_url, "import", "procrastinate", "--map", file)
    assert refused.exit_code == 2
    assert f'{file}, line 2: tasks."shop.tasks.invoice".channel: ' in refused.stderr
    file.write_text(sketch.replace('channel = ""', 'channel = "work"'))
    assert run(cloned_url, "import", "procrastinate", "--map", file).exit_code == 0
    assert rows(cloned_url, "SELECT channel, recipient, payload->'order' FROM outbox.notifications ORDER BY id")[1] == (
        "work",
        "work",
        7,
    )


def test_what_is_left_alone_on_purpose_and_in_other_queues_is_no_fault(
    cloned_url: str, jobs: dict[str, Any], mapping: Path
) -> None:
    defer(jobs["invoice"], arguments={"order": 7})
    welcome(jobs)
    jobs["app"].configure_task("shop.tasks.unknown").defer()
    mapping.write_text(f'queues = ["money"]\n{MAPPING}[tasks."shop.tasks.invoice"]\nleave = true\n')
    done = run(cloned_url, "import", "procrastinate", "--map", mapping)
    assert (done.exit_code, done.stdout) == (0, "✓ imported 0 from procrastinate\n")
    assert {status for _, status in rows(cloned_url, STATUSES)} == {"todo"}


async def test_what_runs_is_left_alone_what_failed_comes_if_it_is_asked_for_and_periodics_are_told(
    cloned_url: str, jobs: dict[str, Any], whole: Path
) -> None:
    defer(jobs["invoice"], arguments={"order": 7})
    async with worker(cloned_url, []):
        await await_until(lambda: ("failed",) in rows(cloned_url, "SELECT status::text FROM procrastinate_jobs"))
        await await_until(lambda: rows(cloned_url, "SELECT 1 FROM procrastinate_periodic_defers"))
    running = welcome(jobs)
    rows(cloned_url, f"UPDATE procrastinate_jobs SET status = 'doing' WHERE id = {running}")
    done = run(cloned_url, "import", "procrastinate", "--map", whole)
    assert done.exit_code == 0
    assert "  1 run this moment, and are left alone" in done.stdout
    assert 'outbox schedule add daily-report "CRON, as in your code"' in done.stderr
    assert rows(cloned_url, STORED) == []
    assert run(cloned_url, "import", "procrastinate", "--map", whole, "--failed").exit_code == 0
    assert rows(cloned_url, "SELECT channel, payload FROM outbox.notifications") == [("invoice", {"order": 7})]


def test_a_job_whose_lock_another_holds_stays_behind_it(cloned_url: str, jobs: dict[str, Any]) -> None:
    rules = Mapping(tasks={"shop.tasks.welcome": Rule(channel="email", recipient="{email}")})
    held, behind, free = (welcome(jobs, name, lock=lock) for name, lock in (("a", "x"), ("b", "x"), ("c", "y")))
    with psycopg.connect(cloned_url) as theirs, psycopg.connect(cloned_url) as ours:
        # procrastinate's worker is about to fetch the first: it has locked it, and not yet said so.
        theirs.execute("SELECT 1 FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [held])
        tally = Tally()
        transfer = Transfer(Procrastinate(rules), ours, ours, tally)
        while transfer.step(10):
            pass
    assert tally.left == {("shop.tasks.welcome", BEHIND): 1}
    assert rows(cloned_url, STATUSES) == [(held, "todo"), (behind, "todo"), (free, "cancelled")]


def test_those_of_one_lock_are_enqueued_in_their_order_whatever_the_chunks(
    cloned_url: str, jobs: dict[str, Any]
) -> None:
    rules = Mapping(tasks={"shop.tasks.welcome": Rule(channel="email", recipient="{email}")})
    priorities = [0, 5, -2, 5, 0, 1, -2]
    ids = [welcome(jobs, f"u{number}", lock="x", priority=level) for number, level in enumerate(priorities)]
    with psycopg.connect(cloned_url) as conn:
        transfer = Transfer(Procrastinate(rules), conn, conn, Tally())
        while transfer.step(2):
            pass
    line = rows(
        cloned_url,
        "SELECT n.idempotency_key FROM outbox.queue q JOIN outbox.notifications n USING (id) ORDER BY q.position",
    )
    theirs = [identity for _, identity in sorted(zip((-level for level in priorities), ids, strict=True))]
    assert [key for (key,) in line] == [f"procrastinate:{identity}" for identity in theirs]


def test_what_was_enqueued_under_a_key_of_ones_own_is_not_enqueued_again(
    cloned_url: str, jobs: dict[str, Any], mapping: Path
) -> None:
    mapping.write_text(f'{MAPPING}idempotency_key = "welcome:{{email}}"\n')
    rows(
        cloned_url,
        "INSERT INTO outbox.notifications (channel, recipient, idempotency_key, payload) "
        "VALUES ('email', 'ada@example.org', 'welcome:ada@example.org', '{\"text\": \"of the new release\"}')",
    )
    for name in ("ada", "bob", "bob"):
        welcome(jobs, name)
    done = run(cloned_url, "import", "procrastinate", "--map", mapping)
    assert done.stdout.splitlines() == [
        "✓ imported 1 from procrastinate",
        "  2 were notifications already, by their idempotency keys",
    ]
    assert {status for _, status in rows(cloned_url, STATUSES)} == {"cancelled"}


@pytest.mark.parametrize(("more", "says"), [
    ([], "--map: is needed, to say what becomes what; --sketch prints one to begin with"),
    (["--map", "nowhere.toml"], "nowhere.toml: cannot be read: No such file or directory"),
    (["--dry-run", "--schema", "elsewhere"], "these are not the tables of procrastinate"),
    (["--dry-run", "--from", "nonsense"], "the database URL cannot be understood"),
])  # fmt: skip
def test_mistakes_are_told_with_what_would_be_right(cloned_url: str, more: list[str], says: str) -> None:
    refused = run(cloned_url, "import", "procrastinate", *more)
    assert refused.exit_code == 2
    assert says in refused.stderr


def test_a_person_sees_a_table(cloned_url: str, jobs: dict[str, Any], mapping: Path) -> None:
    welcome(jobs)
    code, seen = run_on_a_terminal(cloned_url, "import", "procrastinate", "--map", mapping, "--dry-run")
    assert code == 0
    assert "email, welcome" in seen


@pytest.mark.parametrize("apart", [False, True], ids=["in one database", "in two"])
@pytest.mark.timeout(240)  # it starts five importers, one after another
async def test_each_job_is_done_once_by_one_of_the_two_however_often_the_importer_is_killed(
    cloned_url: str, empty_url: str, whole: Path, *, apart: bool
) -> None:
    there = empty_url if apart else cloned_url
    with shop(there) as jobs:
        ids = {welcome(jobs, f"u{number}") for number in range(300)}
    done: list[int] = []
    words = ["import", "procrastinate", "--map", str(whole), "--chunk", "2", "--database-url", cloned_url]
    words += ["--from", there] if apart else []

    if apart:  # a worker there could do what is both a job and a notification for a moment: it has been stopped
        await kill_often(cloned_url, words)
    else:
        async with worker(there, done):
            await kill_often(cloned_url, words)
            left = "SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
            await await_until(lambda: not rows(there, left), 30)
    moved = [
        int(key.removeprefix("procrastinate:"))
        for (key,) in rows(cloned_url, "SELECT idempotency_key FROM outbox.notifications")
    ]
    assert sorted([*moved, *done]) == sorted(ids)
    assert moved
    assert dict(rows(there, STATUSES)) == dict.fromkeys(moved, "cancelled") | dict.fromkeys(done, "succeeded")


def test_what_cannot_be_marked_in_another_database_is_no_notification_either(
    cloned_url: str, empty_url: str, mapping: Path
) -> None:
    with shop(empty_url) as jobs:
        welcome(jobs)
    rows(
        empty_url,
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
        CREATE TRIGGER refuse BEFORE UPDATE ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION refuse();
        """,
    )
    refused = run(cloned_url, "import", "procrastinate", "--map", mapping, "--from", empty_url)
    assert refused.exit_code != 0
    assert rows(cloned_url, STORED) == []
    assert [status for _, status in rows(empty_url, STATUSES)] == ["todo"]


def test_a_topic_that_is_not_declared_is_a_mistake_of_the_mapping(
    cloned_url: str, jobs: dict[str, Any], mapping: Path
) -> None:
    with psycopg.connect(cloned_url) as conn:
        declare_now(conn, {"news": TopicConfig()})
    welcome(jobs)
    mapping.write_text(f'{MAPPING}topic = "newz"\n')
    refused = run(cloned_url, "import", "procrastinate", "--map", mapping)
    assert refused.exit_code == 2
    assert "mapping: topic: " in refused.stderr
    assert "news" in refused.stderr
    assert {status for _, status in rows(cloned_url, STATUSES)} == {"todo"}


def test_an_importer_waits_for_nobody_and_nobody_for_it(cloned_url: str, jobs: dict[str, Any], mapping: Path) -> None:
    first, second = welcome(jobs), welcome(jobs, "bob")
    with psycopg.connect(cloned_url) as theirs:
        theirs.execute("SELECT 1 FROM procrastinate_jobs WHERE id = %s FOR UPDATE", [first])
        assert (
            json.loads(run(cloned_url, "import", "procrastinate", "--map", mapping, "--json").stdout)["imported"] == 1
        )
    assert rows(cloned_url, STATUSES) == [(first, "todo"), (second, "cancelled")]


def test_what_stays_because_it_was_imported_before_holds_up_those_behind_it(
    cloned_url: str, jobs: dict[str, Any], mapping: Path
) -> None:
    welcome(jobs, lock="x")
    assert run(cloned_url, "import", "procrastinate", "--map", mapping).exit_code == 0
    rows(cloned_url, "UPDATE procrastinate_jobs SET status = 'todo'")
    welcome(jobs, "bob", lock="x")
    again = json.loads(run(cloned_url, "import", "procrastinate", "--map", mapping, "--json").stdout)
    assert [each["why"] for each in again["left"]] == [AGAIN, BEHIND]
    assert {status for _, status in rows(cloned_url, STATUSES)} == {"todo"}
