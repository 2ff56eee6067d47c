"""When something is missing, a command says what, where, and what to type."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from outbox.channels import EXTRAS
from outbox.terminal.remedies import about
from tests.command_line import run, run_process
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONSOLE = '[channels.email]\nproviders = ["console"]\n'


def url_of(url: str, *, database: str | None = None, username: str | None = None) -> str:
    return make_url(url).set(database=database, username=username).render_as_string(hide_password=False)


@contextmanager
def login(url: str, name: str) -> Iterator[str]:
    """Yield the URL of a new role that has no rights, for as long as the `with` block lasts."""
    rows(url, f"DROP ROLE IF EXISTS {name}")
    rows(url, f"CREATE ROLE {name} LOGIN")
    try:
        yield url_of(url, username=name)
    finally:
        rows(url, f"DROP ROLE {name}")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestTheDatabase:
    @pytest.mark.parametrize(
        "words", [["status"], ["migrate"], ["worker", "--channel", "email"], ["dead-letters", "list"]]
    )
    def test_none_is_named(self, here: Path, words: list[str]) -> None:
        (here / "outbox.toml").write_text(CONSOLE, encoding="utf-8")
        done = run("", *words)
        assert done.exit_code == 2
        for remedy in (
            "set OUTBOX_DATABASE_URL",
            "--database-url",
            f"[database] in {here / 'outbox.toml'}",
            "outbox init",
        ):
            assert remedy in done.stderr

    @pytest.mark.parametrize("words", [["status"], ["migrate"], ["explain", "01890a5d-ac96-774b-bcce-b302099a8057"]])
    def test_nobody_answers(self, words: list[str]) -> None:
        done = run_process("postgresql://ada:secret@127.0.0.1:1/shop", *words)
        assert done.returncode == 1
        assert "127.0.0.1" in done.stderr
        assert "pg_isready" in done.stderr
        assert "secret" not in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_its_host_has_no_such_name(self) -> None:
        done = run("postgresql://ada@nowhere.invalid/shop", "status")
        assert (done.exit_code, "is the host spelt right?" in done.stderr) == (1, True)

    def test_there_is_no_such_database(self, database_url: str) -> None:
        done = run(url_of(database_url, database="shopp"), "status")
        assert done.exit_code == 1
        assert "createdb shopp" in done.stderr

    def test_there_is_no_such_role(self, database_url: str) -> None:
        done = run(url_of(database_url, username="nobody_known"), "status")
        assert done.exit_code == 1
        assert "make the role, or name another" in done.stderr or "the user and the password are in" in done.stderr

    @pytest.mark.parametrize("command", [["status"], ["dead-letters", "list"], ["enqueue", *(
        "--channel", "email", "--recipient", "ada@example.org"
    )]])  # fmt: skip
    def test_its_tables_are_not_there(self, empty_url: str, command: list[str]) -> None:
        done = run(empty_url, *command)
        assert (done.exit_code, "run `outbox migrate`" in done.stderr) == (1, True)

    def test_its_tables_are_older(self, empty_url: str) -> None:
        done = run(empty_url, "migrate")
        assert done.exit_code == 0
        rows(empty_url, "ALTER TABLE outbox.pauses RENAME TO pauses_of_old")
        done = run(empty_url, "status")
        assert (done.exit_code, "run `outbox migrate`" in done.stderr) == (1, True)

    def test_its_tables_are_newer(self, cloned_url: str) -> None:
        rows(cloned_url, "UPDATE outbox.migrations SET version_num = '9999'")
        done = run(cloned_url, "migrate")
        assert done.exit_code == 1
        assert "install the version that migrated it, or a later one" in done.stderr

    def test_a_right_is_missing(self, cloned_url: str) -> None:
        with login(cloned_url, "outbox_test_stranger") as url:
            done = run(url, "status")
        assert done.exit_code == 1
        assert "outbox roles --apply" in done.stderr

    def test_the_schema_may_not_be_made(self, empty_url: str) -> None:
        with login(empty_url, "outbox_test_newcomer") as url:
            done = run(url, "migrate")
        assert done.exit_code == 1
        assert f"GRANT CREATE ON DATABASE {conninfo_to_dict(empty_url)['dbname']}" in done.stderr
        assert "outbox roles" not in done.stderr


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ('FATAL:  password authentication failed for user "ada"', "the user and the password are in"),
        ("fe_sendauth: no password supplied", "the user and the password are in"),
        ("FATAL:  no such user: ada", "the user and the password are in"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "pg_hba.conf decides"),
        ("FATAL:  sorry, too many clients already", "put a pooler in front"),
        ("FATAL:  the database system is starting up", "try again in a moment"),
        ("connection timeout expired", "pg_isready tells"),
        ("FATAL:  no such database: shop", "createdb shop"),
        ('FATAL:  role "ada" is not permitted to log in', "make the role"),
    ],
)
def test_each_way_in_which_a_server_refuses_has_its_remedy(said: str, remedy: str) -> None:
    sentence = about(psycopg.OperationalError(said))
    assert sentence.startswith("the database cannot be reached: ")
    assert remedy in sentence


class TestTheConfiguration:
    def test_the_file_is_not_there(self, here: Path) -> None:
        done = run("", "status", "--config", "none.toml")
        assert done.exit_code == 2
        assert f"{here / 'none.toml'}: cannot be read: No such file or directory; --config" in done.stderr

    def test_a_channel_is_not_in_it(self, here: Path, database_url: str) -> None:
        (here / "outbox.toml").write_text(CONSOLE, encoding="utf-8")
        done = run(database_url, "worker", "--channel", "emial")
        assert (done.exit_code, "did you mean email?" in done.stderr) == (2, True)

    def test_there_is_none_to_serve_a_channel(self, database_url: str) -> None:
        done = run(database_url, "worker", "--channel", "email")
        assert (done.exit_code, "no [channels.email]" in done.stderr) == (2, True)
        assert "`outbox init` makes one" in done.stderr
        assert "`outbox init` makes one" in run("", "check").stderr

    def test_a_template_is_not_there(self, here: Path) -> None:
        (here / "templates/welcome").mkdir(parents=True)
        (here / "templates/welcome/body.txt").write_text("Hello", encoding="utf-8")
        done = run("", "template", "show", "welcom")
        assert (done.exit_code, "did you mean welcome?" in done.stderr) == (1, True)


def test_every_extra_that_a_provider_needs_is_known_by_name() -> None:
    from importlib.metadata import metadata  # noqa: PLC0415

    offered = set(metadata("outbox").get_all("Provides-Extra") or ())
    assert set(EXTRAS.values()) <= offered


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


class TestAPortIsTaken:
    def test_by_another_dashboard(self, database_url: str, taken: int) -> None:
        done = run_process(database_url, "web", "--port", taken)
        assert done.returncode == 2
        assert f"web.port: cannot listen at 127.0.0.1, port {taken}" in done.stderr
        assert "--port names another port" in done.stderr

    def test_by_another_worker(self, here: Path, database_url: str, taken: int) -> None:
        (here / "outbox.toml").write_text(CONSOLE, encoding="utf-8")
        at = ("--metrics-port", taken, "--metrics-host", "127.0.0.1")
        done = run_process(database_url, "worker", "--channel", "email", *at, cwd=here)
        assert done.returncode == 2
        assert f"worker.metrics_port: cannot listen at 127.0.0.1, port {taken}" in done.stderr
