"""`outbox --version`: one line for scripts, the others for whoever looks for a fault."""

from __future__ import annotations

import socket
from importlib.metadata import version
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy.engine import make_url

from outbox.migrate import head
from outbox.revisions import newest
from tests.command_line import run_process
from tests.hands import rows
from tests.test_roles import made

if TYPE_CHECKING:
    from pathlib import Path


def told(url: str, **given: object) -> dict[str, str]:
    done = run_process(url, "--version", **given)  # type: ignore[arg-type]
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first == f"outbox {version('outbox')}"
    return {name: words.strip() for name, _, words in (line.partition(" ") for line in rest)}


def test_the_newest_revision_is_known_without_alembic() -> None:
    assert newest() == head()


def test_everything_that_matters_is_there_and_so_is_the_server(database_url: str) -> None:
    found = told(database_url)
    for name in ("sqlalchemy", "alembic", "httpx", "jinja2"):
        assert found[name] == version(name)
    assert found["schema"] == newest()
    assert found["psycopg"].startswith(f"{psycopg.__version__} ({psycopg.pq.__impl__}), libpq ")
    assert {"python", "platform"} <= set(found)
    assert found["server"].startswith("PostgreSQL ")
    assert found["server"].endswith(f"schema {newest()}")


def test_a_database_without_the_tables_is_told(empty_url: str) -> None:
    assert told(empty_url)["server"].endswith("schema none; run `outbox migrate`")


def test_whoever_may_not_look_into_the_schema_is_told_so(cloned_url: str) -> None:
    with made(cloned_url) as roles:
        rows(cloned_url, f"ALTER ROLE {roles.name('stranger')} LOGIN PASSWORD 'trusted'")
        url = make_url(cloned_url).set(username=roles.name("stranger"), password="trusted")
        words = told(url.render_as_string(hide_password=False))["server"]
    assert words.startswith("PostgreSQL ")
    assert words.endswith(", whose schema this user may not see")


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    """One that accepts and says nothing is worse than one that refuses: libpq alone would wait for ten seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = told(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x", cwd=tmp_path)["server"]
    assert words == "no answer within 1 s"


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    assert told("", cwd=tmp_path)["server"] == "no database is configured"


def test_a_configuration_that_cannot_be_read_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text("[channels", encoding="utf-8")
    assert "outbox check" in told("", cwd=tmp_path)["server"]
    assert "secret" not in told("postgresql://a:secret@127.0.0.1:1/x")["server"]
