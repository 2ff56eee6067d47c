"""Real email: templates with text and HTML, through the worker's own program, over SMTP to Postfix's sink."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks import debian
from benchmarks.errors import Failed
from benchmarks.measures.costs import a_job
from benchmarks.processes import environment
from benchmarks.server import free_port
from outbox import enqueue_many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.cell import Cell

_LIMIT = 120.0  # seconds
_CONFIG = """
[channels.email]
providers = ["smtp"]

[providers.smtp]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "Shop <shop@example.org>"
connections = 40
message_limit = 1000

[worker]
concurrency = 1000
"""
_TEMPLATE = {
    "subject.txt": "Your order {{ order }} is on its way, {{ name }}\n",
    "body.txt": """\
Hello {{ name }},

your order {{ order }} has left our house today:
{% for item in items %}
- {{ item.count }} × {{ item.name }}, {{ item.price }}
{%- endfor %}

It will be with you within three days.
""",
    "body.html": """\
<!doctype html>
<html><body style="font-family: sans-serif">
<p>Hello {{ name }},</p>
<p>your order <b>{{ order }}</b> has left our house today:</p>
<table>
{% for item in items %}<tr><td>{{ item.count }} ×</td><td>{{ item.name }}</td><td>{{ item.price }}</td></tr>
{% endfor %}</table>
<p>It will be with you within three days.</p>
</body></html>
""",
}
_ITEMS = [{"count": 2, "name": "Cup & saucer", "price": "12.00 €"}, {"count": 1, "name": "Tea pot", "price": "39.00 €"}]
_SENT = """
SELECT count(*), extract(epoch FROM max(finished_at) - min(started_at))::float8
FROM outbox.attempts WHERE outcome = 'sent'
"""


def measure(cell: Cell) -> dict[str, Any]:
    """Return messages a second, from the first's start to the last's acceptance, and what each cost."""
    emails = cell.scale.emails
    _enqueue(cell.ground.url, emails)
    cell.ground.analyze()
    before = cell.ground.cost()
    with _sink() as port:
        _configure(cell.folder, port)
        cpu = _work(cell.folder, cell.ground.url)
    cost = cell.ground.cost() - before
    with psycopg.connect(cell.ground.url) as conn:
        sent, seconds = conn.execute(_SENT).fetchone() or (0, 0.0)
    if sent != emails:
        raise Failed(f"{emails:,} emails were enqueued, and {sent:,} sent")
    return {"jobs": emails, "rate": emails / seconds} | a_job(emails, cpu, cost)


def _enqueue(url: str, emails: int) -> None:
    with psycopg.connect(url) as conn:
        enqueue_many(
            conn,
            (
                {
                    "channel": "email",
                    "recipient": f"user{number}@example.org",
                    "template": "order",
                    "payload": {"name": "Ada Lovelace", "order": f"A-{number}", "items": _ITEMS},
                }
                for number in range(emails)
            ),
        )


def _configure(folder: Path, port: int) -> None:
    (folder / "outbox.toml").write_text(_CONFIG.format(port=port), encoding="utf-8")
    template = folder / "templates" / "order"
    template.mkdir(parents=True)
    for name, text in _TEMPLATE.items():
        (template / name).write_text(text, encoding="utf-8")


@contextmanager
def _sink() -> Iterator[int]:
    """Yield the port of an SMTP server that accepts everything and keeps nothing."""
    program = debian.find("smtp-sink", "postfix")
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen(
        [program.path, *user, f"127.0.0.1:{port}", "1000"],
        env=program.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while sink.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            time.sleep(0.02)
        else:
            raise Failed("smtp-sink did not start")
        yield port
    finally:
        sink.kill()
        sink.wait()


def _work(folder: Path, url: str) -> float:
    """Run the worker until nothing is left, and return its CPU seconds."""
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "outbox", "worker", "--channel", "email", "--drain"],
            cwd=folder,
            env=environment() | {"OUTBOX_DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        status, usage = _waited(worker)
    finally:
        if worker.returncode is None:
            worker.kill()
            worker.wait()
    if status:
        words = (folder / "log").read_text(encoding="utf-8", errors="replace")[-1_000:]
        raise Failed(f"the worker ended with status {status}: {words}")
    return usage


def _waited(worker: subprocess.Popen[bytes]) -> tuple[int, float]:
    deadline = time.monotonic() + _LIMIT
    while True:
        pid, status, usage = os.wait4(worker.pid, os.WNOHANG)
        if pid:
            worker.returncode = os.waitstatus_to_exitcode(status)
            return worker.returncode, usage.ru_utime + usage.ru_stime
        if time.monotonic() > deadline:
            raise Failed(f"the worker took longer than {_LIMIT:g} s")
        time.sleep(0.05)
