"""`outbox import pgqueuer`: jobs that its own functions enqueued, beside its own queue manager."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.command_line import run
from tests.hands import rows
from tests.migrating.killing import kill_often
from tests.migrating.pgqueuer_shop import shop, worker
from tests.waiting import await_until

if TYPE_CHECKING:
    from pathlib import Path

MAPPING = """
[priorities]
7 = "urgent"

[tasks.welcome]
channel = "email"
recipient = "{email}"
set = { source = "pgqueuer" }

[tasks.thumbnail]
channel = "thumbnail"
decode = "base64"
into = "picture"
"""


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.toml"
    file.write_text(MAPPING)
    return file


async def test_a_job_becomes_a_notification_and_is_canceled_there(cloned_url: str, mapping: Path) -> None:
    async with shop(cloned_url) as queries:
        ids = await queries.enqueue(
            ["welcome", "welcome", "thumbnail"],
            [b'{"email": "ada@example.org"}', b'{"email": "bob@example.org"}', b"\xff\x00"],
            [7, 1, 0],
            [None, timedelta(hours=1), None],
            dedupe_key=[None, "welcome:bob", None],
        )
        done = run(cloned_url, "import", "pgqueuer", "--map", mapping)
        assert (done.exit_code, done.stdout) == (0, "✓ imported 3 from pgqueuer\n")
        fields = "channel, recipient, payload, priority, group_key, idempotency_key"
        source = {"source": "pgqueuer"}
        assert rows(cloned_url, f"SELECT {fields} FROM outbox.notifications ORDER BY id") == [
            ("email", "ada@example.org", source | {"email": "ada@example.org"}, 0, None, f"pgqueuer:{ids[0]}"),
            ("email", "bob@example.org", source | {"email": "bob@example.org"}, 4, "welcome:bob", f"pgqueuer:{ids[1]}"),
            ("thumbnail", "thumbnail", {"picture": "/wA="}, 5, None, f"pgqueuer:{ids[2]}"),
        ]
        later = "SELECT run_at > now() + interval '59 minutes' FROM outbox.notifications ORDER BY id"
        assert rows(cloned_url, later) == [(False,), (True,), (False,)]
        log = "SELECT job_id, status::text FROM pgqueuer_log WHERE status = 'canceled' ORDER BY 1"
        assert rows(cloned_url, log) == [(identity, "canceled") for identity in ids]
        await queries.enqueue(["welcome"], [b"{}"], [0], dedupe_key=["welcome:bob"])  # its key is free again


async def test_what_cannot_be_read_stays_and_schedules_are_told_with_their_times(
    cloned_url: str, mapping: Path
) -> None:
    async with shop(cloned_url) as queries:
        await queries.enqueue(["welcome"] * 3, [b"[1]", b"\xff", b"{"], [0] * 3)
    rows(cloned_url, "INSERT INTO pgqueuer_schedules (expression, entrypoint) VALUES ('0 9 * * *', 'daily_report')")
    told = run(cloned_url, "import", "pgqueuer", "--map", mapping, "--dry-run", "--json")
    assert told.exit_code == 1
    document = json.loads(told.stdout)["would"]
    assert sorted(each["why"] for each in document["left"]) == [
        "what it is called with is a list, no JSON object: see into",
        "what it is called with is not JSON: see decode",
        "what it is called with is not UTF-8: see decode",
    ]
    assert document["periodic"] == [{"task": "daily_report", "cron": "0 9 * * *"}]
    done = run(cloned_url, "import", "pgqueuer", "--map", mapping)
    assert 'outbox schedule add daily-report "0 9 * * *"' in done.stderr
    assert rows(cloned_url, "SELECT count(*) FROM pgqueuer WHERE status = 'queued'") == [(3,)]


async def test_a_sketch_says_once_what_many_of_a_task_have(cloned_url: str) -> None:
    async with shop(cloned_url) as queries:
        await queries.enqueue(["welcome"] * 3, [b"[1]", b"[2]", b"[3]"], [0] * 3)
    sketched = run(cloned_url, "import", "pgqueuer", "--sketch")
    assert sketched.stderr.count("is a list, no JSON object: see into") == 1


def test_queues_are_refused_where_there_are_none(cloned_url: str, mapping: Path) -> None:
    mapping.write_text(f'queues = ["mail"]\n{MAPPING}')
    refused = run(cloned_url, "import", "pgqueuer", "--map", mapping)
    assert (refused.exit_code, "mapping.toml: queues: pgqueuer has none" in refused.stderr) == (2, True)


async def test_those_that_failed_and_are_held_come_if_they_are_asked_for(cloned_url: str, mapping: Path) -> None:
    async with shop(cloned_url) as queries:
        await queries.enqueue(["welcome"], [b'{"email": "ada@example.org"}'], [0])
    rows(cloned_url, "UPDATE pgqueuer SET status = 'failed'")
    assert json.loads(run(cloned_url, "import", "pgqueuer", "--map", mapping, "--json").stdout)["imported"] == 0
    done = json.loads(run(cloned_url, "import", "pgqueuer", "--map", mapping, "--failed", "--json").stdout)
    assert (done["imported"], done["by_task"]) == (1, {"welcome": 1})


@pytest.mark.timeout(240)  # it starts five importers, one after another
async def test_each_job_is_done_once_by_one_of_the_two_however_often_the_importer_is_killed(
    cloned_url: str, mapping: Path
) -> None:
    async with shop(cloned_url) as queries:
        payloads: list[bytes | None] = [b'{"email": "u%d@example.org"}' % number for number in range(300)]
        ids = await queries.enqueue(["welcome"] * 300, payloads, [0] * 300)
    done: list[int] = []
    async with worker(cloned_url, done):
        await kill_often(cloned_url, ["import", "pgqueuer", "--map", str(mapping), "--chunk", "2"])
        left = "SELECT 1 FROM pgqueuer WHERE status IN ('queued', 'picked')"
        await await_until(lambda: not rows(cloned_url, left), 30)
    keys = rows(cloned_url, "SELECT idempotency_key FROM outbox.notifications")
    moved = [int(key.removeprefix("pgqueuer:")) for (key,) in keys]
    assert sorted([*moved, *done]) == sorted(ids)
    assert moved
