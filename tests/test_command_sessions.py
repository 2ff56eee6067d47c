"""What a command leaves on a connection that a pooler may share with others."""

from __future__ import annotations

from typing import Any

import pytest

from outbox.terminal import session

OFTEN = 8  # psycopg prepares what it has sent five times
PREPARED = "SELECT count(*) FROM pg_prepared_statements"


@pytest.mark.parametrize("connect", [session.writing, session.reading, session.watching])
def test_no_command_prepares_a_statement(database_url: str, connect: Any) -> None:
    with connect(database_url) as conn:
        for _ in range(OFTEN):
            conn.execute("SELECT 1")
        assert conn.execute(PREPARED).fetchone() == (0,)


async def test_nor_does_one_that_is_asynchronous(database_url: str) -> None:
    async with session.awriting(database_url) as conn:
        for _ in range(OFTEN):
            await conn.execute("SELECT 1")
        assert await (await conn.execute(PREPARED)).fetchone() == (0,)
