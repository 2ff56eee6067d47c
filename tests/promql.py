"""What an expression of PromQL asks about, and which metrics a worker has to answer it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from prometheus_client import CollectorRegistry, Metric, ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool, of Debian's package prometheus"
)

OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}
OF_THE_TARGET = {"job", "instance", "process"}
"""Labels that every series gets from where it comes from; `process` where a supervisor serves it."""

_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"")
_NAME = re.compile(r"\b(?P<name>outbox_\w+|process_\w+|ALERTS|up)\b(?:\s*\{(?P<matchers>[^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


class Asked(NamedTuple):
    """What one expression names: each metric with the labels that pick its series, and the labels that group them."""

    metrics: dict[str, set[str]]
    grouped: set[str]


def asked(expression: str) -> Asked:
    """Read an expression, whose strings say nothing of metrics."""
    bare = _STRING.sub("''", expression)
    metrics: dict[str, set[str]] = {}
    for found in _NAME.finditer(bare):
        metrics.setdefault(found["name"], set()).update(_LABEL.findall(found["matchers"] or ""))
    return Asked(metrics, {label.strip() for group in _GROUPED.findall(bare) for label in group.split(",")} - {""})


@cache
def defined() -> dict[str, set[str]]:
    """Every series that a worker serves, by its name, with its labels: as the page about metrics says.

    That the page says what a worker serves, tests/test_metrics.py sees to.
    """
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {
        sample.name: set(sample.labels)
        for family in _of_every_process()
        for sample in family.samples
        if sample.name.startswith("process_")
    }
    for name, kind, labels in re.findall(r"^\| `(outbox_\w+)` \| (\w+) \| (.*?)\| ", page, re.MULTILINE):
        own = set(re.findall(r"`(\w+)`", labels))
        if kind == "counter":
            found[f"{name}_total"] = own
        elif kind == "histogram":
            found |= {f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own}
        else:
            found[name] = own
    return found


def _of_every_process() -> Iterable[Metric]:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry.collect()


def unanswerable(expression: str) -> list[str]:
    """Say what is wrong with an expression: metrics that nobody serves, labels that they do not have."""
    known = {**OF_PROMETHEUS, **defined()}
    metrics, grouped = asked(expression)
    wrong = [f"no metric {name}" for name in metrics if name not in known]
    for name, labels in metrics.items():
        wrong += [f"{name} has no label {label}" for label in labels - known.get(name, labels) - OF_THE_TARGET]
    theirs = set[str]().union(*(known.get(name, set()) for name in metrics)) | OF_THE_TARGET
    return wrong + [f"nothing here has the label {label}" for label in grouped - theirs]


def parse(folder: Path, expressions: Iterable[str]) -> str:
    """Have promtool parse expressions; return what it says where it does not like one, else nothing."""
    rules = [{"record": f"check:{number}", "expr": text} for number, text in enumerate(expressions)]
    file = folder / "expressions.yml"
    file.write_text(json.dumps({"groups": [{"name": "checked", "rules": rules}]}))  # JSON is YAML too
    done = promtool("check", "rules", file)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def promtool(*arguments: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *(str(argument) for argument in arguments)],  # noqa: S607 - where the system has it
        input=given,
        check=False,
        capture_output=True,
        text=True,
    )
