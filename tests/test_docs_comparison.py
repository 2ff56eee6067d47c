"""What docs/comparison.md takes from our own runs is what they wrote, and the SQL of docs/at-least-once.md runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from outbox.outcomes import Ambiguous
from tests.endings import put
from tests.hands import TROUBLE, rows

DOCS = Path(__file__).parents[1] / "docs"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _table(page: str, first: str) -> dict[str, dict[str, str]]:
    """The tables of a page whose head has this first cell, as rows by their first cell, of cells by their heads."""
    found: dict[str, dict[str, str]] = {}
    for table in re.findall(rf"^\| {first} ?\|.*\n\|[-| ]+\|\n(?:\|.*\n)+", page, re.MULTILINE):
        head, _, *body = table.splitlines()
        for line in body:
            name, *values = _cells(line)
            found[name] = dict(zip(_cells(head)[1:], values, strict=True))
    return found


def test_the_numbers_of_the_comparison_are_those_of_the_run_that_it_names() -> None:
    page = (DOCS / "comparison.md").read_text(encoding="utf-8")
    run = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"medians of the run of (\d{4}-\d\d-\d\d)", page)
    if f"Measured on {named}" not in run:
        pytest.skip(f"there is a later run than that of {named}; the comparison says which it has")
    measured = _table(run, "") | _table(run, "a job")
    compared = _table(page[page.index("## Numbers") :], "")
    assert len(compared) == 6
    for measure, values in compared.items():
        source = measured["drain: CPU of the worker (µs)" if measure.startswith("CPU") else measure]
        assert values == {system: source[system].split(" (")[0] for system in values}, measure


def test_the_query_for_what_was_in_doubt_finds_it(cloned_url: str) -> None:
    page = (DOCS / "at-least-once.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    put(cloned_url, 2, Ambiguous(provider="smtp", failure=TROUBLE, delay=600))
    assert rows(cloned_url, query) == [("smtp", "ambiguous", "temporary", 2)]
