"""The trace in which something was enqueued goes on where it is delivered."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

import outbox
from outbox import errors, events, traces
from outbox.migrate import upgrade
from outbox.queue.enqueue_many import MOST_IN_A_TRACE
from tests.command_line import run
from tests.hands import rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

ADA: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
MANY = [{"channel": "email", "recipient": f"user{number}@example.org"} for number in range(3)]
STEPS = ["inapp", "wait 5m unless read", "email"]
ADA_BOTH = {"inapp": "user:1", "email": "ada@example.org"}
# All that a span may say; docs/tracing.md has the same.
ATTRIBUTES = {
    "error.type",
    "messaging.destination.name",
    "messaging.message.id",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.outbox.attempt",
    "messaging.outbox.code",
    "messaging.outbox.outcome",
    "messaging.outbox.provider",
    "messaging.outbox.reason",
    "messaging.system",
}
STORED = "SELECT DISTINCT trace FROM outbox.notifications"


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What remembers the spans of a provider of tracers that is this process's for as long as the test lasts."""
    remembered = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(remembered))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return remembered


@pytest.fixture
def signup(exporter: InMemorySpanExporter) -> Iterator[str]:
    """The application's own span, that something is enqueued in; its traceparent."""
    with trace.get_tracer_provider().get_tracer("app").start_as_current_span("signup"):
        traceparent = traces.current()
        assert traceparent is not None
        yield traceparent
    assert "signup" in {span.name for span in exporter.get_finished_spans()}


def _asyncpg(url: str) -> None:
    async def run() -> None:
        conn = await asyncpg.connect(url)
        async with conn.transaction():
            await outbox.aenqueue(conn, **ADA)
        await conn.close()

    asyncio.run(run())


