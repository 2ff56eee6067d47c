"""A PostgreSQL server that a scenario may kill, and that comes back with what it had written."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from outbox.devdb import DevServerError, LocalPostgres

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PATIENCE = 30.0


class Cluster:
    """Runs as long as its `with` block, killed or not; `url` stays the same from one life to the next.

    The data stays in `folder`, which somebody else removes.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._settings = dict(settings or {})
        self._server: LocalPostgres | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        for place in (self._folder, self._folder.parent):
            place.chmod(0o711)  # the server runs as another user where we are root
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, through a symbolic link to the socket's folder of the moment."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of the database of this name."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._folder / 'socket'))}&port=5432"

    def kill(self) -> None:
        """SIGKILL to the postmaster: nothing is flushed, nobody is told."""
        assert self._server is not None
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGKILL)
        self._server.stop()  # waits for it, and removes its socket
        self._server = None

    def start(self) -> float:
        """Start the server; returns when it accepts connections, with the `time.monotonic()` of then.

        Backends of a killed postmaster may take a moment to notice, and no server starts beside them.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            server = LocalPostgres(self._folder / "data", settings=self._settings)
            try:
                server.start()
            except DevServerError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
                continue
            self._server = server
            link = self._folder / "socket"
            link.unlink(missing_ok=True)
            link.symlink_to(server.host)
            return time.monotonic()
