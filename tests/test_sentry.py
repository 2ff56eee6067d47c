"""What nobody expected is reported to Sentry: a real worker, and a real server that is no more than an ear."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import psycopg
import pytest

import outbox
from outbox import errors, events
from outbox.config import SentryConfig, load
from outbox.defects import Defect
from outbox.outcomes import Dead
from outbox.sentry import Reports
from outbox.template_events import ComposeFailed
from tests.command_line import run_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = UUID("01980000-0000-7000-8000-000000000000")
PROVIDER = """
from pydantic import BaseModel
from outbox import Unreachable

class Settings(BaseModel):
    defect: bool = True

class Provider:
    def __init__(self, settings):
        self._settings = settings

    async def send(self, message, key):
        recipient = message.recipient
        if not self._settings.defect:
            raise Unreachable(f"no mailbox {recipient}", code="550")
        raise KeyError(f"{recipient} {message.subject}")

    async def aclose(self):
        pass
"""


class Ear:
    """An HTTP server that keeps the envelopes it is given."""

    def __init__(self) -> None:
        self.envelopes: list[list[dict[str, Any]]] = []
        self.heard = ""
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                ear.heard += f"{self.headers}{body.decode()}"
                ear.envelopes.append([json.loads(line) for line in body.splitlines() if line])
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = f"http://publickey@127.0.0.1:{self._server.server_port}/42"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def events(self) -> list[dict[str, Any]]:
        return [item for envelope in self.envelopes for item in envelope if "exception" in item]


@pytest.fixture
def ear() -> Iterator[Ear]:
    with Ear() as made:
        yield made


@pytest.fixture
def config(tmp_path: Path, cloned_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a worker whose provider has a defect; one notification waits for it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "broken.py").write_text(PROVIDER)
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.email]\nproviders = ["mine.broken"]\nmax_attempts = 1\n')
    with psycopg.connect(cloned_url) as conn:
        payload = {"subject": "a secret subject", "text": "a secret text"}
        outbox.enqueue(conn, channel="email", recipient="ada@example.org", payload=payload)
    return file


def _work(url: str, config: Path) -> subprocess.CompletedProcess[str]:
    return run_process(url, "worker", "--channel", "email", "--drain", "--config", str(config))


def test_a_defect_of_a_provider_is_reported_with_its_place_and_nothing_of_the_message(
    ear: Ear, config: Path, cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_DSN", ear.dsn)
    done = _work(cloned_url, config)
    assert done.returncode == 0, done.stderr
    (event,) = ear.events()
    (raised,) = event["exception"]["values"]
    assert raised["type"] == "KeyError"
    last = raised["stacktrace"]["frames"][-1]
    assert (last["module"], last["function"], last["filename"]) == ("mine.broken", "Provider.send", last["filename"])
    assert last["filename"].endswith("mine/broken.py")
    assert (event["tags"]["channel"], event["tags"]["provider"]) == ("email", "mine.broken")
    assert event["release"].startswith("outbox@")
    for secret in ("ada", "secret", "vars", "postgres", "password", "context_line"):
        assert secret not in ear.heard, secret


def test_what_a_provider_says_of_a_message_is_not_reported(ear: Ear, config: Path, cloned_url: str) -> None:
    config.write_text(f'{config.read_text()}\n[providers."mine.broken"]\ndefect = false\n[sentry]\ndsn = "{ear.dsn}"\n')
    assert _work(cloned_url, config).returncode == 0
    assert ear.events() == []


CRASH = """
import sys
from outbox.terminal import worker
from outbox.worker import process

def run(*_, **__):
    password = "a secret"
    raise ZeroDivisionError(password)

process.run = run
given = dict.fromkeys(("concurrency", "processes", "grace", "metrics_port", "metrics_host", "health_port",
                       "health_host", "database_url", "member", "priority", "log_format", "attached", "handlers"))
worker.run(given | {"config": None, "channel": ["email"], "drain": True, "verbose": False})
"""


def test_what_ends_a_process_is_reported_before_it_ends(ear: Ear, tmp_path: Path) -> None:
    env = os.environ | {
        "OUTBOX_SENTRY_DSN": ear.dsn,
        "OUTBOX_SENTRY_ENVIRONMENT": "staging",
        "OUTBOX_DATABASE_URL": "postgresql://outbox:hunter2@localhost/outbox",
    }
    done = subprocess.run([sys.executable, "-c", CRASH], cwd=tmp_path, env=env, check=False, capture_output=True)
    assert done.returncode == 1
    (event,) = ear.events()
    assert event["level"] == "fatal"
    assert event["environment"] == "staging"
    assert event["exception"]["values"][0]["type"] == "ZeroDivisionError"
    assert "secret" not in ear.heard
    assert "hunter2" not in ear.heard


def _defect() -> Defect:
    try:
        dict.fromkeys(("a", "b"), 1)["ada@example.org"]
    except KeyError as error:
        return Defect.of(error)
    pytest.fail("it is there")


def test_the_same_defect_is_reported_once_a_minute_and_the_others_are_counted(ear: Ear) -> None:
    now = 0.0
    reports = Reports(load(environ={"SENTRY_DSN": ear.dsn}).sentry, clock=lambda: now)
    defect = _defect()
    for _ in range(50):
        reports(ComposeFailed(ID, "email", "welcome", "KeyError", "KeyError at a.py:1", defect))
    reports(ComposeFailed(ID, "email", "goodbye", "KeyError", "KeyError at a.py:1", defect))
    now = 61.0
    reports(ComposeFailed(ID, "email", "welcome", "KeyError", "KeyError at a.py:1", defect))
    reports.close()
    told = [(event["tags"]["template"], event["extra"]["more_since_the_last_report"]) for event in ear.events()]
    assert told == [("welcome", 0), ("goodbye", 0), ("welcome", 49)]


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (events.ChoreFailed("retention", "TypeError at chores.py:1", _defect()), True),
        (events.ChoreFailed("retention", "InsufficientPrivilege: no"), False),
        (events.ProcessDied(2, 4711, "was killed by SIGSEGV", 0.5), True),
        (events.LoopStuck(903.0), True),
        (events.Attempted(ID, "email", 1, Dead(reason="rejected"), 0.1, 0.0), False),
        (events.ProviderHeld("email", "smtp", 30.0, errors.Misconfigured("bad password", code="535")), False),
        (events.DatabaseLost("claim", "OperationalError: gone", 0.5), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_the_unexpected_is_told(ear: Ear, event: events.Event, *, told: bool) -> None:
    reports = Reports(load(environ={"SENTRY_DSN": ear.dsn}).sentry)
    reports(event)
    reports.close()
    assert len(ear.events()) == told


def test_a_dsn_that_is_none_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match=r"SENTRY_DSN: sentry.dsn: it must be a DSN") as refused:
        load(environ={"SENTRY_DSN": "hunter2"})
    assert "hunter2" not in str(refused.value)
    (tmp_path / "outbox.toml").write_text('[sentry]\ndns = "https://key@sentry.example.org/1"\n')
    with pytest.raises(errors.ConfigError, match="did you mean dsn"):
        load(tmp_path / "outbox.toml", environ={})


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(errors.ConfigError, match=r"install outbox\[sentry\]"):
        Reports(SentryConfig(dsn="https://key@sentry.example.org/1"))  # type: ignore[arg-type]
