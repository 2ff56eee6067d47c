"""A trace from a process that enqueues to worker processes that deliver, each with a provider of tracers of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fleet import ROOT, Fleet
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As an agent does: Python imports it before anything else.
SITE_CUSTOMIZE = """
import os
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

provider = TracerProvider()
spans = open(os.environ["SPANS"], "a", buffering=1)
exporter = ConsoleSpanExporter(out=spans, formatter=lambda span: span.to_json(indent=None) + "\\n")
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
"""
APPLICATION = """
import sys
import psycopg
from opentelemetry import trace
import outbox

for number in range(int(sys.argv[2])):
    with trace.get_tracer("app").start_as_current_span("signup"), psycopg.connect(sys.argv[1]) as conn:
        message = {"subject": "Hello", "text": "Hi"}
        outbox.enqueue(conn, channel="email", recipient=f"user{number}@example.org", payload=message)
"""


@pytest.fixture
def spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that every process begun from now on writes its spans to."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    monkeypatch.setenv("SPANS", str(tmp_path / "spans"))
    return tmp_path / "spans"


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url) as made:
        yield made


def read(spans: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in spans.read_text().splitlines()]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_one_trace_has_the_signup_of_one_process_and_the_delivery_of_another(
    spans: Path, fleet: Fleet, cloned_url: str, processes: str
) -> None:
    subprocess.run([sys.executable, "-c", APPLICATION, cloned_url, "5"], check=True, cwd=ROOT)
    assert fleet.start("--drain", "--processes", processes).wait(timeout=60) == 0, fleet.log()

    signups = {span["context"]["span_id"]: span for span in read(spans) if span["name"] == "signup"}
    deliveries = [span for span in read(spans) if span["name"] == "deliver email"]
    assert len(signups) == len(deliveries) == 5
    assert {delivery["parent_id"] for delivery in deliveries} == set(signups)
    for delivery in deliveries:
        assert delivery["context"]["trace_id"] == signups[delivery["parent_id"]]["context"]["trace_id"]
    sent = {str(identity) for (identity,) in rows(cloned_url, "SELECT id FROM outbox.notifications")}
    assert {delivery["attributes"]["messaging.message.id"] for delivery in deliveries} == sent
    assert "user1@" not in spans.read_text()


def test_the_log_names_the_trace(spans: Path, fleet: Fleet, cloned_url: str) -> None:
    subprocess.run([sys.executable, "-c", APPLICATION, cloned_url, "1"], check=True, cwd=ROOT)
    assert fleet.start("--drain", "--verbose", "--log-format", "json").wait(timeout=60) == 0, fleet.log()
    (attempted,) = [line for line in map(json.loads, fleet.log().splitlines()) if line["event"] == "Attempted"]
    (signup,) = [span for span in read(spans) if span["name"] == "signup"]
    assert attempted["trace_id"] == signup["context"]["trace_id"].removeprefix("0x")
