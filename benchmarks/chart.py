"""The picture of a run: the rates of all systems as bars, with their ranges. SVG without a date or a path in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

from benchmarks.contenders import CONTENDERS, LIMITS, OUTBOX
from benchmarks.figures import figure
from benchmarks.summary import summarise

if TYPE_CHECKING:
    from benchmarks.results import Run

_PANELS = {
    "drain-1": "drain, 1 process (jobs/s)",
    "drain-2": "drain, 2 processes (jobs/s)",
    "sleep": "50 ms handler, 1 process (jobs/s)",
    "bulk": "bulk enqueue (rows/s)",
    "enqueue-1": "enqueue, 1 client (transactions/s)",
    "enqueue-8": "enqueue, 8 clients (transactions/s)",
}
_WIDTH = 260  # pixels of the longest bar
_TEMPLATE = Path(__file__).with_name("chart.svg.jinja")


@dataclass(frozen=True)
class Bar:
    """One system in a panel; lengths are pixels."""

    title: str
    kind: str
    length: float
    low: float
    high: float
    words: str


@dataclass(frozen=True)
class Panel:
    """One measure."""

    title: str
    bars: list[Bar]


def draw(run: Run) -> str:
    """Return the picture."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    panels = [_panel(run, measure, title) for measure, title in _PANELS.items()]
    return template.render(panels=[panel for panel in panels if panel.bars]) + "\n"


def _panel(run: Run, measure: str, title: str) -> Panel:
    found = [
        (contender, summary)
        for contender in CONTENDERS.values()
        if (summary := summarise(run.values(measure, contender.name, "rate")))
    ]
    longest = max((summary.high for _, summary in found), default=1.0)
    bars = [
        Bar(
            contender.title,
            {OUTBOX: "ours", LIMITS: "limit"}.get(contender.name, "rival"),
            round(summary.middle / longest * _WIDTH, 1),
            round(summary.low / longest * _WIDTH, 1),
            round(summary.high / longest * _WIDTH, 1),
            figure(summary.middle),
        )
        for contender, summary in found
    ]
    return Panel(title, sorted(bars, key=lambda bar: -bar.length))
