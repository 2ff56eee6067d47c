"""The tables, in the database of a test."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def migrate(
    url: str | None = None,
    *,
    host: str | None = None,
    port: int | str | None = None,
    user: str | None = None,
    password: str | None = None,
    dbname: str = "",
    **_: object,
) -> None:
    """Create or update the outbox schema, as `outbox migrate` does.

    Give a URL, or where the database is in libpq's words, as pytest-postgresql does: `load=[outbox.testing.migrate]`.
    Whatever else it is given, it leaves alone.

    Raises:
        TypeError: neither was given.
    """
    from outbox.migrate import upgrade  # noqa: PLC0415 - Alembic, and not before it is needed

    if url is None and not dbname:
        raise TypeError("which database? migrate(url), or migrate(host=…, port=…, user=…, dbname=…)")
    upgrade(url or _url(host, port, user, password, dbname))


def _url(host: str | None, port: int | str | None, user: str | None, password: str | None, dbname: str) -> str:
    """Return the URL; the host stands among the parameters, where the folder of a socket may stand too."""
    secret = f":{quote(password, safe='')}" if password else ""
    who = f"{quote(user, safe='')}{secret}@" if user else ""
    where = {name: value for name, value in (("host", host), ("port", port)) if value}
    return f"postgresql://{who}/{quote(dbname, safe='')}{f'?{urlencode(where)}' if where else ''}"
