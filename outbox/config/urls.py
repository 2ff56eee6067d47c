"""Database URLs: what people write, made into what libpq reads."""

from __future__ import annotations

import re

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from outbox.errors import ConfigError

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9.+-]*)://")
_OURS = re.compile(r"postgres(?:ql)?(?:\+(?P<driver>psycopg|psycopg_async|psycopg2|asyncpg))?")
_RIGHT = "write postgresql://user:password@host:port/database (SQLAlchemy's postgresql+psycopg:// is accepted too)"


def libpq_url(url: str) -> str:
    """Return `url` as psycopg takes it: `postgresql://…`, without the driver that SQLAlchemy's form names.

    Nothing behind the scheme is touched, except that asyncpg's `ssl=` becomes libpq's `sslmode=`.

    Raises:
        ConfigError: it is not a PostgreSQL URL. The message shows the scheme at most: the rest may be a password.
    """
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
    return f"postgresql://{rest}"
