"""The wheel, installed into an empty environment and used there, far from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest

import outbox.__main__
from outbox.migrate import is_current
from tests.installing import borrow, build_wheel, install_wheel, with_all_that_they_need
from tests.projects import run_pytest, where, write_project

ROOT = Path(__file__).parents[1]


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Return the output of a command that must succeed, with no variable that could lead it to the checkout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OUTBOX_"))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env | environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def _environment(wheel: Path, environment: Path) -> tuple[Path, Path]:
    """Return the `bin` and the packages of a new environment with nothing but the wheel in it."""
    venv.create(environment, symlinks=True)
    return environment / "bin", install_wheel(wheel, environment)


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel in it, which borrows the dependencies that are installed here.

    They are borrowed by a `.pth` line, whose directory's own `.pth` files are not read: the checkout's is one.
    """
    programs, packages = _environment(wheel, tmp_path_factory.mktemp("environment"))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.fixture
def fresh(wheel: Path, tmp_path: Path) -> Path:
    """The Python of an environment with the wheel, pytest and pytest-postgresql, and nothing that these do not need."""
    programs, packages = _environment(wheel, tmp_path / "environment")
    borrow(with_all_that_they_need("outbox", "pytest", "pytest-postgresql") - {"outbox"}, packages)
    return programs / "python"


def test_it_holds_the_package_alone_with_its_types_command_line_and_migrations(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"outbox", f"outbox-{version('outbox')}.dist-info"}
    assert {"outbox/py.typed", "outbox/_cli.py", "outbox/_migrations/env.py"} <= set(names)
    assert any(name.startswith("outbox/_migrations/versions/0001") for name in names)
    assert not [name for name in names if "__pycache__" in name]


def test_its_modules_come_from_it(programs: Path, tmp_path: Path) -> None:
    ask = "import outbox.__main__ as main; print(main.__file__, main.command_line().__file__)"
    found = _run(programs / "python", "-c", ask, cwd=tmp_path).split()
    assert all(Path(file).is_relative_to(programs.parent) for file in found)


def test_it_brings_no_top_level_module_of_a_common_name(programs: Path, tmp_path: Path) -> None:
    ask = "from importlib.util import find_spec; print(find_spec('cli'), find_spec('migrations'))"
    assert _run(programs / "python", "-c", ask, cwd=tmp_path).split() == ["None", "None"]


def test_it_tells_its_version(programs: Path, tmp_path: Path) -> None:
    assert version("outbox") in _run(programs / "outbox", "--version", cwd=tmp_path)
    assert version("outbox") in _run(programs / "python", "-m", "outbox", "--version", cwd=tmp_path)


def test_it_migrates(programs: Path, tmp_path: Path, empty_url: str) -> None:
    _run(programs / "outbox", "migrate", cwd=tmp_path, OUTBOX_DATABASE_URL=empty_url)
    assert is_current(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("INSERT INTO outbox.notifications (channel, recipient) VALUES ('email', 'a@example.org')")
        assert connection.execute("SELECT count(*) FROM outbox.queue").fetchone() == (1,)


def test_a_fresh_project_tests_with_it_as_its_documentation_says(fresh: Path, tmp_path: Path, empty_url: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write_project(project, 0, "test_signup.py")
    (project / "test_it_is_fresh.py").write_text(
        "import importlib.util, pathlib, sys, outbox\n"
        "def test_it(pytestconfig):\n"
        "    assert pathlib.Path(outbox.__file__).is_relative_to(sys.prefix)\n"
        "    assert importlib.util.find_spec('xdist') is importlib.util.find_spec('django') is None\n"
    )
    assert "6 passed" in run_pytest(project, *where(empty_url), python=fresh)


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("grafana", "grafana/outbox.json"),
        ("alerts", "prometheus/alerts.yml"),
        ("alerts --tests", "prometheus/alerts_test.yml"),
    ],
)
def test_it_brings_the_dashboard_and_the_alerts(programs: Path, tmp_path: Path, command: str, file: str) -> None:
    printed = _run(programs / "outbox", *command.split(), cwd=tmp_path)
    assert printed == (ROOT / "deploy" / file).read_text(encoding="utf-8")


def test_a_checkout_runs_its_own_command_line_and_migrations() -> None:
    assert outbox.__main__.command_line().__file__ == str(ROOT / "cli.py")
    assert version("outbox") in _run(sys.executable, "cli.py", "--version", cwd=ROOT)
