from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.command_line import run, run_process
from tests.providers import email_postmark, webhook_standard
from tests.providers.server import HttpServer, Reply
from tests.smtp_server import SmtpServer

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


@pytest.mark.parametrize(
    "elsewhere", ["[worker]\nlease = 0", "[worker]\nleese = 1", "[chanels.email]\n", "[channels.email]\nprovider = 1"]
)
def test_mistakes_anywhere_hide_none_in_providers_and_templates(file: Path, elsewhere: str) -> None:
    right = RIGHT.partition("[providers")
    channels = "" if elsewhere.startswith("[channels.email]") else right[0]
    file.write_text(f"{elsewhere}\n{channels}[providers{right[2]}prot = 1\nconnections = 0\n", encoding="utf-8")
    write_template(file, "welcome", "Hello {{ name")
    result = run("", "check", "--config", file)
    assert result.exit_code == 1
    assert "did you mean port?" in result.stderr
    assert "providers.smtp.connections" in result.stderr
    assert "welcome" in result.stderr
    assert "no channel's list" not in result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == len(set(lines)) >= 4


def test_only_templates_are_counted(file: Path) -> None:
    for name in ("welcome", "orders/paid", "_layouts"):
        write_template(file, name, "Hello")
    (file.parent / "templates" / "empty").mkdir()
    result = run("", "check", "--config", file)
    assert "templates: 2 templates in" in result.stdout


def test_a_template_without_a_subject_is_a_mistake_where_all_channels_are_email(file: Path) -> None:
    write_template(file, "welcome", "Hello")
    (file.parent / "templates/welcome/subject.txt").rename(file.parent / "templates/welcome/subjct.txt")
    result = run("", "check", "--config", file)
    assert result.exit_code == 1
    assert "did you mean subject.txt?" in result.stderr
    (file.parent / "templates/welcome/subjct.txt").unlink()
    assert "it has no subject.txt" in run("", "check", "--config", file).stderr


def test_a_file_that_is_not_toml_is_a_mistake_and_the_only_one(file: Path) -> None:
    file.write_text("[worker", encoding="utf-8")
    result = run("", "check", "--config", file)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "this is not TOML" in result.stderr


@pytest.mark.parametrize("command", ["check", "status", "migrate"])
def test_a_file_that_the_environment_names_and_is_not_there_is_misuse(tmp_path: Path, command: str) -> None:
    env = os.environ | {"OUTBOX_CONFIG": str(tmp_path / "none.toml"), "OUTBOX_DATABASE_URL": "postgresql:///none"}
    words = [sys.executable, "-m", "outbox", command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 2
    assert "none.toml" in done.stderr


def test_a_file_that_is_not_there_is_misuse(tmp_path: Path) -> None:
    result = run("", "check", "--config", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml is not a file" in result.stderr


def change(file: Path, words: dict[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for before, after in words.items():
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")


class TestLive:
    """It asks the providers, and sends nothing."""

    @pytest.fixture
    def postmark(self, file: Path) -> Path:
        file.write_text(
            f"""
            [channels.email]
            providers = ["postmark", "smtp"]
            [providers.postmark]
            token = "{email_postmark.TOKEN}"
            sender = "shop@example.org"
            url = "http://127.0.0.1:1"
            [providers.smtp]
            host = "127.0.0.1"
            port = 1
            tls = "none"
            sender = "shop@example.org"
            """,
            encoding="utf-8",
        )
        return file

    async def test_each_that_may_be_used_is_told(self, postmark: Path) -> None:
        async with HttpServer(email_postmark.probed) as api, SmtpServer() as relay:
            change(postmark, {"http://127.0.0.1:1": api.url, "port = 1\n": f"port = {relay.port}\n"})
            result = await asyncio.to_thread(run_process, "", "check", "--live", "--config", postmark)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-2:] == [
            "✓ provider postmark: email may be sent through it",
            "✓ provider smtp: email may be sent through it",
        ]
        assert relay.accepted == []

    async def test_each_that_may_not_is_told_with_its_reason(self, postmark: Path) -> None:
        async with HttpServer(email_postmark.probed) as api:
            change(postmark, {"http://127.0.0.1:1": api.url, email_postmark.TOKEN: "wrong"})
            result = await asyncio.to_thread(run_process, "", "check", "--live", "--config", postmark)
        assert result.returncode == 1
        about_postmark, about_smtp = result.stderr.splitlines()
        assert about_postmark == (
            "error: providers.postmark: Misconfigured: 401 10: Request does not contain a valid Server token."
        )
        assert about_smtp.startswith("error: providers.smtp: Temporary: ")

    def test_those_that_cannot_be_asked_are_named(self, file: Path) -> None:
        file.write_text('[channels.chat]\nproviders = ["console", "recorder"]\n', encoding="utf-8")
        result = run("", "check", "--live", "--config", file)
        assert result.exit_code == 0
        assert "not asked, for only a message would tell: console, recorder" in result.stderr

    async def test_a_receiver_is_only_looked_for_and_without_one_nobody_is_asked(self, file: Path) -> None:
        text = '[channels.webhook]\nproviders = ["standard"]\n[providers.standard]\nallow = ["127.0.0.1"]\n'
        text += f'secrets = ["{webhook_standard.SECRET}"]\nhttp = ["127.0.0.1"]\n'
        async with HttpServer(lambda _: Reply(405)) as receiver:
            text += f"ports = [{urlsplit(receiver.url).port}]\n"
            change(file, {RIGHT: text})
            result = await asyncio.to_thread(run_process, "", "check", "--live", "--config", file)
            assert (result.returncode, receiver.requests) == (0, [])
            assert "not asked, for only a message would tell: standard" in result.stderr
            change(file, {text: f'{text}probe_urls = ["{receiver.url}/hooks"]\n'})
            result = await asyncio.to_thread(run_process, "", "check", "--live", "--config", file)
            assert (result.returncode, [one.method for one in receiver.requests]) == (0, ["HEAD"])
            told = "✓ provider standard: it can be reached; what it takes, only a message would tell"
            assert result.stdout.splitlines()[-1] == told

    def test_ports_that_are_none_are_a_mistake(self, file: Path) -> None:
        text = '[channels.webhook]\nproviders = ["standard"]\n[providers.standard]\nports = []\n'
        file.write_text(f'{text}secrets = ["{webhook_standard.SECRET}"]\n[attachments]\nports = []\n', encoding="utf-8")
        result = run("", "check", "--config", file)
        assert result.exit_code == 1
        assert (
            "providers.standard.ports is empty; it must be a list of one port or more, such as [443]" in result.stderr
        )
        assert "attachments.ports is []; it must be a list of one port or more, such as [443]" in result.stderr

    def test_mistakes_come_first(self, postmark: Path) -> None:
        postmark.write_text(postmark.read_text().replace("port = 1\n", "port = 0\n"))
        result = run("", "check", "--live", "--config", postmark)
        assert result.exit_code == 1
        assert "providers.smtp.port" in result.stderr
        assert "postmark" not in result.stderr