def _sqlalchemy(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as conn:
        outbox.enqueue(conn, **ADA)
    engine.dispose()


def _asynchronous_sqlalchemy(url: str) -> None:
    async def run() -> None:
        engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        async with engine.begin() as conn:
            await outbox.aenqueue(conn, **ADA, idempotency_key="welcome:1")
            await outbox.aenqueue_many(conn, MANY)
        await engine.dispose()

    asyncio.run(run())


def _with(work: Callable[[psycopg.Connection], object]) -> Callable[[str], None]:
    def run(url: str) -> None:
        with psycopg.connect(url) as conn:
            work(conn)

    return run


@pytest.mark.parametrize(
    "enqueue",
    [
        pytest.param(_with(lambda conn: outbox.enqueue(conn, **ADA)), id="enqueue"),
        pytest.param(_with(lambda conn: outbox.enqueue(conn, **ADA, idempotency_key="k")), id="with a key"),
        pytest.param(_with(lambda conn: outbox.enqueue(conn, **ADA, group_key="g", supersedes=True)), id="superseding"),
        pytest.param(_with(lambda conn: outbox.enqueue_many(conn, MANY)), id="enqueue_many"),
        pytest.param(_with(lambda conn: outbox.enqueue_many(conn, MANY * 200)), id="enqueue_many by COPY"),
        pytest.param(_with(lambda conn: outbox.escalate(conn, to=ADA_BOTH, steps=STEPS)), id="escalate"),
        pytest.param(_asyncpg, id="asyncpg"),
        pytest.param(_sqlalchemy, id="SQLAlchemy"),
        pytest.param(_asynchronous_sqlalchemy, id="asynchronous SQLAlchemy"),
    ],
)
def test_what_is_enqueued_in_a_span_says_so(cloned_url: str, signup: str, enqueue: Callable[[str], None]) -> None:
    enqueue(cloned_url)
    assert rows(cloned_url, STORED) == [(signup,)]


@pytest.mark.parametrize(
    "enqueue",
    [
        pytest.param(
            lambda conn: outbox.enqueue_many(conn, [MANY[0]] * (MOST_IN_A_TRACE + 1)), id="too many for one trace"
        ),
        pytest.param(
            lambda conn: outbox.enqueue_select(conn, "SELECT 'ada@example.org' AS recipient", channel="email"),
            id="what a query returns",
        ),
    ],
)
def test_a_trace_is_not_made_of_thousands_of_deliveries(
    conn: psycopg.Connection, signup: str, enqueue: Callable[[psycopg.Connection], object]
) -> None:
    assert signup
    enqueue(conn)
    assert conn.execute(STORED).fetchall() == [(None,)]


def test_the_same_key_in_another_trace_is_no_conflict(conn: psycopg.Connection, exporter: InMemorySpanExporter) -> None:
    tracer = trace.get_tracer_provider().get_tracer("app")
    answers = []
    for _ in range(2):
        with tracer.start_as_current_span("signup"):
            answers.append(outbox.enqueue(conn, **ADA, idempotency_key="welcome:1"))
    assert answers[0].id == answers[1].id
    assert [answer.created for answer in answers] == [True, False]
    assert len(exporter.get_finished_spans()) == 2


def test_without_a_span_there_is_no_trace(conn: psycopg.Connection) -> None:
    outbox.enqueue(conn, **ADA)
    assert conn.execute(STORED).fetchall() == [(None,)]


def test_who_never_imported_opentelemetry_does_not_pay_for_it() -> None:
    ask = "import outbox, sys; print(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True).stdout == b"False\n"


def _delivery(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = [span for span in exporter.get_finished_spans() if span.kind is SpanKind.CONSUMER]
    return span


def _enqueue_in_span(url: str, **given: Any) -> None:
    with trace.get_tracer_provider().get_tracer("app").start_as_current_span("signup"), psycopg.connect(url) as conn:
        outbox.enqueue(conn, **ADA | given)


async def test_a_delivery_is_a_span_in_the_trace_of_its_enqueue(
    cloned_url: str, exporter: InMemorySpanExporter
) -> None:
    _enqueue_in_span(cloned_url)
    seen: list[events.Event] = []
    assert await drain(cloned_url, route(Recorder(), events=seen)) == 0

    (signup,) = [span for span in exporter.get_finished_spans() if span.name == "signup"]
    delivery = _delivery(exporter)
    assert delivery.name == "deliver email"
    assert delivery.parent is not None
    assert delivery.parent.is_remote
    assert delivery.parent.span_id == signup.context.span_id
    assert [link.context.span_id for link in delivery.links] == [signup.context.span_id]
    ((identity,),) = rows(cloned_url, "SELECT id FROM outbox.notifications")
    assert dict(delivery.attributes or {}) == {
        "messaging.system": "outbox",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": "email",
        "messaging.message.id": str(identity),
        "messaging.outbox.outcome": "sent",
        "messaging.outbox.attempt": 1,
        "messaging.outbox.provider": "recorder0",
    }
    assert delivery.status.status_code is StatusCode.UNSET
    (attempted,) = [event for event in seen if isinstance(event, events.Attempted)]
    assert attempted.trace == format_trace_id(signup.context.trace_id)


async def test_what_a_provider_does_is_part_of_the_delivery(cloned_url: str, exporter: InMemorySpanExporter) -> None:
    async def ask_somebody(_: object) -> None:
        with trace.get_tracer_provider().get_tracer("a client of http").start_as_current_span("POST"):
            await asyncio.sleep(0)

    _enqueue_in_span(cloned_url)
    await drain(cloned_url, route(Recorder(ask_somebody)))
    (request,) = [span for span in exporter.get_finished_spans() if span.name == "POST"]
    assert request.parent is not None
    assert request.parent.span_id == _delivery(exporter).context.span_id


async def test_what_was_enqueued_in_no_trace_begins_one(cloned_url: str, exporter: InMemorySpanExporter) -> None:
    with psycopg.connect(cloned_url) as conn:
        outbox.enqueue(conn, **ADA)
    await drain(cloned_url, route(Recorder()))
    delivery = _delivery(exporter)
    assert delivery.parent is None
    assert not delivery.links


@pytest.mark.parametrize(
    "nonsense", ["", "nonsense", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"]
)
async def test_nonsense_in_place_of_a_trace_stops_no_delivery(
    cloned_url: str, exporter: InMemorySpanExporter, nonsense: str
) -> None:
    rows(
        cloned_url,
        "INSERT INTO outbox.notifications (channel, recipient, trace) VALUES ('email', 'a@example.org', %s)",
        nonsense,
    )
    recorder = Recorder()
    await drain(cloned_url, route(recorder))
    assert len(recorder.sent) == 1
    assert _delivery(exporter).parent is None


async def test_an_error_is_named_by_its_class_and_nobody_is_quoted(
    cloned_url: str, exporter: InMemorySpanExporter
) -> None:
    recorder = Recorder()
    recorder.failing = errors.Unreachable("there is no ada@example.org here", code="550 5.1.1")
    _enqueue_in_span(cloned_url, payload={"subject": "a secret subject", "text": "a secret text"})
    await drain(cloned_url, route(recorder))
    delivery = _delivery(exporter)
    assert delivery.status.status_code is StatusCode.ERROR
    assert delivery.attributes is not None
    assert delivery.attributes["error.type"] == "unreachable"
    assert set(delivery.attributes) == ATTRIBUTES
    assert delivery.attributes["messaging.outbox.outcome"] == "dead"
    written = delivery.to_json()
    assert "550 5.1.1" in written
    assert "ada@" not in written
    assert "secret" not in written


async def test_each_provider_that_was_passed_over_is_an_event_of_the_span(
    cloned_url: str, exporter: InMemorySpanExporter
) -> None:
    first = Recorder()
    first.failing = errors.Temporary("try later, ada@example.org", code="451")
    _enqueue_in_span(cloned_url)
    seen: list[events.Event] = []
    await drain(cloned_url, route(first, Recorder(), events=seen))
    delivery = _delivery(exporter)
    (passed,) = delivery.events
    assert passed.name == "failed over"
    assert dict(passed.attributes or {}) == {
        "messaging.outbox.provider": "recorder0",
        "error.type": "temporary",
        "messaging.outbox.code": "451",
    }
    assert delivery.attributes is not None
    assert delivery.attributes["messaging.outbox.provider"] == "recorder1"
    assert any(isinstance(event, events.FailedOver) for event in seen)


async def test_each_attempt_is_a_span_of_its_own(cloned_url: str, exporter: InMemorySpanExporter) -> None:
    recorder = Recorder()
    recorder.failing = errors.Temporary("busy", code="451")
    _enqueue_in_span(cloned_url)
    await drain(cloned_url, route(recorder, backoff=(0.0,), max_attempts=3, jitter=0))
    attempts = [span for span in exporter.get_finished_spans() if span.kind is SpanKind.CONSUMER]
    assert [(span.attributes or {})["messaging.outbox.attempt"] for span in attempts] == [1, 2, 3]
    assert len({span.context.trace_id for span in attempts}) == 1


async def test_a_trace_that_is_not_sampled_is_not_sampled_here(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered = InMemorySpanExporter()
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(remembered))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    _enqueue_in_span(cloned_url)
    ((stored,),) = rows(cloned_url, STORED)
    assert int(stored[-2:], 16) & traces.SAMPLED == 0
    seen: list[events.Event] = []
    await drain(cloned_url, route(Recorder(), events=seen))
    assert not remembered.get_finished_spans()
    assert [event.trace for event in seen if isinstance(event, events.Attempted)] == [None]


async def test_a_worker_that_makes_no_spans_knows_the_trace_all_the_same(cloned_url: str) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    rows(
        cloned_url,
        "INSERT INTO outbox.notifications (channel, recipient, trace) VALUES ('email', 'a@example.org', %s)",
        traceparent,
    )
    seen: list[events.Event] = []
    await drain(cloned_url, route(Recorder(), events=seen))
    assert [event.trace for event in seen if isinstance(event, events.Attempted)] == [
        "0af7651916cd43dd8448eb211c80319c"
    ]


def test_explain_names_the_trace(conn: psycopg.Connection, database_url: str) -> None:
    identity = outbox.enqueue(conn, **ADA).id
    traced = conn.execute(
        "INSERT INTO outbox.notifications (channel, recipient, trace) "
        "VALUES ('email', 'a@example.org', %s) RETURNING id",
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
    ).fetchone()
    conn.commit()
    assert traced is not None
    assert "0af7651916cd43dd8448eb211c80319c" in run(database_url, "explain", traced[0]).stdout
    assert "trace" not in run(database_url, "explain", identity).stdout


def test_an_auditor_of_before_may_see_traces(empty_url: str) -> None:
    role = "t_traces_auditor"
    upgrade(empty_url, "0023")
    rows(empty_url, f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role}")
    try:
        rows(empty_url, f"GRANT USAGE ON SCHEMA outbox TO {role}")
        rows(empty_url, f"GRANT SELECT (id, recipient) ON outbox.notifications TO {role}")
        upgrade(empty_url)
        rows(empty_url, f"SET ROLE {role}; SELECT trace FROM outbox.notifications")
    finally:
        rows(empty_url, f"DROP OWNED BY {role}; DROP ROLE {role}")
