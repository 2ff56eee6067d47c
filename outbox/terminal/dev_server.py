"""`outbox dev-server`: a PostgreSQL server with a database of its own, for as long as the command runs."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import psycopg

from outbox.devdb import DevServerError, LocalPostgres
from outbox.terminal.output import note

if TYPE_CHECKING:
    from pathlib import Path

_DATABASE = "app"
_HOST = "127.0.0.1"
_TAKEN = "Address already in use"  # the server's words, which speaks no other language here


def serve(port: int, directory: Path | None) -> int:
    """Start the server, print the URL of its database, and stay until SIGTERM or Ctrl-C; return the exit code.

    Raises:
        DevServerError: the port is taken, there is nothing to start, or it does not start.
    """
    signal.signal(signal.SIGTERM, _leave)
    try:
        with LocalPostgres(directory, tcp_port=port) as server:
            _create(server.url)
            sys.stdout.write(f"postgresql://{server.user}@{_HOST}:{port}/{_DATABASE}\n")
            sys.stdout.flush()
            note(f"Ctrl-C ends it; its data {f'stays in {directory}' if directory else 'is gone then'}")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except DevServerError as error:
        if _TAKEN in str(error):
            raise DevServerError(f"port {port} is taken: give another with --port") from None
        raise


def _create(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        if conn.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone() is None:
            conn.execute(f"CREATE DATABASE {_DATABASE}")


def _leave(_number: int, _frame: object) -> NoReturn:
    """End as after Ctrl-C, so that the server is stopped."""
    raise KeyboardInterrupt
