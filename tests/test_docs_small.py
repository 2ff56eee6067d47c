"""The examples of pages that have but one or two: they run as they stand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from jinja2 import Template

import outbox
from outbox import config
from tests.command_line import run
from tests.hands import rows
from tests.test_docs import blocks


def test_the_page_about_webhooks_enqueues_what_it_shows(cloned_url: str) -> None:
    (program,) = blocks("docs/providers/standard.md", "python")
    with psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page
    ((channel, payload),) = rows(cloned_url, "SELECT channel, payload FROM outbox.notifications")
    (shown,) = blocks("docs/providers/standard.md", "json")
    assert channel == "webhook"
    assert (json.loads(shown)["type"], json.loads(shown)["data"]) == (payload["event"], payload["data"])


def test_the_page_about_webhooks_makes_keys() -> None:
    (commands,) = blocks("docs/providers/standard.md", "bash")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-ec", commands], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
    )
    assert [word.split("_")[0] for word in done.stdout.split()] == ["whsec", "whsk", "whpk"]


def test_the_page_about_apple_enqueues_for_a_device(cloned_url: str) -> None:
    (program,) = blocks("docs/providers/apns.md", "python")
    device = SimpleNamespace(token="ab" * 32, registered_at=datetime(2026, 5, 17, tzinfo=UTC))
    with psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn, "outbox": outbox, "device": device})  # noqa: S102 - our own page
    assert rows(cloned_url, "SELECT channel, recipient FROM outbox.notifications") == [("push", device.token)]


def test_the_page_about_web_push_makes_a_pair_of_keys(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("docs/providers/webpush.md", "python")
    exec(program, {})  # noqa: S102 - our own page
    private, public = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (private[0], public[0]) == ("private_key", "applicationServerKey")
    assert len(public[1].rstrip("=")) > len(private[1].rstrip("="))


def test_the_page_about_email_allows_a_server_of_ones_own_and_attaches_by_url(
    conn: psycopg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "outbox.toml").write_text("".join(blocks("docs/email.md", "toml")))
    attachments = config.load(tmp_path / "outbox.toml", environ={}).attachments
    assert (attachments.allow, attachments.ports, attachments.http) == (("127.0.0.1",), (9000,), ("127.0.0.1",))
    (attachment,) = blocks("docs/email.md", "json")
    payload = {"subject": "Hi", "text": "Hello", "attachments": [json.loads(attachment.replace("…", ""))]}
    assert outbox.enqueue(conn, channel="email", recipient="ada@example.org", payload=payload).created


def test_the_sentence_on_the_page_about_digests_counts() -> None:
    (sentence,) = blocks("docs/digests.md", "jinja")
    assert Template(sentence).render(first={"by": "Bob"}, count=3) == "Bob and 2 others liked your photo."
    assert Template(sentence).render(first={"by": "Bob"}, count=1) == "Bob liked your photo."


@pytest.mark.parametrize("page", ["docs/inapp.md", "docs/workers.md"])
def test_the_statement_on_the_page_runs(page: str, conn: psycopg.Connection) -> None:
    (statement,) = blocks(page, "sql")
    conn.execute(statement.encode())


def test_what_the_page_about_troubles_says_to_type_first_runs(cloned_url: str) -> None:
    (command,) = blocks("docs/troubleshooting.md", "bash")
    assert run(cloned_url, *command.split()[1:]).exit_code == 0
