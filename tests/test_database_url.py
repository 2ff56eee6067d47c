"""Database URLs, in the forms that people have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.config import libpq_url
from outbox.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40ss@h:5432/d?sslmode=require", "postgresql://u:p%40ss@h:5432/d?sslmode=require"),
        ("postgres://h/d", "postgresql://h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql://u@h/d"),
        (
            "postgresql+asyncpg://u@h/d?application_name=app&ssl=require",
            "postgresql://u@h/d?application_name=app&sslmode=require",
        ),
        ("POSTGRESQL://h/d", "postgresql://h/d"),
        ("postgresql:///d?host=/run/postgresql\n", "postgresql:///d?host=/run/postgresql"),
    ],
)
def test_urls_become_what_libpq_reads(url: str, expected: str) -> None:
    assert libpq_url(url) == expected


@pytest.mark.parametrize(
    "rest", ["u:se@cret@h:5432/db", "u:secret@@h/db", "u:se/cret@h/db", "u:1/cret@h", "u:p@x/y@h/d"]
)
def test_an_at_sign_or_a_slash_in_a_password_has_to_be_escaped(rest: str) -> None:
    expected = "the database URL has an @ out of place: an @ in a password is written %40, and a / is written %2F"
    with pytest.raises(ConfigError) as refused:
        libpq_url(f"postgresql://{rest}")
    assert refused.value.problems == (expected,)


@pytest.mark.parametrize("rest", ["h:port/d", "u:p@h:54x/d", "u:cret/word", "h:1,i:x/d", "u@[::1]:x/d"])
def test_a_port_is_a_number(rest: str) -> None:
    with pytest.raises(ConfigError) as refused:
        libpq_url(f"postgresql://{rest}")
    (problem,) = refused.value.problems
    assert problem.startswith("the port in the database URL is no number")


@pytest.mark.parametrize(
    "rest", ["u:p?w#x@h/d", "h1:1,h2/d", "u@[::1]:5432/d", "[::1]", "h:/d", "%2Frun%2Fpostgresql/d", "/d?user=a@b", ""]
)
def test_what_libpq_reads_without_doubt_stays_as_it_is(rest: str) -> None:
    assert libpq_url(f"postgresql://{rest}") == f"postgresql://{rest}"


@given(st.text())
def test_a_url_is_made_libpqs_or_refused_and_never_shown(rest: str) -> None:
    for url in (f"mysql://u:hunter2@{rest}", f"hunter2:{rest}", rest):
        try:
            shown = libpq_url(url).removeprefix("postgresql://").replace(rest.strip(), "")
        except ConfigError as refused:
            shown = str(refused)
        assert "hunter2" not in shown
