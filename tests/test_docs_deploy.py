"""What docs/deploy.md and docs/scaling.md say is so."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from outbox import config, revisions
from outbox.errors import NotMigrated
from tests.shipped import DEPLOY, ROOT, documents, parsed
from tests.test_docs import blocks

PAGE = "docs/deploy.md"


def commands() -> list[str]:
    """Each `outbox …` of the page, in a line of shell or in the text."""
    text = (ROOT / PAGE).read_text()
    inline = re.findall(r"`(outbox [a-z][^`]*)`", text)
    lines = [line for block in blocks(PAGE, "bash") for line in block.splitlines() if line.startswith("outbox ")]
    return inline + lines


def test_the_commands_of_the_page_are_commands() -> None:
    assert len(commands()) > 5
    for command in commands():
        words = shlex.split(command, comments=True)[1:]
        needs_more = {"worker": ["--channel", "email"]}.get(words[0], [])
        parsed([*words, *needs_more])


def test_the_files_that_the_shell_of_the_page_names_are_there() -> None:
    named = {name for block in blocks(PAGE, "bash") for name in re.findall(r"deploy/[\w/.*-]+", block)}
    assert named
    assert all(list(ROOT.glob(name)) for name in named)
    units = re.findall(r"\b(outbox-\w+)(?=[@ \n])", blocks(PAGE, "bash")[1])
    assert {unit.partition("@")[0] for unit in units} == {
        unit.stem.removesuffix("@") for unit in (DEPLOY / "systemd").iterdir()
    }
    jobs = [found["metadata"]["name"] for found in documents(DEPLOY / "kubernetes/migrate.yaml")]
    assert all(job in blocks(PAGE, "bash")[2] for job in jobs)


def test_the_extras_of_the_image_are_those_that_the_page_says() -> None:
    (makefile,) = re.findall(r"^IMAGE := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert ", ".join(f"`{extra}`" for extra in makefile.split()[:-1]) in (ROOT / PAGE).read_text().replace("\n", " ")
    (said,) = re.findall(r"has the extras (.*?)\. For", (ROOT / PAGE).read_text().replace("\n", " "))
    assert re.findall(r"`(\w+)`", said) == makefile.split()


def test_the_words_of_a_worker_that_is_too_new_are_those_of_the_page() -> None:
    said = str(NotMigrated(f" (it has revision {revisions.known()[-2]}, "))
    page = (ROOT / PAGE).read_text()
    assert said.partition("(it has")[0].strip() in page


def test_the_defaults_of_the_page_are_those_of_the_configuration() -> None:
    worker = config.load(environ={}).worker
    assert f"within `worker.grace` ({worker.grace:.0f} s)" in (ROOT / PAGE).read_text()
    scaling = (ROOT / "docs/scaling.md").read_text()
    assert f"`concurrency` ({worker.concurrency} unless you say otherwise)" in scaling


@pytest.mark.timeout(300)
def test_what_a_notification_leaves_on_the_disk_is_measured_by_the_command_of_the_page() -> None:
    command = "python -m benchmarks.footprint"
    assert f"`{command}`" in (ROOT / "docs/scaling.md").read_text()
    done = subprocess.run(
        [sys.executable, *command.split()[1:], "--rows", "1000"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for table in ("notifications", "attempts", "idempotency_keys", "WAL, delivery"):
        assert len(re.findall(rf"{table} +│ +[\d,]+", done.stdout)) == 2, done.stdout
