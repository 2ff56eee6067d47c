"""`outbox --version`: the versions of all that has a say in what happens here, for whoever reports a fault."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import TYPE_CHECKING

from outbox.errors import ConfigError, clean
from outbox.revisions import newest
from outbox.terminal.output import print_facts, say

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = ("sqlalchemy", "alembic", "pydantic", "typer", "httpx", "jinja2", "aiosmtplib")
_OPTIONAL = {
    "uvloop": "workers use it",
    "starlette": "outbox[web]",
    "textual": "outbox[top]",
    "botocore": "outbox[aws]",
}
_PATIENCE = 1.0
_IS_THERE = "SELECT to_regclass('outbox.migrations') IS NOT NULL"
_REVISION = "SELECT version_num FROM outbox.migrations"


class _Server(Thread):
    """Asks the server while the rest is gathered: a thread, for libpq has no limit below two seconds."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.words = f"no answer within {_PATIENCE:g} s"

    def run(self) -> None:
        import psycopg  # noqa: PLC0415

        from outbox.terminal.session import reading  # noqa: PLC0415

        number = ""
        try:
            with reading(self._url) as conn:
                number = (conn.info.parameter_status("server_version") or "").partition(" ")[0]
                ((is_there,),) = conn.execute(_IS_THERE).fetchall()
                revision = conn.execute(_REVISION).fetchall()[0][0] if is_there else "none; run `outbox migrate`"
            self.words = f"PostgreSQL {number}, schema {revision}"
        except psycopg.errors.InsufficientPrivilege:
            self.words = f"PostgreSQL {number}, whose schema this user may not see"
        except (psycopg.Error, ConfigError) as error:
            self.words = f"cannot be asked: {clean(str(error), 120)}"


def tell() -> None:
    """Print it. The first line is for scripts, and never changes its form: `outbox 0.1.0`."""
    url, problem = _database()
    server = _Server(url) if url else None
    if server is not None:
        server.start()
    facts = [*_facts()]
    if server is not None:
        server.join(_PATIENCE)
    say(f"outbox {version('outbox')}")
    print_facts([*facts, ("server", server.words if server else problem)])


def _database() -> tuple[str | None, str]:
    from outbox import config  # noqa: PLC0415

    try:
        found, problems = config.survey()
    except ConfigError:
        return None, "the configuration cannot be read; `outbox check` says why"
    if found.database.url is None:
        return None, "the configuration has mistakes: `outbox check`" if problems else "no database is configured"
    return found.database.url.get_secret_value(), ""


def _facts() -> Iterator[tuple[str, str | None]]:
    import psycopg  # noqa: PLC0415

    yield "schema", newest()
    yield "python", f"{platform.python_version()} ({platform.python_implementation()})"
    libpq = psycopg.pq.version_pretty(psycopg.pq.version())
    yield "psycopg", f"{psycopg.__version__} ({psycopg.pq.__impl__}), libpq {libpq}"
    for name in _LIBRARIES:
        yield name, _version(name)
    for name, use in _OPTIONAL.items():
        found = _version(name)
        yield name, found and f"{found} ({use})"
    yield "platform", platform.platform()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
