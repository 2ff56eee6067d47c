from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from outbox.config import Config
from outbox.doctor.examination import examine
from outbox.doctor.patient import Patient
from tests import pooler
from tests.doctor.examined import finding, findings, status
from tests.fleet import ROOT
from tests.hands import rows
from tests.pooler import Pooler

if TYPE_CHECKING:
    from collections.abc import Iterator


def through_a_wrong_clock(url: str, seconds: float) -> dict[str, Any]:
    """What the command says in a process whose clock is so far ahead."""
    command = ["-m", "tests.chaos.wrong_clock", str(seconds), "0", "outbox", "doctor", "--only", "clock", "--json"]
    env = os.environ | {"OUTBOX_DATABASE_URL": url}
    done = subprocess.run([sys.executable, *command], env=env, cwd=ROOT, check=False, capture_output=True, text=True)
    (found,) = json.loads(done.stdout)["findings"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("seconds", "expected", "words"),
    [
        (0, "ok", "this machine and the database agree to "),
        (10, "warning", "this machine's clock is 10.0 s ahead of the database's"),
        (-100, "failure", "this machine's clock is 100.0 s behind the database's"),
    ],
)
def test_a_clock_that_is_wrong_is_told_from_one_that_is_right(
    database_url: str, seconds: float, expected: str, words: str
) -> None:
    found = through_a_wrong_clock(database_url, seconds)
    assert found["status"] == expected
    assert found["finding"].startswith(words.rpartition(".0 s")[0] or words)
    assert abs(found["details"]["skew_seconds"] + seconds) < 1


def test_a_notification_comes_back_where_nothing_lies_between(database_url: str) -> None:
    (listen,), (between,) = findings(database_url, "listen"), findings(database_url, "pooler")
    assert listen.finding.startswith("a notification came back after ")
    assert between.finding == "there is no pooler in between"


needs_pgbouncer = pytest.mark.skipif(pooler.PROGRAM is None, reason="no pgbouncer on PATH or in /usr/sbin")


@pytest.fixture(params=[1, 3])
def pooled(cloned_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    with Pooler(cloned_url, size=request.param) as made:
        yield made.url


@needs_pgbouncer
def test_a_pooler_that_swallows_notifications_is_found_and_a_url_past_it_is_the_remedy(
    pooled: str, cloned_url: str
) -> None:
    found = finding(pooled, "listen")
    assert found.status == "warning"
    assert found.finding.endswith("nothing is heard, through a pooler as a rule: workers poll every 1 s")
    assert found.remedy.startswith("give workers a URL that leads to the server itself")
    assert status(cloned_url, "listen") == "ok"


@needs_pgbouncer
def test_a_pooler_in_transaction_mode_is_known_by_what_it_does(pooled: str) -> None:
    (found,) = findings(pooled, "pooler")
    assert found.details == {"mode": "transaction"}
    assert (found.status, "prepare_threshold=None" in found.remedy) == ("warning", True)
    assert rows(pooled, "SELECT name FROM pg_prepared_statements") == [], "nothing is left behind"
    assert status(pooled, "overdue") == "ok", "everything else can be looked at through it"


@needs_pgbouncer
def test_every_check_can_be_made_through_a_pooler(pooled: str) -> None:
    with closing(Patient(pooled, Config())) as patient:
        unseen = [each.check.name for each in examine(patient) if each.status == "unknown"]
    assert unseen == ["configuration"]


@needs_pgbouncer
def test_a_pooler_that_leaves_everybody_a_server_is_no_trouble(cloned_url: str) -> None:
    with Pooler(cloned_url, size=5, mode="session") as made:
        assert findings(made.url, "pooler")[0].details == {"mode": "session"}
        assert status(made.url, "pooler") == status(made.url, "listen") == "ok"
