"""An attempt says what was sent, and of which template, in digests that an audit can compare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import config
from outbox.errors import Temporary
from outbox.render import Templates
from outbox.worker import process
from tests.command_line import run
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.route import Route

ATTEMPTS = """
SELECT outcome, encode(content_digest, 'hex'), encode(template_digest, 'hex') FROM outbox.attempts ORDER BY finished_at
"""
FILES = {
    "outbox.toml": """
        [channels.email]
        providers = ["recorder"]
        max_attempts = 1
        [channels.inapp]
        providers = ["inbox"]
    """,
    "templates/shipped/subject.txt": "Shipped",
    "templates/shipped/body.txt": "Dear {{ name }}{% include '_foot.txt' %}",
    "templates/_foot.txt": "Bye",
    "templates/other/body.txt": "x",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def route(folder: Path, url: str, channel: str, recorder: Recorder | None = None) -> Route:
    settings = config.load(folder / "outbox.toml", environ={}, overrides={"database.url": url})
    (made,) = process.routes(settings, [channel], lambda _: None)
    if recorder is not None:
        made.providers = {"recorder": recorder}
    return made


def rendered(folder: Path, channel: str, name: str = "Ada") -> tuple[str, str]:
    """What `outbox template render` says of the same."""
    given = json.dumps({"name": name})
    options = ("--payload", given, "--channel", channel, "--json", "--config", folder / "outbox.toml")
    said: dict[str, Any] = json.loads(run("", "template", "render", "shipped", *options).stdout)
    return said["content"], said["source"]


@pytest.mark.parametrize("channel", ["email", "inapp"])
async def test_what_was_sent_can_be_told_from_anything_else(folder: Path, cloned_url: str, channel: str) -> None:
    (sent,) = enqueue(cloned_url, channel=channel, template="shipped", payload={"name": "Ada"})
    await drain(cloned_url, route(folder, cloned_url, channel))
    ((outcome, content, source),) = rows(cloned_url, ATTEMPTS)
    assert (outcome, content, source) == ("sent", *rendered(folder, channel))
    assert content != rendered(folder, channel, "Bob")[0]
    shown = run(cloned_url, "explain", sent).stdout
    assert content in shown
    assert source in shown
    (attempt,) = json.loads(run(cloned_url, "explain", sent, "--json").stdout)["history"]
    assert (attempt["content_digest"], attempt["template_digest"]) == (content, source)


async def test_what_was_refused_has_its_digests_too_and_what_was_not_rendered_has_none(
    folder: Path, cloned_url: str
) -> None:
    enqueue(cloned_url, template="shipped", payload={"name": "Ada"})
    enqueue(cloned_url)
    refusing = Recorder()
    refusing.failing = Temporary("try later")
    await drain(cloned_url, route(folder, cloned_url, "email", refusing))
    assert sorted(rows(cloned_url, ATTEMPTS), key=str) == [
        ("dead", *rendered(folder, "email")),
        ("dead", None, None),
    ]


async def test_one_batch_may_have_both(folder: Path, cloned_url: str) -> None:
    enqueue(cloned_url, 3, template="shipped", payload={"name": "Ada"})
    enqueue(cloned_url, 3)
    await drain(cloned_url, route(folder, cloned_url, "email"), settle_linger=0.05)
    digests = [row[1] for row in rows(cloned_url, ATTEMPTS)]
    assert digests.count(None) == 3
    assert set(digests) == {None, rendered(folder, "email")[0]}


async def test_whoever_is_erased_leaves_no_digest_of_what_they_were_told(folder: Path, cloned_url: str) -> None:
    enqueue(cloned_url, recipient="ada@example.org", template="shipped", payload={"name": "Ada"})
    await drain(cloned_url, route(folder, cloned_url, "email"))
    with psycopg.connect(cloned_url) as conn:
        outbox.erase(conn, recipient="ada@example.org")
    ((outcome, content, source),) = rows(cloned_url, ATTEMPTS)
    assert (outcome, content) == ("sent", None)
    assert source is not None


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("shipped/body.txt", True),
        ("shipped/pt/body.txt", True),
        ("shipped/template.toml", True),
        ("_foot.txt", True),
        ("shipped/sample.json", False),
        ("shipped/again/subject.txt", True),
        ("other/body.txt", False),
        ("_other.txt", False),
    ],
)
def test_the_digest_of_a_template_is_of_all_that_it_says_and_of_nothing_else(
    folder: Path,
    path: str,
    counts: bool,  # noqa: FBT001
) -> None:
    before = Templates(folder / "templates").digest("shipped")
    file = folder / "templates" / path
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    assert (Templates(folder / "templates").digest("shipped") != before) is counts


def test_where_a_name_is_computed_every_file_counts(folder: Path) -> None:
    body = folder / "templates" / "shipped" / "body.txt"
    body.write_text("{% include '_' ~ name ~ '.txt' %}")
    before = Templates(folder / "templates").digest("shipped")
    (folder / "templates" / "_bar.txt").write_text("x")
    assert Templates(folder / "templates").digest("shipped") != before
