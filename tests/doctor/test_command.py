from __future__ import annotations

import json
import re
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.config import Config
from outbox.devdb import LocalPostgres
from outbox.doctor import examination
from outbox.doctor.examination import CHECKS, examine
from outbox.doctor.patient import Patient
from tests.command_line import run, run_on_a_terminal, run_process
from tests.doctor.examined import finding, session, type_
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.examination import Result
    from outbox.doctor.finding import Check, Finding

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
HEALTHY = '[channels.email]\nproviders = ["console"]\n'


@pytest.fixture(scope="module")
def healthy() -> Iterator[str]:
    """A database with nothing amiss, on a server of its own: that of the tests does not wait for its disk."""
    with LocalPostgres() as server:
        assert run(server.url, "migrate").exit_code == 0
        yield server.url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "outbox.toml").write_text(HEALTHY)
    return tmp_path / "outbox.toml"


def test_a_healthy_database_has_nothing_amiss_by_any_check(healthy: str, file: Path) -> None:
    done = run(healthy, "doctor", "--config", file, "--json")
    document = json.loads(done.stdout)
    amiss = [found for found in document["findings"] if found["status"] != "ok"]
    assert {found["name"] for found in amiss} <= {"version"}, amiss  # of which there may be a newer one
    assert [found["name"] for found in document["findings"]] == [check.name for check in CHECKS]
    assert set(document["findings"][0]) == {"name", "status", "finding", "remedy", "details"}
    assert done.exit_code == 0


