"""The log as people and programs get it: from real processes, on terminals and in pipes."""

from __future__ import annotations

import json
import logging
import os
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

import outbox
from outbox import errors, events, logs
from outbox.logs.flood import Flood
from outbox.outcomes import Retry, Sent
from tests.command_line import run_on_a_terminal, run_process

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
ID = UUID("01980000-0000-7000-8000-000000000000")
FAILURE = errors.Temporary("451 try later, ada@example.org or +44 7700 900001", code="451 4.3.0")
BROKEN = """
from pydantic import BaseModel
from outbox import Temporary, Unreachable

class Settings(BaseModel):
    pass

class Provider:
    def __init__(self, settings):
        pass

    async def send(self, message, key):
        raise Unreachable(f"no mailbox {message.recipient} here", code="550 5.1.1")

    async def aclose(self):
        pass
"""


@pytest.fixture
def worker(tmp_path: Path, cloned_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a worker whose provider knows nobody; one notification waits for it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "broken.py").write_text(BROKEN)
    config = tmp_path / "outbox.toml"
    config.write_text('[channels.email]\nproviders = ["mine.broken"]\n')
    with psycopg.connect(cloned_url) as conn:
        payload = {"subject": "a secret subject", "text": "a secret text"}
        outbox.enqueue(conn, channel="email", recipient="ada@example.org", payload=payload)
    return config


def _arguments(config: Path, *more: str) -> tuple[str, ...]:
    return ("worker", "--channel", "email", "--drain", "--config", str(config), *more)


def test_in_a_pipe_each_line_is_a_json_object_that_says_which_and_why_but_not_whom(
    worker: Path, cloned_url: str
) -> None:
    written = run_process(cloned_url, *_arguments(worker)).stderr
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["event"] for line in lines] == ["WorkerStarted", "Attempted", "WorkerStopping", "WorkerStopped"]
    attempted = lines[1]
    assert attempted | {"time": "", "notification_id": "", "message": "", "duration": 0.0, "waited": 0.0} == {
        "time": "",
        "level": "warning",
        "logger": "outbox",
        "message": "",
        "worker": lines[0]["worker"],
        "event": "Attempted",
        "notification_id": "",
        "channel": "email",
        "provider": "mine.broken",
        "attempt": 1,
        "outcome": "dead",
        "reason": "unreachable",
        "class": "unreachable",
        "code": "550 5.1.1",
        "detail": "no mailbox … here",
        "duration": 0.0,
        "waited": 0.0,
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", attempted["time"])
    assert attempted["duration"] > 0
    assert attempted["notification_id"] in attempted["message"]
    assert "ada@" not in written
    assert "secret" not in written


def test_recipients_are_named_where_the_configuration_says_so_and_then_masked(worker: Path, cloned_url: str) -> None:
    worker.write_text(worker.read_text() + '[log]\nrecipients = "masked"\n')
    written = run_process(cloned_url, *_arguments(worker)).stderr
    (attempted,) = [line for line in map(json.loads, written.splitlines()) if line["event"] == "Attempted"]
    assert attempted["recipient"] == "a***@example.org"
    assert "ada@" not in written


def test_on_a_terminal_it_is_words_in_colours(worker: Path, cloned_url: str) -> None:
    _, seen = run_on_a_terminal(cloned_url, *_arguments(worker))
    warning = next(line for line in seen.splitlines() if "dead (unreachable)" in line)
    assert warning.partition(" ")[2].startswith("\033[33mWARNING\033[0m email ")


def test_no_color_is_heeded_on_a_terminal(worker: Path, cloned_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    _, seen = run_on_a_terminal(cloned_url, *_arguments(worker))
    assert "WARNING email " in seen
    assert "\033[" not in seen


@pytest.mark.parametrize(("style", "begins"), [("text", r"\d\d:\d\d:\d\d WARNING email "), ("json", "{")])
def test_either_can_be_asked_for(worker: Path, cloned_url: str, style: str, begins: str) -> None:
    worker.write_text(worker.read_text() + '[log]\nformat = "auto"\nlevel = "warning"\n')
    (line,) = run_process(cloned_url, *_arguments(worker, "--log-format", style)).stderr.splitlines()
    assert re.match(begins, line)
    refused = run_process(cloned_url, *_arguments(worker, "--log-format", "xml"))
    assert (refused.returncode, "log.format" in refused.stderr) == (2, True)


WRITER = """
import sys
from outbox import logs, template_events
logs.configure(style=sys.argv[1], process=int(sys.argv[2]))
long = tuple(f"{sys.argv[2]} {number} " + "ü" * 300 for number in range(60))
for number in range(100):
    logs.log(template_events.TemplatesRefused(long if number % 2 else (sys.argv[2],)))
"""


@pytest.mark.parametrize("style", ["json", "text"])
def test_lines_of_several_processes_do_not_mix(style: str) -> None:
    ours, theirs = os.pipe()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, style, str(number)], stderr=theirs, cwd=ROOT)
        for number in range(1, 5)
    ]
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        lines = pipe.read().splitlines(keepends=True)
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(lines) == 400
    assert max(map(len, lines)) <= select.PIPE_BUF
    for line in lines:
        if style == "json":
            read = json.loads(line)
            assert all(problem.split()[0] == str(read["process"]) for problem in read["problems"])
            assert read.get("cut", False) == (len(read["problems"]) > 1)
        else:
            which = re.match(r"\d\d:\d\d:\d\d ERROR   \[(\d)\] templates have changed", line.decode())
            assert which is not None
            assert line.count(b" templates have") == 1


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """What an application's own handler gets."""
    got: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            got.append(record)

    handler, before = Handler(), (logs.logger.level, logs.logger.propagate, logs.logger.handlers[:])
    logs.logger.handlers[:] = [handler]
    logs.logger.setLevel(logging.INFO)
    yield got
    logs.logger.setLevel(before[0])
    logs.logger.propagate, logs.logger.handlers[:] = before[1], before[2]


