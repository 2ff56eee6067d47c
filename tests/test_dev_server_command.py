"""`outbox dev-server`: a database to try things on, which is there when its URL is printed, and gone after Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.migrate import is_current, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _serving(port: int, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "outbox", "dev-server", "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        try:
            yield process, url
        finally:
            process.send_signal(signal.SIGTERM)


def test_the_url_that_it_prints_is_that_of_an_empty_database_until_ctrl_c(port: int) -> None:
    with _serving(port) as (process, url):
        assert re.fullmatch(rf"postgresql://postgres@127\.0\.0\.1:{port}/app", url)
        upgrade(url)
        assert is_current(url)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert said == "Ctrl-C ends it; its data is gone then\n"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_a_directory_keeps_its_data(port: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="outbox-kept-", dir="/tmp"))
    directory.chmod(0o711)  # pytest's own is closed to the account that runs the server for root
    try:
        for seen in (False, True):
            with _serving(port, "--directory", str(directory / "data")) as (_, url), psycopg.connect(url) as conn:
                there = conn.execute("SELECT to_regclass('kept') IS NOT NULL").fetchone()
                assert there == (seen,)
                conn.execute("CREATE TABLE IF NOT EXISTS kept ()")
    finally:
        shutil.rmtree(directory)


def test_a_port_that_is_taken_is_named_with_what_to_type_instead(port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        command = [sys.executable, "-m", "outbox", "dev-server", "--port", str(port)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == 1
    assert done.stderr == f"error: port {port} is taken: give another with --port\n"