def test_the_commands_of_the_page_run(healthy: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    lines = "".join(re.findall(r"^```bash\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))
    commands = [line.partition("#")[0].partition("|")[0].split() for line in lines.splitlines()]
    assert len(commands) >= 5
    for command in commands:
        done = run(healthy, *command[1:])
        assert done.exit_code == 0 or "--strict" in command, (command, done.output)


def test_it_is_plain_in_a_pipe_and_drawn_on_a_terminal(healthy: str, file: Path) -> None:
    arguments = ("doctor", "--config", file, "--only", "partitions", "--only", "clock")
    piped = run_process(healthy, *arguments)
    assert (piped.returncode, "\x1b" in piped.stdout) == (0, False)
    clock, partitions, summary = piped.stdout.splitlines()
    assert re.match(r"ok       clock +this machine and the database agree to \d+ ms$", clock)
    assert re.match(r"ok       partitions +the next 14 days have their partitions$", partitions)
    assert summary == "2 checks, and all is well"
    code, seen = run_on_a_terminal(healthy, *arguments)
    assert (code, "\x1b[32m✓\x1b[0m" in seen) == (0, True)


def test_what_fails_is_said_with_its_remedy_and_a_code(cloned_url: str, file: Path) -> None:
    rows(cloned_url, "ALTER TABLE outbox.queue SET (autovacuum_enabled = off)")
    arguments = ("doctor", "--config", file, "--only", "autovacuum", "--only", "lines")
    done = run(cloned_url, *arguments)
    assert done.exit_code == 1
    first, _, summary = done.stdout.splitlines()
    assert first.endswith(
        "autovacuum is turned off for outbox.queue; remedy: ALTER TABLE outbox.queue RESET (autovacuum_enabled)"
    )
    assert summary == "2 checks: 1 failing, 1 well"
    code, seen = run_on_a_terminal(cloned_url, *arguments)
    assert (code, "✗" in seen, "→" in seen) == (1, True, True)
    document = json.loads(run(cloned_url, *arguments, "--json").stdout)
    assert document["status"] == "failure"
    type_(cloned_url, document["findings"][0]["remedy"])
    assert run(cloned_url, *arguments).exit_code == 0


def test_a_warning_fails_if_one_is_strict(cloned_url: str, file: Path) -> None:
    rows(cloned_url, "ALTER TABLE outbox.suppressions SET (autovacuum_enabled = off)")
    arguments = ("doctor", "--config", file, "--only", "autovacuum")
    assert run(cloned_url, *arguments).exit_code == 0
    assert run(cloned_url, *arguments, "--strict").exit_code == 1


def test_what_a_session_ran_last_is_for_the_eyes_at_a_terminal_alone(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outbox.terminal import doctor as shown  # noqa: PLC0415

    monkeypatch.setattr("outbox.doctor.horizon._LONG", 0.01)
    arguments = ("doctor", "--only", "open-transactions")
    with session(cloned_url, "SELECT pg_current_xact_id(), 'ada@example.org'"):
        time.sleep(0.05)
        assert "it ran last" not in run(cloned_url, *arguments).stdout
        assert "pg_current_xact_id" not in run(cloned_url, *arguments, "--json").stdout
        monkeypatch.setattr(shown, "is_terminal", lambda: True)
        seen = run(cloned_url, *arguments).stdout
        assert "it ran last: SELECT pg_current_xact_id(), ?" in seen
        assert "ada@example.org" not in seen


def test_a_database_that_cannot_be_reached_is_said_once_and_fails(file: Path) -> None:
    done = run("postgresql://nobody@127.0.0.1:1/none", "doctor", "--config", file)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("failure  connection              the database cannot be reached: ")
    assert sum("cannot be reached" in line for line in lines) == 1
    assert lines[-1] == f"{len(CHECKS)} checks: 1 failing, {len(CHECKS) - 2} not looked at, 1 well"
    assert run("postgresql://nobody@127.0.0.1:1/none", "doctor", "--only", "lines").exit_code == 1


def test_the_checks_are_listed_and_one_that_there_is_not_is_guessed(database_url: str) -> None:
    listed = run(database_url, "doctor", "--list")
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == [check.name for check in CHECKS]
    assert [each["name"] for each in json.loads(run("", "doctor", "--list", "--json").stdout)] == [
        check.name for check in CHECKS
    ]
    done = run(database_url, "doctor", "--only", "autovacum")
    assert done.exit_code == 2
    assert "--only: there is no check 'autovacum'; did you mean autovacuum?" in done.stderr
    assert "outbox doctor --list names them" in run(database_url, "doctor", "--only", "xyz").stderr


def test_mistakes_in_the_configuration_are_found_beside_everything_else(cloned_url: str, tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    arguments = ("doctor", "--config", file, "--only", "configuration", "--only", "partitions", "--json")
    file.write_text('[channels.email]\nproviders = ["smpt"]\n[worker]\nlease = "never"\n')
    document = json.loads(run(cloned_url, *arguments).stdout)
    assert [found["status"] for found in document["findings"]] == ["failure", "failure", "ok"]
    first, second, _ = document["findings"]
    assert first["remedy"] == f"outbox check --config {file}"
    assert run("", *first["remedy"].split()[1:]).exit_code == 1, "which says the same"
    assert {"worker.lease" in first["finding"], "smpt" in second["finding"]} == {True}
    file.write_text(HEALTHY)
    (tmp_path / "templates" / "welcome").mkdir(parents=True)
    (tmp_path / "templates" / "welcome" / "body.txt").write_text("{{ broken")
    document = json.loads(run(cloned_url, *arguments).stdout)
    assert "welcome" in document["findings"][0]["finding"], "a template is broken"
    (tmp_path / "templates" / "welcome" / "body.txt").unlink()
    (tmp_path / "templates" / "welcome").rmdir()
    file.write_text("this is no TOML")
    done = run(cloned_url, *arguments, "--database-url", cloned_url)
    assert [found["status"] for found in json.loads(done.stdout)["findings"]] == ["failure", "ok"]
    file.write_text(HEALTHY)
    assert run(cloned_url, *arguments).exit_code == 0
    assert run(cloned_url, "doctor", "--config", tmp_path / "none.toml").exit_code == 2


def examined(url: str, checks: list[Check]) -> list[Result]:
    patient = Patient(url, Config())
    with closing(patient):
        return list(examine(patient, checks))


def test_a_check_that_breaks_stops_no_other(cloned_url: str) -> None:
    def look(patient: Patient) -> Iterator[Finding]:
        yield finding(cloned_url, "autovacuum")
        patient.ask("SELECT nonsense")

    def defect(_: Patient) -> list[Finding]:
        raise ZeroDivisionError

    rows(cloned_url, "ALTER TABLE outbox.queue SET (autovacuum_enabled = off)")
    (template,) = [check for check in CHECKS if check.name == "lines"]
    checks = [replace(template, name="a", look=look), replace(template, name="b", look=defect), template]
    results = examined(cloned_url, checks)
    assert [[found.status for found in result.findings] for result in results] == [
        ["failure", "unknown"],
        ["unknown"],
        ["ok"],
    ]
    assert results[1].findings[0].finding.startswith("could not be looked at: ZeroDivisionError at test_command.py:")


def test_a_check_that_takes_too_long_is_cut_off(cloned_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "PATIENCE", 0.2)
    (template,) = [check for check in CHECKS if check.name == "lines"]

    def look(patient: Patient) -> Iterator[Finding]:
        patient.ask("SELECT pg_sleep(60)")
        yield from ()

    slow = replace(template, name="slow", look=look)
    first, second = examined(cloned_url, [slow, template])
    assert first.findings[0].finding == "could not be looked at within 0.2 s"
    assert second.status == "ok"


def test_a_connection_that_is_lost_is_made_again_for_the_next_check(cloned_url: str) -> None:
    (template,) = [check for check in CHECKS if check.name == "lines"]

    def look(patient: Patient) -> Iterator[Finding]:
        rows(cloned_url, f"SELECT pg_terminate_backend({patient.conn.info.backend_pid})")
        patient.ask("SELECT 1 AS one")
        yield from ()

    first, second = examined(cloned_url, [replace(template, name="cut", look=look), template])
    assert (first.status, second.status) == ("unknown", "ok")


def test_nothing_is_written(cloned_url: str) -> None:
    with (
        closing(Patient(cloned_url, Config())) as patient,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        patient.sitting(),
    ):
        patient.ask("CREATE TABLE public.t ()")


def test_the_page_has_every_check_in_the_words_of_the_program() -> None:
    page = PAGE.read_text(encoding="utf-8")
    lines = re.findall(r"^\| <a id=\"([\w-]+)\"></a>`([\w-]+)` \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert [(anchor, *rest) for anchor, *rest in lines] == [
        (check.name, check.name, check.looks_for, check.harm, check.remedy) for check in CHECKS
    ]
