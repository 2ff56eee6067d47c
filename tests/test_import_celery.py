"""`outbox import celery`: messages that its own producers wrote, and what its own worker says of its tasks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.importing.celery import documents, requests, task
from outbox.importing.mapping import Rule
from outbox.importing.source import CannotCarry
from outbox.importing.task import notification
from outbox.importing.task_list import read
from outbox.queue.draft import Draft
from tests.command_line import run
from tests.hands import rows
from tests.migrating.celery_shop import Shop
from tests.migrating.killing import kill_often

if TYPE_CHECKING:
    from pathlib import Path

MAPPING = """
[priorities]
9 = "high"

[tasks."shop.tasks.welcome"]
channel = "email"
recipient = "{email}"
template = "welcome"
arguments = ["email"]
drop = ["email"]
"""
STORED = "SELECT recipient, payload, priority, idempotency_key FROM outbox.notifications ORDER BY recipient"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.toml"
    file.write_text(MAPPING)
    return file


def test_messages_become_notifications_and_the_same_again_none(database_url: str, shop: Shop, mapping: Path) -> None:
    later = datetime(2040, 1, 1, 12, tzinfo=UTC)
    ada = shop.welcome.delay("ada@example.org", name="Ädä")
    bob = shop.welcome.apply_async(
        kwargs={"email": "bob@example.org"}, eta=later, expires=later + timedelta(days=1), priority=9
    )
    told = run(database_url, "import", "celery", "-", "--map", mapping, "--dry-run", given=shop.messages())
    assert told.exit_code == 0
    assert "  such as shop.tasks.welcome: email to a***@example.org, template welcome, with name" in told.stdout
    assert rows(database_url, STORED) == []
    done = run(database_url, "import", "celery", "-", "--map", mapping, given=shop.messages())
    assert (done.exit_code, done.stdout) == (0, "✓ imported 2 from celery\n")
    assert rows(database_url, STORED) == [
        ("ada@example.org", {"name": "Ädä"}, 5, f"celery:{ada.id}"),
        ("bob@example.org", {}, 2, f"celery:{bob.id}"),
    ]
    moments = "SELECT run_at, expires_at FROM outbox.notifications WHERE recipient = 'bob@example.org'"
    assert rows(database_url, moments) == [(later, later + timedelta(days=1))]
    again = run(database_url, "import", "celery", "-", "--map", mapping, "--json", given=shop.messages())
    assert (json.loads(again.stdout)["imported"], json.loads(again.stdout)["existing"]) == (0, 2)


def test_what_a_worker_says_of_its_scheduled_tasks_is_read(
    database_url: str, shop: Shop, mapping: Path, tmp_path: Path
) -> None:
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    bob = shop.welcome.apply_async(["bob@example.org"], {"name": "Bob"}, eta=later)
    file = tmp_path / "scheduled.json"
    file.write_text(json.dumps({"celery@shop": shop.scheduled()}))
    done = run(database_url, "import", "celery", file, "--map", mapping)
    assert (done.exit_code, done.stdout) == (0, "✓ imported 1 from celery\n")
    stored = "SELECT recipient, payload, run_at, idempotency_key FROM outbox.notifications"
    assert rows(database_url, stored) == [("bob@example.org", {"name": "Bob"}, later, f"celery:{bob.id}")]


def test_what_others_follow_and_what_is_not_mapped_stay(database_url: str, shop: Shop, mapping: Path) -> None:
    (shop.welcome.s("ada@example.org") | shop.welcome.si("bob@example.org")).apply_async()
    shop.app.send_task("shop.tasks.report", ["x"])
    shop.app.send_task("shop.tasks.welcome", ["ada@example.org", "Ada"])
    done = run(database_url, "import", "celery", "-", "--map", mapping, "--json", given=shop.messages())
    assert done.exit_code == 1
    assert sorted((each["task"], each["why"]) for each in json.loads(done.stdout)["left"]) == [
        ("(unreadable)", "others follow it: a chain, a chord, or a callback"),
        ("shop.tasks.report", "the mapping does not have it"),
        ("shop.tasks.welcome", "it has 2 positional arguments, and the mapping names 1: see arguments"),
    ]
    assert rows(database_url, STORED) == []


def test_a_sketch_names_the_arguments(database_url: str, shop: Shop) -> None:
    shop.welcome.delay("ada@example.org", name="Ada")
    sketch = run(database_url, "import", "celery", "-", "--sketch", given=shop.messages()).stdout
    assert "# arguments: (number 1), name" in sketch


@pytest.mark.parametrize(("text", "says"), [
    ('{"task": "a", "id": "1"}\n{"task": "b", ', "standard input: line 2: is not JSON"),
    ("7", "standard input: line 1: is neither a task, nor a message, nor a list of these"),
    ('{"task": "a", "id": "1"}\n"words"', "standard input: line 2: is neither a task"),
])  # fmt: skip
def test_what_is_no_list_of_tasks_is_refused_with_its_line(
    database_url: str, mapping: Path, text: str, says: str
) -> None:
    refused = run(database_url, "import", "celery", "-", "--map", mapping, given=text)
    assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr


@pytest.mark.timeout(240)  # it starts five importers, one after another
async def test_each_task_is_a_notification_once_however_often_the_importer_is_killed(
    cloned_url: str, mapping: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tasks.jsonl"
    lines = [
        json.dumps({"task": "shop.tasks.welcome", "id": f"t{number}", "args": [f"u{number}@example.org"]})
        for number in range(300)
    ]
    file.write_text("\n".join(lines))
    await kill_often(cloned_url, ["import", "celery", str(file), "--map", str(mapping), "--chunk", "2"])
    counts = "SELECT count(*), count(DISTINCT recipient) FROM outbox.notifications"
    assert rows(cloned_url, counts) == [(300, 300)]


NAMES = st.text("abcxyz", min_size=1, max_size=3).map(lambda name: f"arg_{name}")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.lists(st.integers()) | st.dictionaries(NAMES, VALUES), max_size=5), st.sampled_from(["", "\n", " \n\n"])
)
def test_documents_are_read_whatever_stands_between_them(values: list[Any], between: str) -> None:
    text = between.join(json.dumps(value) for value in values)
    assert [value for _, value in documents(text)] == values


@given(st.lists(VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
def test_arguments_come_through_a_message_and_a_mapping_unchanged(positional: list[Any], named: dict[str, Any]) -> None:
    names = [f"positional_{number}" for number in range(len(positional))]
    body = json.dumps([positional, named, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    message = {
        "body": body,
        "content-type": "application/json",
        "headers": {"task": "t", "id": "1"},
        "properties": {"delivery_info": {"routing_key": "q"}},
    }
    for given_as in (message, [message, "", "q"], {"task": "t", "id": "1", "args": positional, "kwargs": named}):
        (request,) = requests(json.loads(json.dumps(given_as)))
        rule = Rule(channel="work", arguments=tuple(names), rename={name: f"new_{name}" for name in named})
        made = notification(task(request), rule)
        Draft.of(made)
        assert made["payload"] == dict(zip(names, positional, strict=True)) | {
            f"new_{name}": value for name, value in named.items()
        }


MESSAGE = {"body": "e30=", "headers": {"task": "t"}, "content-type": "application/json"}


@pytest.mark.parametrize(("request_", "why"), [
    ({"task": "t"}, "it has no name or no id"),
    ({"task": "t", "id": "1", "args": "('ada',)"}, "its arguments are no JSON"),
    ({"task": "t", "id": "1", "eta": "soon"}, "its eta is no moment"),
    ({"body": "", "headers": {}}, "it is a message of protocol 1"),
    (MESSAGE | {"content-type": "application/x-python-serialize"}, "not as JSON"),
    (MESSAGE | {"headers": {"task": "t", "compression": "application/x-gzip"}}, "it is compressed"),
    (MESSAGE | {"properties": {"body_encoding": "base64"}}, "its body is not that of protocol 2"),
])  # fmt: skip
def test_what_cannot_be_read_says_why(request_: dict[str, Any], why: str) -> None:
    with pytest.raises(CannotCarry, match=why):
        task(request_)


def test_only_the_queues_that_are_named_count(database_url: str, shop: Shop, mapping: Path) -> None:
    shop.welcome.apply_async(["ada@example.org"], queue="mail")
    shop.welcome.apply_async(["bob@example.org"], queue="other")
    mapping.write_text(f'queues = ["mail"]\n{MAPPING}')
    assert run(database_url, "import", "celery", "-", "--map", mapping, given=shop.messages()).exit_code == 0
    assert [recipient for recipient, *_ in rows(database_url, STORED)] == ["ada@example.org"]


def test_a_file_is_read_whole_or_not_at_all() -> None:
    assert [each["id"] for each in read('{"celery@a": [{"name": "t", "id": "1"}], "celery@b": []}')] == ["1"]
