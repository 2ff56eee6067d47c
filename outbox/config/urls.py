"""Database URLs: what people write, made into what libpq reads."""

from __future__ import annotations

import re

from outbox.errors import ConfigError

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9.+-]*)://")
_OURS = re.compile(r"postgres(?:ql)?(?:\+(?P<driver>psycopg|psycopg_async|psycopg2|asyncpg))?")
# As libpq reads what stands behind the scheme: the first @ before a / ends the user and the password.
_PARTS = re.compile(r"(?:[^@/]*@)?(?P<hosts>[^/?]*)(?P<path>[^?]*)")
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::[0-9]*)?")
_RIGHT = "write postgresql://user:password@host:port/database (SQLAlchemy's postgresql+psycopg:// is accepted too)"


def libpq_url(url: str) -> str:
    """Return `url` as psycopg takes it: `postgresql://…`, without the driver that SQLAlchemy's form names.

    Nothing behind the scheme is touched, except that asyncpg's `ssl=` becomes libpq's `sslmode=`.

    Raises:
        ConfigError: it is not a PostgreSQL URL. The message shows the scheme at most: the rest may be a password.
    """
    # Who has no URL to read, as when names are completed, does without it.
    from psycopg import ProgrammingError  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    written = url.strip()
    found = _SCHEME.match(written)
    if found is None:
        raise ConfigError([f"the database URL has no scheme: {_RIGHT}"])
    ours = _OURS.fullmatch(found["scheme"].lower())
    if ours is None:
        raise ConfigError([f"the database URL begins with {found['scheme']}://, which is not PostgreSQL: {_RIGHT}"])
    rest = written[found.end() :]
    if ours["driver"] == "asyncpg":
        rest = re.sub(r"(?<=[?&])ssl=", "sslmode=", rest)
    try:
        conninfo_to_dict(f"postgresql://{rest}")
    except ProgrammingError:
        # Not its own words: they quote the URL, and with it the password.
        raise ConfigError([f"the database URL cannot be understood: {_RIGHT}"]) from None
    _refuse_torn_passwords(rest)
    return f"postgresql://{rest}"


def _refuse_torn_passwords(rest: str) -> None:
    """Refuse what libpq would take a part of a password from for a host or a port, and show it when it fails there."""
    parts = _PARTS.match(rest)
    if parts is None or "@" in parts["hosts"] + parts["path"]:
        raise ConfigError(
            ["the database URL has an @ out of place: an @ in a password is written %40, and a / is written %2F"]
        )
    if not all(_HOST.fullmatch(host) for host in parts["hosts"].split(",")):
        raise ConfigError(["the port in the database URL is no number; a / or # in a password is written %2F or %23"])
