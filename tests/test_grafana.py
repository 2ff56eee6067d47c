"""The dashboard: a document that Grafana imports, whose every expression asks about what a worker serves."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest

from tests.command_line import run
from tests.promql import ROOT, asked, needs_promtool, parse, unanswerable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = ROOT / "deploy/grafana/outbox.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
UNITS = {"short", "s", "ops", "percentunit", "bytes"}  # as Grafana calls them
# What Grafana puts in the place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$job": "outbox", "$channel": "email"}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in panels():
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


TARGETS = [pytest.param(target, id=f"{number} {name}") for number, (name, target) in enumerate(targets())]


def test_the_command_prints_it() -> None:
    assert run("", "grafana").stdout == FILE.read_text(encoding="utf-8")


@needs_promtool
def test_promtool_parses_every_expression(tmp_path: Path) -> None:
    expressions = [filled(target["expr"]) for _, target in targets()]
    expressions += [one["expr"] for one in dashboard()["annotations"]["list"]]
    assert len(expressions) > 40
    assert parse(tmp_path, expressions) == ""


@needs_promtool
def test_promtool_would_say_if_one_could_not_be_parsed(tmp_path: Path) -> None:
    assert "parse error" in parse(tmp_path, ["up", "sum by (channel (up)"])


@pytest.mark.parametrize("target", TARGETS)
def test_an_expression_asks_about_metrics_and_labels_that_there_are(target: dict[str, Any]) -> None:
    expression = filled(target["expr"])
    assert "$" not in expression
    assert asked(expression).metrics
    assert unanswerable(expression) == []


def test_an_expression_about_what_there_is_not_would_be_found() -> None:
    assert unanswerable("sum by (chanel) (rate(outbox_attempts_total{outcom='sent'}[5m]))") == [
        "outbox_attempts_total has no label outcom",
        "nothing here has the label chanel",
    ]
    assert unanswerable("rate(outbox_attempts[5m])") == ["no metric outbox_attempts"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_legend_names_only_labels_that_its_expression_keeps(target: dict[str, Any]) -> None:
    named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
    groups = re.findall(r"\bby \(([^)]*)\)", target["expr"])
    assert named <= (set(groups[0].split(", ")) if groups else set())


@pytest.mark.parametrize("target", TARGETS)
def test_what_several_processes_tell_alike_is_never_added_up(target: dict[str, Any]) -> None:
    alike = r"outbox_(?:queue|oldest|workers|dead_letters_open|default|partitions|paused)\w*"
    for metric in re.findall(alike, target["expr"]):
        assert re.search(rf"\bmax(?: by \([^)]*\) )?\({metric}\b", target["expr"]), metric


def test_the_data_source_is_asked_for_and_used_everywhere() -> None:
    chosen, *others = dashboard()["templating"]["list"]
    assert (chosen["name"], chosen["type"], chosen["query"]) == ("datasource", "datasource", "prometheus")
    sources = [one["datasource"] for one in [*others, *dashboard()["annotations"]["list"], *panels()]]
    sources += [target["datasource"] for _, target in targets()]
    assert all(source == SOURCE for source in sources)


def test_its_variables_ask_about_what_there_is_and_are_all_used() -> None:
    text = FILE.read_text(encoding="utf-8")
    for variable in dashboard()["templating"]["list"][1:]:
        of = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert of is not None
        assert variable["definition"] == variable["query"]["query"]
        assert unanswerable(f"sum by ({of[2]}) ({filled(of[1])})") == []
        assert f'=~\\"${variable["name"]}\\"' in text


def test_each_channel_has_a_row_of_its_own() -> None:
    laid_out = dashboard()["panels"]
    (repeated,) = [place for place, panel in enumerate(laid_out) if panel.get("repeat") == "channel"]
    end = next(place for place, panel in enumerate(laid_out) if place > repeated and panel["type"] == "row")
    of_one_channel = laid_out[repeated + 1 : end]
    assert len(of_one_channel) >= 8
    for panel in of_one_channel:
        assert all('channel=~"$channel"' in target["expr"] for target in panel["targets"]), panel["title"]


def test_panels_are_numbered_explained_and_lie_beside_one_another() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in combinations([panel["gridPos"] for panel in every], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    for panel in panels():
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["description"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"].get("unit", "short") in UNITS
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
