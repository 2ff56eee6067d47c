"""What must be reached: each bar is computed from the run itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contenders import CONTENDERS, LIMITS, OUTBOX
from benchmarks.figures import figure
from benchmarks.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.results import Run

_STEADY = 3_000  # a second
_ENOUGH = 0.98


@dataclass(frozen=True)
class Verdict:
    """How it came out; `bar` is what the must is in numbers, `reached` is None where it was not measured."""

    ours: str
    bar: str
    reached: bool | None

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return "not measured" if self.reached is None else "reached" if self.reached else "**missed**"


@dataclass(frozen=True)
class Must:
    """One line of the table."""

    what: str
    must: str
    judge: Callable[[Run], Verdict]


def middle(run: Run, measure: str, name: str, system: str = OUTBOX) -> float | None:
    """Return the median of what was measured; None where nothing was."""
    summary = summarise(run.values(measure, system, name))
    return summary.middle if summary else None


def best(run: Run, measure: str, *, on_postgres: bool = False) -> tuple[float, str] | None:
    """Return the greatest rate that a rival reached, and who it was."""
    rates = [
        (rate, contender.title)
        for contender in CONTENDERS.values()
        if contender.name not in {OUTBOX, LIMITS}
        and (contender.broker == "postgres" or not on_postgres)
        and (rate := middle(run, measure, "rate", contender.name)) is not None
    ]
    return max(rates, default=None)


def _times_best(
    measure: str, factor: float, against: str = "", *, on_postgres: bool = False
) -> Callable[[Run], Verdict]:
    def judge(run: Run) -> Verdict:
        ours, rival = middle(run, measure, "rate"), best(run, against or measure, on_postgres=on_postgres)
        if rival is None:
            return Verdict("–" if ours is None else figure(ours), "no rival was measured", None)
        bar = f"{figure(rival[0] * factor)} ({rival[1]}: {figure(rival[0])})"
        if ours is None:
            return Verdict("–", bar, None)
        ratio = ours / rival[0]
        return Verdict(f"{figure(ours)} ({ratio:.2f} ×)", bar, ratio >= factor)

    return judge


def _compared(ours: float | None, limit: float, *, at_least: bool = False) -> Verdict:
    if ours is None:
        return Verdict("–", "", None)
    return Verdict(figure(ours), "", ours >= limit if at_least else ours <= limit)


def _at_most(measure: str, name: str, limit: float) -> Callable[[Run], Verdict]:
    return lambda run: _compared(middle(run, measure, name), limit)


def _keyed_wal(run: Run) -> Verdict:
    enqueue, drain = middle(run, "bulk-keyed", "wal"), middle(run, "drain-1", "wal")
    return _compared(None if enqueue is None or drain is None else enqueue + drain, 1_700)


def steady_middle(run: Run, measure: str, name: str) -> float | None:
    """Return the median of the rounds in which the producer kept the pace: what it did not offer caused no backlog."""
    kept = [
        result.values[name]
        for result in run.results
        if (result.measure, result.system) == (measure, OUTBOX)
        and result.values.get(name) is not None
        and offered(result.values["windows"]) >= _STEADY * _ENOUGH
    ]
    summary = summarise(kept)
    return summary.middle if summary else None


def offered(windows: Sequence[float]) -> float:
    """Return how many a second were enqueued, as far as they were begun in its windows."""
    return sum(windows) / len(windows)


def _claims(run: Run) -> Verdict:
    held, without = (steady_middle(run, measure, "claim_p99") for measure in ("steady", "steady-without"))
    return _compared(held / without if held and without else None, 3)


MUSTS = (
    Must("drain, 1 process (jobs/s)", "≥ 1.1 × the best", _times_best("drain-1", 1.1)),
    Must("drain, 2 processes (jobs/s)", "≥ 1.1 × the best", _times_best("drain-2", 1.1)),
    Must("50 ms handler, 1 process (jobs/s)", "≥ 1.5 × the best", _times_best("sleep", 1.5)),
    Must("bulk enqueue (rows/s)", "≥ 1.5 × the best", _times_best("bulk", 1.5)),
    Must(
        "bulk enqueue with idempotency keys (rows/s)",
        "≥ 1.1 × the best without",
        _times_best("bulk-keyed", 1.1, against="bulk"),
    ),
    Must(
        "enqueue, 1 client (transactions/s)",
        "≥ 1.3 × the best on PostgreSQL",
        _times_best("enqueue-1", 1.3, on_postgres=True),
    ),
    Must(
        "enqueue, 8 clients (transactions/s)",
        "≥ 2.5 × the best on PostgreSQL",
        _times_best("enqueue-8", 2.5, on_postgres=True),
    ),
    Must("latency at 500/s, p50 (ms)", "≤ 5", _at_most("latency", "p50", 5)),
    Must("latency at 500/s, p99 (ms)", "≤ 15", _at_most("latency", "p99", 15)),
    Must("enqueues that notify while workers are busy (share)", "≤ 0.01", _at_most("latency", "notifies", 0.01)),
    Must("WAL a job, enqueue + drain (B)", "≤ 1,400", _at_most("drain-1", "wal_with_enqueue", 1_400)),
    Must("WAL a job with a key, enqueue + drain (B)", "≤ 1,700", _keyed_wal),
    Must(
        "held snapshot, saturated: last 10 s ÷ first 10 s",
        "≥ 0.9",
        lambda run: _compared(middle(run, "held", "ratio"), 0.9, at_least=True),
    ),
    Must(
        "held snapshot at 3,000/s: backlog (s of load)",
        "≤ 1",
        lambda run: _compared(steady_middle(run, "steady", "backlog_seconds"), 1),
    ),
    Must("held snapshot at 3,000/s: claim p99 ÷ without the snapshot", "≤ 3", _claims),
    Must(
        "real email (messages/s)",
        "≥ 3,000",
        lambda run: _compared(middle(run, "email", "rate"), 3_000, at_least=True),
    ),
)
