"""`outbox web`: what it serves where, and what its configuration is made with."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from outbox.web.static import FOLDER
from tests.command_line import run
from tests.dashboard import HASH, PASSWORD, SECRET, USERS, Visitor, configured, served
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "outbox.internal"])  # noqa: S104 - it is refused
def test_it_does_not_listen_for_everybody_without_a_sign_in_and_says_how_to_have_one(
    database_url: str, host: str
) -> None:
    done = run(database_url, "web", "--host", host)
    assert done.exit_code == 2
    words = " ".join(done.stderr.split())
    assert f"would show it at {host} to everybody" in words
    assert "outbox web hash-password" in words


def test_a_hash_that_it_prints_lets_its_password_in(database_url: str) -> None:
    done = run(database_url, "web", "hash-password", given=f"{PASSWORD}\n")
    assert done.exit_code == 0
    users = {"OUTBOX_WEB_SECRET": SECRET, "OUTBOX_WEB_USERS": f"ada operator {done.stdout.strip()}"}
    from outbox.web import create_app  # noqa: PLC0415

    with served(create_app(configured(database_url, **users))) as url, Visitor(url) as visitor:
        assert visitor.sign_in().status_code == 303
    assert run(database_url, "web", "hash-password", given="short\n").exit_code == 2


def typed(*answers: str) -> tuple[int, str]:
    """Run `outbox web hash-password` on a terminal, and answer each question once it is asked: earlier is not heard."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "outbox", "web", "hash-password"]
    env = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    ) as process:
        os.close(theirs)
        seen, left = b"", list(answers)
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says EIO when the other end is closed
                break
            seen += part
            if seen.endswith((b"Password: ", b"Again: ")):
                os.write(ours, f"{left.pop(0)}\n".encode())
        process.wait(timeout=60)
    os.close(ours)
    return process.returncode, seen.decode()


def test_on_a_terminal_a_password_is_asked_for_twice_and_not_shown() -> None:
    code, seen = typed(PASSWORD, PASSWORD)
    assert code == 0
    assert "$argon2id$" in seen
    assert PASSWORD not in seen
    code, seen = typed(PASSWORD, "another one")
    assert code == 2
    assert "these are two passwords" in seen


def test_a_secret_is_long_enough_and_new_each_time(database_url: str) -> None:
    first, second = (run(database_url, "web", "secret").stdout.strip() for _ in range(2))
    assert first != second
    assert configured(database_url, OUTBOX_WEB_SECRET=first).web.problems == []


@pytest.fixture
def process(database_url: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = tmp_path / "log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "outbox", "web", "--port", "0", "--verbose"],
            stderr=output,
            stdout=output,
            env=kept | {"OUTBOX_DATABASE_URL": database_url},
        )
        try:
            yield process, log
        finally:
            process.kill()
            process.wait()


def test_it_serves_until_a_signal_whoever_watches_and_logs_no_query(
    process: tuple[subprocess.Popen[bytes], Path],
) -> None:
    served_by, log = process
    found = wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()), timeout=60)
    assert found is not None
    url = found[0]
    assert httpx.get(f"{url}/search?q=ada@example.org").status_code == 200
    with httpx.stream("GET", f"{url}/live", timeout=30) as answer:
        assert answer.status_code == 200
        next(answer.iter_lines())
        served_by.send_signal(signal.SIGTERM)
        assert served_by.wait(timeout=30) == 0
    said = log.read_text()
    assert "GET /search 200" in said
    assert "ada@" not in said
    assert "Traceback" not in said


def test_what_is_not_ours_is_as_its_authors_published_it() -> None:
    folder = FOLDER / "vendor"
    page = (folder / "VENDORED.md").read_text()
    told = dict(re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", page, re.MULTILINE))
    there = {file.name: file for file in folder.iterdir() if file.suffix != ".LICENSE" and file.name != "VENDORED.md"}
    assert told.keys() == there.keys()
    for name, digest in told.items():
        assert hashlib.sha256(there[name].read_bytes()).hexdigest() == digest, name
    licences = set(re.findall(r"\]\((\S+\.LICENSE)\)", page))
    assert licences == {file.name for file in folder.glob("*.LICENSE")}


def test_the_page_about_it_is_right(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "web.md").read_text()
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        file = tmp_path / "outbox.toml"
        file.write_text(block)
        secrets = {"OUTBOX_WEB_SECRET": SECRET, "OUTBOX_WEB_OIDC_CLIENT_SECRET": "x"}
        assert configured(database_url, file, **secrets).web.problems == []
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setenv("OUTBOX_DATABASE_URL", database_url)
    module: dict[str, object] = {}
    exec(compile(program, "docs/web.md", "exec"), module)  # noqa: S102 - an example of ours
    with served(module["app"]) as url:
        assert httpx.get(f"{url}/ops/outbox/").status_code == 403
        assert httpx.get(f"{url}/ops/outbox/", headers={"x-user": "ada"}).status_code == 200
    application: Any = module["app"]
    application.routes[0].app.stop()


def test_a_configuration_that_would_let_nobody_in_is_found_by_check(tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text(
        "[channels.email]\nproviders = ['console']\n"
        f"[web.users.ada]\npassword_hash = '{HASH}'\n[web]\noidc_issuer = 'https://id.example.org'\n"
    )
    done = run("", "check", "--config", file)
    assert done.exit_code == 1
    words = " ".join(done.stderr.split())
    for key in ("web.secret", "web.oidc_client_id", "web.oidc_client_secret", "web.url"):
        assert f"{key} is missing" in words
    assert HASH not in done.output
    assert USERS["OUTBOX_WEB_SECRET"] not in done.output
