"""revision: which migration a database has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.errors import InsufficientPrivilege

if TYPE_CHECKING:
    from psycopg import AsyncConnection

REVISION = "SELECT version_num FROM outbox.migrations"


async def find_revision(conn: AsyncConnection[Any]) -> str | None:
    """Return the newest migration that was applied; None where that may not be read, as before `outbox roles --apply`.

    Raises:
        psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName: the database has no outbox.
    """
    try:
        row = await (await conn.execute(REVISION)).fetchone()
    except InsufficientPrivilege:
        return None
    return None if row is None else str(row[0])