def test_an_applications_own_handler_gets_the_event_and_the_worker(records: list[logging.LogRecord]) -> None:
    log = logs.Log()
    held = events.ProviderHeld("email", "smtp", 30.0, errors.Misconfigured("bad password", code="535"))
    log(events.WorkerStarted(17, ("email",)))
    log(held)
    assert [(record.levelname, vars(record)["worker"]) for record in records] == [("INFO", 17), ("ERROR", 17)]
    assert vars(records[1])["event"] is held
    line = json.loads(logs.JsonLines().format(records[1]))
    assert (line["class"], line["code"], line["worker"]) == ("misconfigured", "535", 17)


def test_records_of_others_become_lines_too() -> None:
    record = logging.makeLogRecord({"name": "acme", "msg": "hello %s", "args": ("you",), "levelname": "INFO"})
    line = json.loads(logs.JsonLines().format(record))
    assert (line["logger"], line["level"], line["message"]) == ("acme", "info", "hello you")


def _failed(**more: Any) -> events.Attempted:
    return events.Attempted(ID, "email", 1, Retry(provider="smtp", delay=3.0), 0.01, 0.0, **more)


def test_a_trace_is_named(records: list[logging.LogRecord]) -> None:
    logs.log(_failed(trace="0af7651916cd43dd8448eb211c80319c"))
    assert json.loads(logs.JsonLines().format(records[0]))["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


def test_what_a_provider_says_of_a_recipient_is_left_out(records: list[logging.LogRecord]) -> None:
    logs.log(events.FailedOver(ID, "email", "smtp", FAILURE))
    logs.log(events.ProviderHeld("email", "smtp", 30.0, FAILURE))
    for record in records:
        for line in (record.getMessage(), logs.JsonLines().format(record)):
            assert "451 try later, … or …" in line
            assert "example.org" not in line


def test_in_a_flood_the_first_of_a_second_are_told_and_the_others_counted(records: list[logging.LogRecord]) -> None:
    log = logs.Log(most=3)
    for _ in range(10):
        log(_failed())
        log(events.FailedOver(ID, "email", "smtp", FAILURE))
        log(events.Attempted(ID, "email", 1, Sent(provider="smtp"), 0.01, 0.0))
    assert len(records) == 3
    log(events.WorkerStopped(17, 0, {}))
    summed_up = records[3]
    assert summed_up.getMessage() == "17 more lines about single notifications within a second: 9 FailedOver, 8 retry"
    assert json.loads(logs.JsonLines().format(summed_up))["kinds"] == {"retry": 8, "FailedOver": 9}
    assert records[4].getMessage().startswith("worker 17 stopped")


def test_a_flood_begins_anew_each_second() -> None:
    now = 0.0
    flood = Flood(2, clock=lambda: now)
    assert [flood.lets_by("retry") for _ in range(4)] == [True, True, False, False]
    assert flood.sum_up() is None
    now = 1.5
    summed_up = flood.sum_up()
    assert summed_up is not None
    assert summed_up.kinds == {"retry": 2}
    assert flood.sum_up() is None
    assert [flood.lets_by("retry") for _ in range(3)] == [True, True, False]


def test_at_debug_everything_is_told(records: list[logging.LogRecord]) -> None:
    logs.logger.setLevel(logging.DEBUG)
    log = logs.Log(most=3)
    for _ in range(10):
        log(_failed())
    assert len(records) == 10
