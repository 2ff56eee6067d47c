from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox import migrate
from tests.command_line import run
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLES = ("enqueuer", "worker", "auditor", "operator")


@pytest.fixture
def prefix(cloned_url: str) -> Iterator[str]:
    prefix = f"t{secrets.token_hex(4)}_"
    yield prefix
    made = [name for (name,) in rows(cloned_url, "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", prefix)]
    rows(cloned_url, "; ".join(f"DROP OWNED BY {name}; DROP ROLE {name}" for name in made) or "SELECT 1")


def granted(url: str, prefix: str) -> int:
    query = "SELECT count(*) FROM information_schema.role_table_grants WHERE starts_with(grantee, %s)"
    return int(rows(url, query, prefix)[0][0])


def test_it_prints_what_it_would_run_and_needs_no_database() -> None:
    result = run("", "roles")
    assert result.exit_code == 0
    assert result.stdout == f"BEGIN;\n\n{migrate.roles_sql()}\nCOMMIT;\n"
    assert result.stdout.count("outbox_enqueuer") > 3


def test_what_it_prints_runs(cloned_url: str, prefix: str) -> None:
    script = run("", "roles", "--prefix", prefix).stdout
    with psycopg.connect(cloned_url, autocommit=True) as conn:
        conn.execute(script.encode())
    assert granted(cloned_url, prefix) > 20
    assert not any(f"outbox_{role}" in script for role in ROLES)


def test_it_applies_it_as_often_as_one_likes(cloned_url: str, prefix: str) -> None:
    for _ in range(2):
        result = run(cloned_url, "roles", "--apply", "--prefix", prefix)
        assert (result.exit_code, result.stdout) == (0, f"✓ roles: {', '.join(prefix + role for role in ROLES)}\n")
    assert granted(cloned_url, prefix) > 20


@pytest.mark.parametrize("prefix", ["Big", "a b", "x;DROP", "1st", "p" * 60, ""])
def test_a_prefix_that_makes_no_names_is_refused(database_url: str, prefix: str) -> None:
    for arguments in (["--prefix", prefix], ["--apply", "--prefix", prefix]):
        result = run(database_url, "roles", *arguments)
        assert (result.exit_code, "does not begin a name" in result.stderr) == (2, True)


def test_who_is_not_the_owner_is_told_so(cloned_url: str, prefix: str) -> None:
    run(cloned_url, "roles", "--apply", "--prefix", prefix)
    as_worker = f"{cloned_url}{'&' if '?' in cloned_url else '?'}options=-c%20role%3D{prefix}worker"
    result = run(as_worker, "roles", "--apply", "--prefix", prefix)
    assert (result.exit_code, "the database said no: InsufficientPrivilege" in result.stderr) == (1, True)


def test_a_database_without_the_outbox_is_a_sentence(empty_url: str) -> None:
    result = run(empty_url, "roles", "--apply", "--prefix", f"t{secrets.token_hex(4)}_")
    assert (result.exit_code, "run `outbox migrate`" in result.stderr) == (1, True)
