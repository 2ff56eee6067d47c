"""The page: what a run has found, as Markdown, between the marks of docs/benchmarks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.contenders import CONTENDERS, OUTBOX
from benchmarks.figures import figure, with_range
from benchmarks.measures import MEASURES
from benchmarks.musts import MUSTS, offered
from benchmarks.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.results import Run

BEGIN = "<!-- written by make bench: begin -->"
END = "<!-- written by make bench: end -->"
_HEADING = "# Benchmarks\n"

_RATES = {
    "enqueue-1": "enqueue, 1 client (/s)",
    "enqueue-8": "enqueue, 8 clients (/s)",
    "bulk": "bulk enqueue (rows/s)",
    "bulk-keyed": "bulk enqueue with unique keys (rows/s)",
    "drain-1": "drain, 1 process (jobs/s)",
    "drain-2": "drain, 2 processes (jobs/s)",
    "sleep": "50 ms handler, 1 process (jobs/s)",
}
_LATENCIES = {"p50": "latency at 500/s, p50 (ms)", "p99": "latency at 500/s, p99 (ms)"}
_COSTS = (
    ("enqueue-1", "client_us", "enqueue: CPU of the client (µs)"),
    ("enqueue-1", "server_us", "enqueue: CPU of the server (µs)"),
    ("drain-1", "client_us", "drain: CPU of the worker (µs)"),
    ("drain-1", "server_us", "drain: CPU of the server (µs)"),
    ("drain-1", "wal_with_enqueue", "WAL, bulk enqueue + drain (B)"),
    ("drain-1", "dead", "dead tuples, drain"),
)
_HELD = (("held", "held snapshot"), ("held-without", "without"))
_STEADY = (("steady", "held snapshot"), ("steady-without", "without"))


def write(file: Path, run: Run, picture: str) -> None:
    """Put what a run has found into the page, between its marks; the rest of the page stays as it is."""
    text = file.read_text(encoding="utf-8") if file.exists() else f"{_HEADING}\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file} lacks the line {BEGIN} or, after it, {END}")
    file.write_text(f"{before}{BEGIN}\n\n{render(run, picture)}\n{END}{after}", encoding="utf-8")


def render(run: Run, picture: str) -> str:
    """Return the generated part of the page."""
    taking_part = [contender for contender in CONTENDERS.values() if _took_part(run, contender)]
    sections = [
        _place(run),
        "## What must be reached\n\n" + _musts(run),
        f"## Side by side\n\n![Rates of all systems]({picture})\n\n" + _rates(run, taking_part),
        "## What a job costs\n\n" + _costs(run, taking_part),
        "## While a snapshot is held\n\n" + _held(run),
        "## Settings and versions\n\n" + _settings(run, taking_part),
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _took_part(run: Run, contender: Contender) -> bool:
    return any(result.system == contender.name and result.values for result in run.results)


def _place(run: Run) -> str:
    place = run.place
    loads = [result.load for result in run.results if not result.absent]
    load = f", {figure(min(loads))} to {figure(max(loads))} before the cells" if loads else ""
    return (
        f"Measured on {place['date']}: {place['cores']} cores ({place['cpu']}), {place['memory_gb']} GB, "
        f"Linux {place['kernel']}, PostgreSQL {place['postgres']}, Python {place['python']}; {_rounds(run)}. "
        f"Load average {place['load_before']} before the run{load}. Numbers are medians, with their ranges behind them."
    )


def _rounds(run: Run) -> str:
    """Say how often everything was measured, and what less or more often."""
    by_rounds: dict[int, list[str]] = {}
    for measure in MEASURES:
        rounds = max((result.round for result in run.results if result.measure == measure), default=0)
        by_rounds.setdefault(rounds, []).append(measure)
    by_rounds.pop(0, None)
    usual = max(by_rounds, key=lambda rounds: len(by_rounds[rounds]), default=0)
    others = [f"{rounds} of {', '.join(names)}" for rounds, names in by_rounds.items() if rounds != usual]
    return f"{usual} round{'s' * (usual != 1)}" + "".join(f", {other}" for other in others)


def _musts(run: Run) -> str:
    rows = []
    for must in MUSTS:
        verdict = must.judge(run)
        rows.append((must.what, verdict.ours, must.must, verdict.bar, verdict.word))
    return _table(("measure", "outbox", "must", "which is", "verdict"), rows)


def _rates(run: Run, taking_part: Sequence[Contender]) -> str:
    rows = [(title, *(_cell(run, measure, one, "rate") for one in taking_part)) for measure, title in _RATES.items()]
    rows += [(title, *(_cell(run, "latency", one, name) for one in taking_part)) for name, title in _LATENCIES.items()]
    rows.append(("email over SMTP (messages/s)", *(_cell(run, "email", one, "rate") for one in taking_part)))
    return _table(("", *(one.title for one in taking_part)), rows)


def _costs(run: Run, taking_part: Sequence[Contender]) -> str:
    rows = [(title, *(_cell(run, measure, one, name) for one in taking_part)) for measure, name, title in _COSTS]
    return _table(("a job", *(one.title for one in taking_part)), rows)


def _held(run: Run) -> str:
    rows: list[tuple[str, ...]] = []
    longest = 0
    for kind, measures in (("saturated", _HELD), ("3,000/s", _STEADY)):
        for contender in CONTENDERS.values():
            for measure, how in measures:
                windows = _windows(run, measure, contender.name)
                longest = max(longest, len(windows))
                if windows:
                    ratios = [one[-1] / one[0] for one in _rounds_of(run, measure, contender.name) if one[0]]
                    ratio = with_range(summarise(ratios))
                    rows.append((f"{contender.title}, {kind}, {how}", ratio, *map(figure, windows)))
    heads = [f"{number}" for number in range(1, longest + 1)]
    even = [(*row, *[""] * (longest + 2 - len(row))) for row in rows]
    steady = [
        (
            how,
            with_range(summarise([offered(windows) for windows in _rounds_of(run, measure, OUTBOX)])),
            *(
                with_range(summarise(run.values(measure, OUTBOX, name)))
                for name in ("backlog_seconds", "claim_p99", "p99")
            ),
        )
        for measure, how in _STEADY
    ]
    return (
        "Handlers begun a second, in windows of ten seconds; the last divided by the first in each round.\n\n"
        + _table(("", "last ÷ first", *heads), even)
        + "\n\noutbox at a steady 3,000/s; what must be reached is judged by the rounds that offered 98 % of that:\n\n"
        + _table(("", "offered (/s)", "greatest backlog (s of load)", "claim p99 (ms)", "latency p99 (ms)"), steady)
    )


def _windows(run: Run, measure: str, system: str) -> list[float]:
    """Return the medians of each window."""
    summaries = [summarise(numbers) for numbers in zip(*_rounds_of(run, measure, system), strict=True)]
    return [summary.middle for summary in summaries if summary]


def _rounds_of(run: Run, measure: str, system: str) -> list[list[float]]:
    return [
        result.values["windows"]
        for result in run.results
        if (result.measure, result.system) == (measure, system) and result.values
    ]


def _settings(run: Run, taking_part: Sequence[Contender]) -> str:
    rows = []
    for contender in taking_part:
        said = {
            str(result.values["settings"]): None
            for result in run.results
            if result.system == contender.name and result.values.get("settings")
        }
        history = run.place["history"].get(contender.name)
        kept = "–" if history is None else "yes" if history else "no"
        rows.append((contender.title, run.place["versions"].get(contender.name, "–"), kept, "; ".join(said) or "–"))
    lines = [_table(("system", "version", "keeps history", "settings"), rows), *_counts(run), *_troubles(run)]
    return "\n\n".join(lines)


def _counts(run: Run) -> Iterator[str]:
    """Say where a system was given fewer jobs than the others."""
    fewer = []
    for measure, title in _RATES.items():
        counts = {one: run.values(measure, one, "jobs") for one in CONTENDERS}
        most = max((max(numbers) for numbers in counts.values() if numbers), default=0)
        if measure.startswith("enqueue"):
            continue
        for name, numbers in counts.items():
            if numbers and max(numbers) < most:
                fewer.append(f"{CONTENDERS[name].title}, {title.partition(' (')[0]}: {figure(max(numbers))}")
    if fewer:
        yield "Slow systems were given fewer jobs, so that a cell takes about ten seconds: " + "; ".join(fewer) + "."


def _troubles(run: Run) -> Iterator[str]:
    """Say what is absent, and what failed."""
    for kind, place in (("Absent", 0), ("Failed", 1)):
        found: dict[tuple[str, str], list[str]] = {}
        for measure in MEASURES:
            for contender in CONTENDERS.values():
                if words := run.trouble(measure, contender.name)[place]:
                    found.setdefault((contender.title, words.partition("\n")[0]), []).append(measure)
        if found:
            lines = [f"- {title} ({', '.join(measures)}): {words}" for (title, words), measures in found.items()]
            yield f"{kind}:\n\n" + "\n".join(lines)


def _cell(run: Run, measure: str, contender: Contender, name: str) -> str:
    return with_range(summarise(run.values(measure, contender.name, name)))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(part.replace("|", "\\|") for part in line) + " |" for line in lines)
