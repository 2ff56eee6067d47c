"""Run an example: `python examples/run.py fastapi`. A database, a mail server and a worker of its own, and a sign-up.

The database is PostgreSQL's of the extra `dev-server`, and gone afterwards, unless `--database-url` names another. With
`--once`, it ends when Ada has been sent her verification; else it stays, for you to sign up yourself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from email import message_from_bytes, policy
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

from outbox import migrate
from outbox.devdb import LocalPostgres, find_binaries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HERE = Path(__file__).parent
ADA = {"email": "ada@example.org", "name": "Ada"}
PATIENCE = 60.0


class Mailbox:
    """A mail server that prints what it gets."""

    def __init__(self) -> None:
        self.subjects: Queue[str] = Queue()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - as aiosmtpd calls it
        message = message_from_bytes(envelope.content, policy=policy.default)
        print(f"\n  mail to {message['to']}: {message['subject']}")
        body = message.get_body(("plain",))
        print("".join(f"  | {line}\n" for line in body.get_content().splitlines()) if body else "", flush=True)
        self.subjects.put(str(message["subject"]))
        return "250 accepted"


class Example:
    """One of the folders beside this file, with what examples.toml says of it."""

    def __init__(self, name: str, url: str) -> None:
        self._of_it: Mapping[str, Any] = tomllib.loads((HERE / "examples.toml").read_text())[name]
        self._folder = HERE / name
        self._port = _free_port()
        self._words: dict[str, str] = {
            "python": sys.executable,
            "psql": str(find_binaries() / "psql"),
            "port": str(self._port),
            "url": url,
        }
        self._env = os.environ | {"OUTBOX_DATABASE_URL": url, "PORT": str(self._port)}

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Do what comes first, and serve sign-ups meanwhile, if it has a server."""
        for command in self._of_it.get("first", ()):
            subprocess.run(self._split(command), check=True, cwd=self._folder, env=self._env)
        if "serve" not in self._of_it:
            yield
            return
        with _process(self._split(self._of_it["serve"]), self._folder, self._env):
            _wait_for(self._port)
            yield

    def sign_up(self, email: str, name: str) -> bool:
        """Sign somebody up; tell whether that was possible."""
        if "sign_up" in self._of_it:
            command = self._split(self._of_it["sign_up"], email=email, name=name)
            return subprocess.run(command, check=False, cwd=self._folder, env=self._env).returncode == 0
        body = json.dumps({"email": email, "name": name}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/signup", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310 - as above
                print(f"  {answer.status} {answer.read().decode()}")
        except urllib.error.HTTPError as refusal:
            print(f"  {refusal.code} {refusal.read().decode()}")
            return False
        return True

    def how_to(self) -> str:
        """Say how a person signs up."""
        if "sign_up" in self._of_it:
            command = shlex.join(self._split(self._of_it["sign_up"], email="bob@example.org", name="Bob"))
            return f"cd {self._folder}; OUTBOX_DATABASE_URL={shlex.quote(self._words['url'])} {command}"
        form = json.dumps({"email": "bob@example.org", "name": "Bob"})
        return f"curl -H 'Content-Type: application/json' -d '{form}' http://127.0.0.1:{self._port}/signup"

    def _split(self, command: str, **more: str) -> list[str]:
        return [part.format(**self._words, **more) for part in shlex.split(command)]


def run(name: str, url: str, *, once: bool) -> int:
    """Run one example to its end; return the exit code."""
    migrate.upgrade(url)
    box, port = Mailbox(), _free_port()
    mail = Controller(box, hostname="127.0.0.1", port=port)
    example = Example(name, url)
    env = os.environ | {"OUTBOX_DATABASE_URL": url, "OUTBOX_PROVIDERS_SMTP_PORT": str(port)}
    worker = [sys.executable, "-m", "outbox", "worker", "--channel", "email", "--config", str(HERE / "outbox.toml")]
    mail.start()
    try:
        with example.serving(), _process(worker, HERE, env):
            print("Ada signs up:")
            first = example.sign_up(**ADA)
            print("and once more:", flush=True)
            second = example.sign_up(**ADA)
            subject = box.subjects.get(timeout=PATIENCE)
            print("Her welcome comes in ten minutes. `outbox status` on this database tells of it:")
            print(f"  outbox status --database-url {shlex.quote(url)}", flush=True)
            if not once:
                print(f"Sign up yourself; Ctrl-C ends it:\n  {example.how_to()}", flush=True)
                with contextlib.suppress(KeyboardInterrupt):
                    while True:
                        time.sleep(1)
    except Empty:
        print("no mail came", file=sys.stderr)
        return 1
    finally:
        mail.stop()
    return 0 if (first, second) == (True, False) and "confirm" in subject else 1


@contextlib.contextmanager
def _process(command: list[str], folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    with subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def main() -> int:
    names = sorted(tomllib.loads((HERE / "examples.toml").read_text()))
    parser = argparse.ArgumentParser(prog="python examples/run.py", description=__doc__)
    parser.add_argument("example", choices=names)
    parser.add_argument("--once", action="store_true", help="end when Ada has been sent her verification")
    parser.add_argument("--database-url", help="an existing database, instead of one of its own")
    given = parser.parse_args()
    if given.database_url:
        return run(given.example, given.database_url, once=given.once)
    with LocalPostgres() as server:
        return run(given.example, server.url, once=given.once)


if __name__ == "__main__":
    sys.exit(main())
