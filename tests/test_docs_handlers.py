"""The page about work of one's own does what it says, literally."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from outbox import config
from tests.command_line import run_process
from tests.hands import rows
from tests.test_docs import blocks

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = "docs/handlers.md"


def test_the_page_about_handlers_works_as_it_is_written(
    cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, program = blocks(PAGE, "python")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "jobs.py").write_text(jobs)
    (tmp_path / "place.py").write_text(
        f"{program}\n\nwith psycopg.connect({cloned_url!r}) as conn:\n    place(conn, 42)\n"
    )
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "place.py"], check=True)
    (command,) = blocks(PAGE, "bash")

    done = run_process(cloned_url, *command.split()[1:], "--drain")

    assert "order 42: 9.90" in done.stdout, done
    assert rows(cloned_url, "SELECT channel, state FROM outbox.status") == [("invoice", "sent")]


def test_the_section_on_the_page_names_the_function(tmp_path: Path) -> None:
    (section,) = blocks(PAGE, "toml")
    (tmp_path / "outbox.toml").write_text(section)

    (channel,) = config.load(tmp_path / "outbox.toml", environ={}).channels.values()

    assert channel.providers == ("shop.jobs.draw_invoice",)
    assert channel.max_attempts == 20
