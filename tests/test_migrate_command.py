from __future__ import annotations

import psycopg
import pytest

from outbox import migrate
from tests.command_line import run, run_on_a_terminal
from tests.endings import put


def has_tables(url: str) -> bool:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT to_regclass('outbox.notifications')").fetchall() != [(None,)]


def make_newer(url: str) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE outbox.migrations SET version_num = '9999'")


def test_it_migrates_once(empty_url: str) -> None:
    assert run(empty_url, "migrate", "--check").exit_code == 1
    assert run(empty_url, "migrate").stdout.startswith("✓ migrated: revision")
    assert run(empty_url, "migrate").stdout.startswith("✓ already up to date: revision")
    assert run(empty_url, "migrate", "--check").exit_code == 0


def test_undoing_everything_asks_a_person_and_says_what_would_be_lost(cloned_url: str) -> None:
    put(cloned_url, 3)
    code, seen = run_on_a_terminal(cloned_url, "migrate", "--down", "base", answer="n\n")
    name = psycopg.conninfo.conninfo_to_dict(cloned_url)["dbname"]
    assert (code, has_tables(cloned_url)) == (1, True)
    assert f"every table of the outbox from the database '{name}' on" in seen
    assert "which holds 3 notifications" in seen

    code, seen = run_on_a_terminal(cloned_url, "migrate", "--down", "base", answer="y\n")
    assert (code, has_tables(cloned_url)) == (0, False)
    assert "undone down to base" in seen


def test_undoing_where_there_is_nobody_to_ask_is_misuse(cloned_url: str) -> None:
    result = run(cloned_url, "migrate", "--down", "base")
    assert (result.exit_code, has_tables(cloned_url)) == (2, True)
    assert "--yes" in result.stderr


def test_undoing_does_not_ask_who_is_sure(cloned_url: str) -> None:
    result = run(cloned_url, "migrate", "--down", "base", "--yes")
    assert (result.exit_code, has_tables(cloned_url)) == (0, False)


def test_undoing_where_there_is_nothing_to_undo_is_no_failure(empty_url: str, database_url: str) -> None:
    for url, revision in ((empty_url, "base"), (database_url, migrate.head())):
        result = run(url, "migrate", "--down", revision)
        assert (result.exit_code, result.stdout) == (0, "")
        assert f"nothing to undo: the database is at {revision}" in result.stderr


@pytest.mark.parametrize("revision", ["nope", "", "-1"])
def test_undoing_down_to_what_is_no_revision_is_a_sentence(database_url: str, revision: str) -> None:
    result = run(database_url, "migrate", "--down", revision, "--yes")
    assert (result.exit_code, has_tables(database_url)) == (1, True)
    assert (
        result.stderr == f"error: there is no revision {revision!r}: it is a number such as {migrate.head()}, or base\n"
    )


def test_undoing_down_to_what_was_never_applied_is_a_sentence(empty_url: str) -> None:
    result = run(empty_url, "migrate", "--down", "0001", "--yes")
    assert result.exit_code == 1
    assert result.stderr == "error: this database has no revision, so it cannot be undone down to 0001\n"


@pytest.mark.parametrize("arguments", [[], ["--check"], ["--down", "base", "--yes"]])
def test_a_database_that_is_newer_than_the_package_is_a_sentence(cloned_url: str, arguments: list[str]) -> None:
    make_newer(cloned_url)
    result = run(cloned_url, "migrate", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: this database is newer than this outbox: it has revision 9999")
    assert has_tables(cloned_url)


@pytest.mark.parametrize(
    "arguments", [["--check", "--sql"], ["--check", "--down", "base"], ["--sql", "--down", "base", "--yes"]]
)
def test_two_things_at_once_are_misuse(database_url: str, arguments: list[str]) -> None:
    result = run(database_url, "migrate", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "give one of the three" in result.stderr


def test_the_sql_is_printed_without_a_database() -> None:
    result = run("", "migrate", "--sql")
    assert result.exit_code == 0
    assert "CREATE TABLE outbox.notifications" in result.stdout


def test_a_database_that_cannot_be_reached_is_a_sentence() -> None:
    result = run("postgresql://nobody@127.0.0.1:1/none", "migrate")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the database cannot be reached: connection failed")
    assert len(result.stderr.splitlines()) == 1
