from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command_line import run, run_process

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = """
[channels.email]
providers = ["smtp"]
max_attempts = 3
[providers.smtp]
host = "127.0.0.1"
port = 2525
tls = "none"
sender = "Example <hello@example.org>"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "outbox.toml"
    path.write_text(RIGHT, encoding="utf-8")
    return path


def write_template(file: Path, name: str, text: str) -> None:
    folder = file.parent / "templates" / name
    folder.mkdir(parents=True)
    (folder / "subject.txt").write_text("hello", encoding="utf-8")
    (folder / "body.txt").write_text(text, encoding="utf-8")


def test_a_right_configuration_is_told_what_was_found(file: Path) -> None:
    write_template(file, "welcome", "Hello {{ name }}")
    done = run_process("", "check", "--config", file)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"✓ configuration: {file}",
        "✓ channel email: smtp; 3 attempts at most",
        f"✓ templates: 1 template in {file.parent / 'templates'}",
    ]


def test_it_needs_neither_a_database_nor_templates(file: Path) -> None:
    result = run("", "check", "--config", file)
    assert result.exit_code == 0
    assert "templates: none" in result.stdout


def test_every_mistake_in_the_file_is_reported_and_is_no_misuse(file: Path) -> None:
    file.write_text(RIGHT.replace("max_attempts = 3", 'max_attempt = 3\nmax_age = "old"'), encoding="utf-8")
    result = run("", "check", "--config", file)
    assert result.exit_code == 1
    assert "did you mean max_attempts?" in result.stderr
    assert "channels.email.max_age" in result.stderr
    assert result.stdout == ""


def test_mistakes_in_providers_and_templates_are_reported_together(file: Path) -> None:
    file.write_text(RIGHT.replace("port = 2525", "port = 252525"), encoding="utf-8")
    write_template(file, "welcome", "Hello {{ name")
    result = run("", "check", "--config", file)
    assert result.exit_code == 1
    assert "providers.smtp.port" in result.stderr
    assert "welcome" in result.stderr


def test_a_file_that_is_not_there_is_misuse(tmp_path: Path) -> None:
    result = run("", "check", "--config", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml is not a file" in result.stderr
