"""Dates, numbers and money in templates, as each language writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.errors import Rejected
from outbox.render import Templates, formats

if TYPE_CHECKING:
    from pathlib import Path

ZONE = 'the name of a time zone, such as timezone="Europe/Lisbon"'
NOON = "2030-03-01T12:00:00Z"


def templates(folder: Path, files: dict[str, str]) -> Templates:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Templates(folder)


def written(folder: Path, text: str, locale: str | None = None, **variables: Any) -> str:
    """Write a text in a locale that it has a file of its own for."""
    files = {"t/body.txt": text} | ({f"t/{locale}/body.txt": text} if locale else {})
    return templates(folder, files).render("t", variables, locale=locale)["body.txt"]


@pytest.mark.parametrize(
    ("text", "english", "german"),
    [
        ("{{ '2030-03-01' | date }}", "Mar 1, 2030", "01.03.2030"),
        ("{{ '2030-03-01' | date('long') }}", "March 1, 2030", "1. März 2030"),
        ("{{ '2030-03-01' | date('d MMMM') }}", "1 March", "1 März"),
        ("{{ at | date }}", "Mar 1, 2030", "01.03.2030"),
        ("{{ at | time }}", "12:00 PM", "12:00"),
        ("{{ at | time(timezone='Europe/Berlin') }}", "1:00 PM", "13:00"),
        ("{{ at | datetime('short') }}", "3/1/30, 12:00 PM", "01.03.30, 12:00"),
        ("{{ 0 | datetime('short') }}", "1/1/70, 12:00 AM", "01.01.70, 00:00"),
        ("{{ '1234.5' | number }}", "1,234.5", "1.234,5"),
        ("{{ 0.25 | percent }}", "25%", "25 %"),
        ("{{ '1234.50' | money('EUR') }}", "€1,234.50", "1.234,50 €"),
        ("{{ 3 | money('JPY') }}", "¥3", "3 ¥"),
    ],
)
def test_each_language_writes_it_its_own_way(tmp_path: Path, text: str, english: str, german: str) -> None:
    assert written(tmp_path, text, at=NOON) == english
    assert written(tmp_path, text, "de", at=NOON) == german


def test_relative_time_says_how_far_it_is_from_now(tmp_path: Path) -> None:
    later, earlier = (datetime.now(UTC) + timedelta(days=days, minutes=1) for days in (3, -2))
    assert written(tmp_path, "{{ at | relative_time }}", at=later.isoformat()) == "in 3 days"
    assert written(tmp_path, "{{ at | relative_time }}", "fr", at=earlier.isoformat()) == "il y a 2 jours"


def test_html_keeps_the_spaces_that_hold_a_number_together_and_text_has_plain_ones(tmp_path: Path) -> None:
    files = dict.fromkeys(("t/de/body.txt", "t/de/body.html"), "{{ 3 | money('EUR') }}")
    assert templates(tmp_path, files).render("t", {}, locale="de") == {
        "body.txt": "3,00 €",
        "body.html": "3,00\u00a0€",
    }


@pytest.mark.parametrize(
    ("locale", "expected"),
    [("de", "1,5"), ("de-AT", "1,5"), ("fr", "1.5"), ("en-GB", "1.5"), (None, "1.5"), ("xx-YY", "1.5")],
)
def test_a_text_and_its_numbers_are_in_one_language(tmp_path: Path, locale: str | None, expected: str) -> None:
    """For French there is only the text under no locale, which is English: so are its numbers."""
    files = dict.fromkeys(("t/de/body.txt", "t/body.txt"), "{{ 1.5 | number }}")
    assert templates(tmp_path, files).render("t", {}, locale=locale)["body.txt"] == expected


def test_a_template_says_which_language_the_files_under_no_locale_are_in(tmp_path: Path) -> None:
    files = {"t/body.txt": "{{ 1.5 | number }} {{ '2030-03-01' | date('short') }}", "t/template.toml": 'locale = "de"'}
    assert templates(tmp_path, files).render("t", {})["body.txt"] == "1,5 01.03.30"
    assert templates(tmp_path, files).render("t", {}, locale="de-CH")["body.txt"] == "1.5 01.03.30"


def test_a_macro_of_another_file_writes_in_the_language_of_the_text(tmp_path: Path) -> None:
    files = {"_m.txt": "{% macro m(x) %}{{ x | number }}{% endmacro %}"}
    files["t/de/body.txt"] = "{% from '_m.txt' import m %}{{ m(1.5) }}"
    assert templates(tmp_path, files).render("t", {}, locale="de")["body.txt"] == "1,5"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{{ code | date }}", "the filter date wants a date or a moment in ISO 8601, or seconds since 1970"),
        ("{{ true | datetime }}", "the filter datetime wants a date or a moment in ISO 8601, or seconds since 1970"),
        ("{{ 1e99 | time }}", "the filter time wants a date or a moment in ISO 8601, or seconds since 1970"),
        ("{{ 0 | time(timezone=code) }}", f"the filter time wants {ZONE}"),
        ("{{ 0 | time(timezone=7) }}", f"the filter time wants {ZONE}"),
        ("{{ code | money('EUR') }}", 'the filter money wants a number, or one as a text such as "3.50"'),
        ("{{ '1e999999' | number }}", 'the filter number wants a number, or one as a text such as "3.50"'),
        ("{{ 1e300 | number }}", 'the filter number wants a number, or one as a text such as "3.50"'),
        ("{{ 1 | money(code) }}", 'the filter money wants a currency in three capitals, such as money("EUR")'),
        ("{{ 1 | money('../') }}", 'the filter money wants a currency in three capitals, such as money("EUR")'),
        ("{{ nothing | date }}", "'nothing' is missing from the payload"),
    ],
)  # fmt: skip
def test_what_a_filter_does_not_take_is_refused_without_quoting_it(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(Rejected) as refused:
        written(tmp_path, text, code="hunter2")
    assert refused.value.detail == f"template t: t/body.txt, line 1: {problem}"


@given(value=st.none() | st.integers() | st.floats() | st.text() | st.booleans(), locale=st.text(max_size=20))
@pytest.mark.parametrize("name", ["date", "time", "datetime", "relative_time", "number", "percent"])
def test_any_value_in_any_locale_is_written_or_refused_in_words_of_ours(
    name: str, value: Any, locale: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "formats"
    try:
        made = dict(templates(folder, {"t/body.txt": f"{{{{ x | {name} }}}}"}).render("t", {"x": value}, locale=locale))
    except Rejected as refused:
        made = {"body.txt": f"the filter {name} wants " if "wants" in refused.detail else ""}
    assert made["body.txt"]


def test_without_babel_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    made = templates(tmp_path, {"t/body.txt": "{{ 1 | money('EUR') }}"})
    assert made.check() == [f"{tmp_path}/t/body.txt, line 1: No filter named 'money': install outbox[locales]"]
