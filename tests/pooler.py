"""PgBouncer, in transaction mode as a rule, in front of the server of the tests, where the machine has one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from benchmarks.debian import Program
from tests.waiting import wait_until

# Debian's is in /usr/sbin, which is not on everybody's PATH; one that was only unpacked brings its libraries.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_PORT = 6432  # part of the socket's name; nothing listens on TCP


class Pooler:
    """Lives as long as the `with` block. `url` is the database of `server` through it, `size` connections for all."""

    def __init__(self, server: str, *, size: int, mode: str = "transaction") -> None:
        self._mode = mode
        self._server = conninfo_to_dict(server)
        self._size = size
        self._folder = Path(tempfile.mkdtemp(prefix="outbox-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        database = quote(str(self._server["dbname"]), safe="")
        return f"postgresql://anybody@/{database}?host={quote(str(self._folder))}&port={_PORT}"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def __enter__(self) -> Self:
        configuration = self._folder / "pgbouncer.ini"
        login = " ".join(
            f"{key}='{self._server[key]}'" for key in ("host", "port", "user", "password") if key in self._server
        )
        configuration.write_text(f"""
            [databases]
            * = {login}
            [pgbouncer]
            pool_mode = {self._mode}
            auth_type = any
            unix_socket_dir = {self._folder}
            listen_port = {_PORT}
            default_pool_size = {self._size}
            max_client_conn = 200
            logfile = {self._folder}/log
        """)
        unprivileged = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses to run as root
        if unprivileged:
            for place in (self._folder, configuration):
                os.chown(place, unprivileged.pw_uid, unprivileged.pw_gid)
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, "-q", configuration],
            user=unprivileged.pw_uid if unprivileged else None,
            group=unprivileged.pw_gid if unprivileged else None,
            extra_groups=[] if unprivileged else None,
            env=_environment(Path(PROGRAM)),
        )
        wait_until(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True


def _environment(program: Path) -> dict[str, str]:
    place = program.resolve().parent
    root = place.parents[1] if place.match("usr/sbin") else Path("/")
    return Program(program, root).environment
