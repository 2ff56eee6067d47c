"""Projects of their own for docs/testing.md, and runs of pytest in them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
TEMPLATES = {
    "verify/subject.txt": "Your code, {{ name }}",
    "verify/body.txt": "Dear {{ name }}, your code is {{ code }}.",
    "welcome/subject.txt": "Welcome, {{ name }}",
    "welcome/body.txt": "Good to have you here, {{ name }}.",
}


def programs() -> list[tuple[str, str]]:
    """The Python files of the page, in order: a name comes once for each way to test."""
    return re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def write_project(folder: Path, conftest: int, *names: str) -> None:
    """Write the page's application, its conftest.py of this number, and the files of these names."""
    found = programs()
    (folder / "signup.py").write_text(dict(found)["signup.py"])
    (folder / "conftest.py").write_text([text for name, text in found if name == "conftest.py"][conftest])
    (settings,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (folder / "outbox.toml").write_text(settings)
    for path, text in TEMPLATES.items():
        (folder / "templates" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "templates" / path).write_text(text)
    for name in names:
        (folder / name).write_text(dict(found)[name])


def where(url: str) -> list[str]:
    """The options that tell pytest-postgresql of a server, and of a database of this run's own."""
    server = conninfo_to_dict(url)
    given = [f"--postgresql-{name}={server[name]}" for name in ("host", "port", "user", "password") if server.get(name)]
    return [*given, f"--postgresql-dbname={server['dbname']}_docs"]


def run_pytest(folder: Path, *arguments: str, python: str | Path = sys.executable, **environment: str) -> str:
    """What a run of pytest prints that must succeed, warnings being errors, with nothing of ours around it."""
    done = attempt(folder, *arguments, python=python, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout


def attempt(
    folder: Path, *arguments: str, python: str | Path = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    ours = ("PYTEST", "PYTHON", "OUTBOX_", "DJANGO_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    others = [f"-pno:{name}" for name in ("cacheprovider", "asyncio", "xdist", "timeout", "hypothesispytest")]
    command: Sequence[str | Path] = [python, "-m", "pytest", "-q", "-W", "error", *others, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=env | environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
