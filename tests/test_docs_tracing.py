"""The pages about logs and traces are right."""

from __future__ import annotations

import json
import logging
import re
import tomllib
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from outbox import config, events, logs
from outbox.outcomes import Dead, Failure
from tests.hands import rows
from tests.test_docs import ROOT, blocks
from tests.test_traces import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ID = UUID("0198c1f2-7a3e-7c11-9d51-0b6a3f3c2a10")
ATTEMPT = events.Attempted(
    ID,
    "email",
    1,
    Dead(provider="smtp", failure=Failure("unreachable", "550 5.1.1", "no such user"), reason="unreachable"),
    0.084,
    0.003,
    trace="0af7651916cd43dd8448eb211c80319c",
)


def table(page: str) -> set[str]:
    """The names in the first column of a page's table."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    return {name for line in lines if line.startswith("| `") for name in re.findall(r"`([\w.]+)`", line.split("|")[1])}


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    logger = logging.getLogger("outbox")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def _line(event: events.Event = ATTEMPT, worker: int | None = 17) -> dict[str, Any]:
    got: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            got.append(record)

    logs.logger.handlers[:] = [Handler()]
    logs.log(event, worker)
    line: dict[str, Any] = json.loads(logs.JsonLines(process=2).format(got[0]))
    return line


@pytest.mark.usefixtures("_logging_as_it_was")
def test_the_page_about_logs_shows_a_line_as_it_is() -> None:
    (shown,) = blocks("docs/logs.md", "json")
    written = _line() | {"time": json.loads(shown)["time"]}
    del written["process"]
    assert json.loads(shown) == written


@pytest.mark.usefixtures("_logging_as_it_was")
def test_the_page_about_logs_names_every_key_of_an_attempt() -> None:
    whole = ATTEMPT._replace(
        recipient="a***@example.org",
        outcome=Dead(
            provider="smtp", failure=Failure("temporary", "451", ""), reason="x", delay=1.0, provider_message_id="q1"
        ),
    )
    assert set(_line(whole)) == table("docs/logs.md")


def test_the_settings_on_the_page_are_the_defaults(tmp_path: Path) -> None:
    settings, _ = blocks("docs/logs.md", "toml")
    (tmp_path / "outbox.toml").write_text(settings)
    assert config.load(tmp_path / "outbox.toml", environ={}).log == config.LogConfig()


def test_the_collector_on_the_page_reads_keys_that_there_are() -> None:
    _, vector = blocks("docs/logs.md", "toml")
    read = tomllib.loads(vector)
    components = read["sources"] | read["transforms"] | read["sinks"]
    for each in [*read["transforms"].values(), *read["sinks"].values()]:
        assert set(each["inputs"]) <= set(components)
    named = re.findall(r"\{\{ (\w+) \}\}|= parse_timestamp!\(\.(\w+)", vector)
    assert {name for pair in named for name in pair if name} <= table("docs/logs.md")
    (queries,) = blocks("docs/logs.md", "logql")
    asked = re.findall(r"(\w+)!?=\"|\{\{\.(\w+)\}\}|by \((\w+), (\w+)\)", queries)
    assert {name for names in asked for name in names if name} - {"job"} <= table("docs/logs.md")


@pytest.mark.usefixtures("_logging_as_it_was")
def test_an_application_configures_the_log_as_the_page_does(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = blocks("docs/logs.md", "python")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - the page's own
    names["listener"](ATTEMPT)
    assert json.loads(capsys.readouterr().err)["notification_id"] == str(ID)


def test_the_application_on_the_page_about_traces_stores_its_trace(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = blocks("docs/tracing.md", "python")
    provider = TracerProvider()
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    connect = psycopg.connect
    with monkeypatch.context() as here:
        here.setattr(psycopg, "connect", lambda: connect(cloned_url))
        exec(program, {})  # noqa: S102 - the page's own
    ((stored,),) = rows(cloned_url, "SELECT trace FROM outbox.notifications")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[13]", stored)


def test_the_statements_on_the_page_about_traces_run(conn: psycopg.Connection) -> None:
    written, asked = blocks("docs/tracing.md", "sql")
    for statement in written.split(";")[:2]:
        conn.execute(statement.encode())
    assert len(conn.execute(asked.encode()).fetchall()) == 2


def test_the_page_about_traces_names_every_attribute() -> None:
    assert {name for name in table("docs/tracing.md") if "." in name} == ATTRIBUTES
