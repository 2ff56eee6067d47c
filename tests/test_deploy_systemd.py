"""deploy/systemd: units that systemd understands, commands that exist, and time enough to stop."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from outbox import config
from outbox.config.secret_files import FOLDER
from outbox.durations import parse
from tests.shipped import DEPLOY, longest_stop, parsed

if TYPE_CHECKING:
    from pathlib import Path

UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
PROGRAM = "/opt/outbox/bin/outbox"


def directives(unit: Path) -> list[tuple[str, str]]:
    return [(key, value) for key, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE)]


def all_of(unit: Path, key: str) -> list[str]:
    return [value for name, value in directives(unit) if name == key]


def installed(unit: Path, folder: Path) -> Path:
    """The unit as systemd finds it, of the channel email if it is a template, with a program that is there."""
    target = folder / unit.name.replace("@.", "@email.")
    target.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    return target


def test_there_is_a_unit_for_workers_for_the_dashboard_and_for_the_migration() -> None:
    assert [unit.name for unit in UNITS] == ["outbox-migrate.service", "outbox-web.service", "outbox-worker@.service"]


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", str(installed(unit, tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_what_it_is_exposed_to_is_little(unit: Path, tmp_path: Path) -> None:
    """From 0, nothing, to 10, everything, as systemd counts; 20 is 2.0."""
    command = [str(ANALYZE), "security", "--offline=yes", "--threshold=20", str(installed(unit, tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd is older than 250, and cannot tell")
    assert done.returncode == 0, done.stdout[-500:]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_command_exists_and_reads_its_secrets_from_files(unit: Path) -> None:
    (command,) = all_of(unit, "ExecStart")
    program, *words = command.replace("%i", "email").split()
    assert program == PROGRAM
    name, given = parsed(words)
    assert unit.name.startswith(f"outbox-{name}")
    assert str(given["config"]) == "/etc/outbox/outbox.toml"
    assert f"{FOLDER}=%d" in all_of(unit, "Environment")[0].split()
    assert "OUTBOX_DATABASE_URL" in {value.split(":")[0] for value in all_of(unit, "LoadCredential")}
    credentials = re.findall(r"LoadCredential=(\w+):", unit.read_text())
    environ = dict.fromkeys(credentials, f"postgresql://{'x' * 40}") | {"OUTBOX_CHANNELS_EMAIL_PROVIDERS": "smtp"}
    assert config.survey(environ=environ)[1] == []


def test_a_worker_has_longer_to_stop_than_its_grace_and_is_not_restarted_after_a_mistake() -> None:
    worker = UNITS[-1]
    (seconds,) = all_of(worker, "TimeoutStopSec")
    assert float(str(parse(seconds))) > longest_stop(config.load(environ={}).worker.grace)
    assert all_of(worker, "RestartPreventExitStatus") == ["2"]
    assert all_of(worker, "Restart") == ["always"]
