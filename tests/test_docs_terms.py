"""The glossary and the page about troubles use the program's own words."""

from __future__ import annotations

import re
from pathlib import Path

import outbox
from outbox import outcomes
from outbox.errors import NotInTransaction, NotMigrated
from tests.command_line import run
from tests.hands import enqueue

DOCS = Path(__file__).parents[1] / "docs"
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
TROUBLES = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")


def test_the_terms_are_in_the_order_of_the_alphabet() -> None:
    terms = re.findall(r"^\| (?:<a [^>]+></a>)?\*\*([^*]+)\*\*", GLOSSARY, re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(terms, key=lambda term: term.replace(" ", "").replace("_", ""))


def test_the_outcomes_and_the_priorities_are_all_of_them() -> None:
    (line,) = re.findall(r"^\| .*\*\*outcome\*\* \| (.*)$", GLOSSARY, re.MULTILINE)
    ends = {vars(each)["name"] for each in vars(outcomes).values() if isinstance(each, type) and "name" in vars(each)}
    assert set(re.findall(r"`(\w+)`", line)) == ends | {"lost"}
    (line,) = re.findall(r"^\| \*\*priority\*\* \| (.*)$", GLOSSARY, re.MULTILINE)
    assert {name: int(number) for name, number in re.findall(r"`(\w+)` \((\d)\)", line)} == outbox.PRIORITIES


def test_the_errors_are_quoted_as_they_are_raised() -> None:
    for error in (NotInTransaction(), NotMigrated()):
        (quoted,) = re.findall(rf"^\| `{type(error).__name__}`: (.*?) \|", TROUBLES, re.MULTILINE)
        assert str(error).startswith(quoted)


def test_the_status_says_what_the_page_says_it_does(cloned_url: str) -> None:
    enqueue(cloned_url)
    told = run(cloned_url, "status")
    assert "due on email, and no live worker serves it" in told.stdout + told.stderr
    assert "… due on email, and no live worker serves it" in TROUBLES
    assert {"SCHEDULED", "RETRYING", "DEAD"} <= set(told.stdout.split())
