"""Every recipe of docs/how-to.md does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

import outbox
from outbox.outcomes import Dead, Retry
from tests.command_line import run
from tests.endings import put
from tests.hands import TROUBLE, enqueue, rows

PAGE = (Path(__file__).parents[1] / "docs" / "how-to.md").read_text(encoding="utf-8")
DEAD = Dead(provider="smtp", failure=TROUBLE, reason="exhausted")
RECIPES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def _blocks(recipe: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", RECIPES[recipe], re.MULTILINE | re.DOTALL)


def _do(url: str, program: str) -> None:
    with psycopg.connect(url) as conn:
        exec(program, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page


def test_a_code_expires_and_replaces_the_one_before(cloned_url: str) -> None:
    (asks,) = _blocks("Send a verification code that expires", "python")
    _do(cloned_url, asks)
    _do(cloned_url, asks)
    told = "SELECT state, priority, expires_at - created_at = interval '5 minutes' FROM outbox.status ORDER BY id"
    assert rows(cloned_url, told) == [("cancelled", 0, True), ("due", 0, True)]


def test_what_waits_for_ten_minutes_is_taken_back(cloned_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    enqueues, cancels = _blocks("Send it in ten minutes, unless something happens", "python")
    _do(cloned_url, enqueues)
    assert rows(cloned_url, "SELECT state, run_at - created_at > interval '9 minutes' FROM outbox.status") == [
        ("scheduled", True)
    ]
    _do(cloned_url, cancels)
    assert capsys.readouterr().out == "1 will not be sent; 0 was sent already\n"
    assert rows(cloned_url, "SELECT state FROM outbox.status") == [("cancelled",)]


def test_a_key_finds_the_first(cloned_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (enqueues,) = _blocks("Stop sending twice", "python")
    _do(cloned_url, enqueues)
    _do(cloned_url, enqueues)
    assert capsys.readouterr().out == "enqueued\nwas there already\n"
    with pytest.raises(outbox.IdempotencyConflict):
        _do(cloned_url, enqueues.replace('{"order": 42}', '{"order": 43}'))
    assert rows(cloned_url, "SELECT count(*) FROM outbox.notifications") == [(1,)]


def test_one_email_is_found_and_explained(cloned_url: str) -> None:
    enqueue(cloned_url, recipient="ada@example.org")
    enqueue(cloned_url, recipient="bob@example.org")
    (finds,) = _blocks("Find out what happened to one email", "sql")
    ((found, *_),) = rows(cloned_url, finds)
    (explains,) = _blocks("Find out what happened to one email", "bash")
    told = run(cloned_url, *explains.replace("ID", str(found)).split()[1:])
    assert "ada@example.org" in told.stdout


def test_what_waits_for_its_next_attempt_is_made_due(cloned_url: str) -> None:
    (id_,) = put(cloned_url, 1, Retry(provider="smtp", failure=TROUBLE, delay=3600))
    (makes_due,) = _blocks("Retry something by hand", "sql")
    assert rows(cloned_url, "SELECT state FROM outbox.status") == [("retrying",)]
    rows(cloned_url, makes_due.replace("ID", str(id_)))
    assert rows(cloned_url, "SELECT run_at <= now() FROM outbox.queue") == [(True,)]


def test_a_dead_letter_is_replayed_by_hand(cloned_url: str) -> None:
    (id_,) = put(cloned_url, 1, DEAD)
    (replays,) = _blocks("Retry something by hand", "bash")
    assert run(cloned_url, *replays.replace("ID", str(id_)).split()[1:]).exit_code == 0
    assert rows(cloned_url, "SELECT state FROM outbox.status") == [("due",)]


def test_what_died_in_an_outage_is_looked_at_and_tried(cloned_url: str) -> None:
    put(cloned_url, 3, DEAD)
    groups, dry_run, canary = _blocks("Replay after an outage", "bash")[0].splitlines()
    shown = run(cloned_url, *groups.split()[1:], "--json")
    (group,) = (each["id"] for each in json.loads(shown.stdout)["groups"])
    told = run(cloned_url, *dry_run.replace("GROUP", group).split()[1:])
    assert "3" in told.stdout + told.stderr
    impatient = ["--canary-timeout", "1s"]  # no worker is here to send any
    tried = run(cloned_url, *shlex.split(canary.replace("GROUP", group))[1:], *impatient)
    assert tried.exit_code == 3
    assert rows(cloned_url, "SELECT state, count(*) FROM outbox.status GROUP BY 1") == [("due", 3)]


def test_a_language_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "templates" / "welcome").mkdir(parents=True)
    for name, text in (
        ("subject.txt", "Welcome, {{ name }}"),
        ("body.txt", "Hello"),
        ("sample.json", '{"name": "Ada"}'),
    ):
        (tmp_path / "templates" / "welcome" / name).write_text(text)
    (tmp_path / "outbox.toml").write_text("")
    (adds,) = _blocks("Add a language", "bash")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-ec", adds],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "Bem-vinda, Ada" in done.stdout
