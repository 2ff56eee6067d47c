from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args
from uuid import UUID

import pytest

from outbox import errors, events, logs, pause_events, routine_events, schedule_events, template_events
from outbox.outcomes import Ambiguous, Dead, Deferred, Failure, Retry, Sent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.outcomes import Outcome

ID = UUID("01980000-0000-7000-8000-000000000000")
MONDAY = datetime(2026, 1, 5, 8, tzinfo=UTC)
ERROR = errors.Misconfigured("bad password", code="535 5.7.8")
EVERY_EVENT: tuple[events.Event, ...] = (
    events.WorkerStarted(1, ("email", "sms")),
    events.WorkerStopping(1, "SIGTERM", 12, 30.0),
    events.WorkerStopped(1, 3, {"sent": 20, "retry": 1}),
    events.ProcessDied(2, 4711, "was killed by SIGKILL", 0.5),
    events.ProcessUnable(1, 4711, "ended with exit code 2"),
    events.ProcessesStopping("SIGTERM", 4),
    events.MetricsServed("127.0.0.1", 9464),
    events.Claimed("email", 200, 1, 0.004),
    events.Attempted(ID, "email", 2, Sent(provider="smtp", provider_message_id="q1"), 0.0123, 0.5),
    events.FailedOver(ID, "email", "smtp", ERROR),
    events.CopiesRefused(ID, "email", "smtp", ("550 5.1.1", "450", "450")),
    events.ProviderHeld("email", "smtp", 30.0, ERROR),
    events.ProviderResumed("email", "smtp"),
    events.ProviderFailed("email", "smtp", "KeyError", "KeyError at smtp.py:12"),
    template_events.ComposeFailed(ID, "email", "welcome", "KeyError", "KeyError at compose.py:12"),
    events.CodeUnknown("sms", "twilio", errors.Unrecognised("what?", code="400 29999")),
    events.Settled(200, 1, 0.01),
    events.LeaseLost(3),
    events.DatabaseLost("claim", "OperationalError: gone", 0.5),
    events.DatabaseBack("claim", 12.3),
    events.LoopBlocked(4.2),
    events.LoopStuck(903.0),
    events.HorizonHeld(4711, "ada", "psql", "idle in transaction", 45.0),
    events.ListenUnheard(),
    routine_events.ListenHeard(),
    routine_events.LeasesRenewed(12),
    routine_events.RateWaited("email", 0.8),
    routine_events.Heartbeat(),
    routine_events.HealthServed("127.0.0.1", 9465),
    routine_events.SchemaNewer("0028", "0027"),
    routine_events.ProcessDrained(1, 4711),
    events.ChoreFailed("ensure_partitions", "InsufficientPrivilege: no"),
    events.TopicsChanged(("news", "offers")),
    template_events.TemplatesChanged(12),
    template_events.TemplatesRefused(("t/body.txt, line 1: unexpected end",)),
    events.Retained(("notifications_20250131",), {"idempotency keys": 1_204}),
    pause_events.Paused("provider", "ses", "ada@desk", "an outage", 7_200.0),
    pause_events.Resumed("channel", "email"),
    schedule_events.ScheduleRan("digest", MONDAY, 1_204, 0.25, 0.3),
    schedule_events.ScheduleSkipped("digest", MONDAY, MONDAY),
    schedule_events.ScheduleFailed("digest", MONDAY, "DivisionByZero: division by zero", 5.0),
)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    logger = logging.getLogger("outbox")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def test_no_kind_of_event_is_left_out_here() -> None:
    assert {type(event) for event in EVERY_EVENT} == set(get_args(events.Event))


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_every_event_is_one_line_of_words_and_one_of_json(
    event: events.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(style="text", level="debug")
    logs.log(event)
    (line,) = capsys.readouterr().err.splitlines()
    assert "object at 0x" not in line
    logs.configure(style="json", level="debug")
    logs.log(event)
    written = json.loads(capsys.readouterr().err)
    assert written["event"] == type(event).__name__
    assert written["level"] in {"debug", "info", "warning", "error"}


@pytest.mark.parametrize(
    ("outcome", "level", "words"),
    [
        (Sent(provider="smtp"), "DEBUG", "attempt 1, 12 ms: sent, by smtp"),
        (
            Retry(provider="smtp", failure=Failure("temporary", "451 4.3.0", "busy"), delay=3.0),
            "INFO",
            "attempt 1, 12 ms: retry, next in 3.0 s, by smtp: 451 4.3.0 busy",
        ),
        (
            Dead(failure=Failure("rejected", None, "no template nope"), reason="rejected"),
            "WARNING",
            "not attempted, 12 ms: dead (rejected): no template nope",
        ),
        (Ambiguous(provider="smtp", reason="in_doubt"), "WARNING", "attempt 1, 12 ms: ambiguous (in_doubt), by smtp"),
        (Deferred(delay=30.0), "INFO", "not attempted, 12 ms: deferred, next in 30.0 s"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_an_attempt_says_how_it_ended_and_what_happens_next(
    outcome: Outcome, level: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(style="text", level="debug")
    logs.log(events.Attempted(ID, "email", 1, outcome, 0.012, 0.0))
    line = capsys.readouterr().err
    assert f"{level} " in line
    assert line.endswith(f"email {ID} {words}\n")


def test_copies_that_were_refused_are_counted_and_each_code_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(style="text")
    logs.log(events.CopiesRefused(ID, "email", "smtp", ("550 5.1.1", "450", "450")))
    words = f"WARNING email {ID}: smtp took it, but refused 3 of its copies: 550 5.1.1, 450\n"
    assert capsys.readouterr().err.endswith(words)


def test_without_verbose_what_went_well_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(style="text")
    logs.log(events.Attempted(ID, "email", 1, Sent(provider="smtp"), 0.01, 0.0))
    logs.log(events.Claimed("email", 5, 0, 0.01))
    assert capsys.readouterr().err == ""


def test_each_line_of_one_of_several_processes_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(style="text", process=2)
    logs.log(events.WorkerStarted(17, ("email",)))
    assert capsys.readouterr().err.endswith(" INFO    [2] worker 17 serves email\n")
    logs.configure(style="json", process=2)
    logs.log(events.WorkerStarted(17, ("email",)))
    assert json.loads(capsys.readouterr().err)["process"] == 2


def test_what_retention_let_go_of_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(style="text")
    logs.log(events.Retained(("notifications_20250131", "attempts_20250131"), {"idempotency keys": 1_204}))
    words = "retention: dropped notifications_20250131; dropped attempts_20250131; deleted 1,204 idempotency keys\n"
    assert capsys.readouterr().err.endswith(words)


def test_a_run_of_a_schedule_is_logged_with_its_occurrence(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(style="text")
    logs.log(schedule_events.ScheduleRan("digest", MONDAY, 1_204, 0.25, 0.3))
    words = "schedule digest of 2026-01-05 08:00:00Z: enqueued 1,204 in 0.2 s, 0.3 s after it was due\n"
    assert capsys.readouterr().err.endswith(words)
