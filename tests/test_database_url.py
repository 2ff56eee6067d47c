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


@given(st.text())
def test_a_url_is_made_libpqs_or_refused_and_never_shown(rest: str) -> None:
    for url in (f"mysql://u:hunter2@{rest}", f"hunter2:{rest}", rest):
        try:
            shown = libpq_url(url).removeprefix("postgresql://").replace(rest.strip(), "")
        except ConfigError as refused:
            shown = str(refused)
        assert "hunter2" not in shown
