"""The examples run, each by its one command, and do what they are there to show."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.hands import rows

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(tomllib.loads((EXAMPLES / "examples.toml").read_text()))


@pytest.mark.timeout(240)  # it starts an application, a worker and a mail server, and npm installs
@pytest.mark.parametrize("name", NAMES)
def test_an_example_signs_somebody_up_once_with_both_her_emails(name: str, cloned_url: str, tmp_path: Path) -> None:
    if name == "node" and not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node here")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))

    command = [sys.executable, str(tmp_path / "examples" / "run.py"), name, "--once", "--database-url", cloned_url]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=220)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "mail to ada@example.org: Please confirm your address, Ada" in done.stdout
    assert rows(cloned_url, "SELECT email, name FROM users") == [("ada@example.org", "Ada")]
    assert rows(
        cloned_url,
        "SELECT template, priority, state, run_at - created_at > interval '9 minutes', expires_at IS NOT NULL"
        " FROM outbox.status ORDER BY priority",
    ) == [("verify", 0, "sent", False, True), ("welcome", 8, "scheduled", True, False)]


def test_every_folder_is_an_example_with_a_page_that_says_how_to_run_it() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"templates", "__pycache__"}
    assert folders == set(NAMES)
    for name in NAMES:
        assert f"make example NAME={name}" in (EXAMPLES / name / "README.md").read_text()
    named = re.findall(r"^\| \[(\w+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == NAMES
