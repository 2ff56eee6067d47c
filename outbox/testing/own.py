"""Whose rows a test asks for: those of its transaction, or all."""

from __future__ import annotations

from typing import Any

from outbox import connections


def whose(conn: Any, *, committed: bool) -> str:
    """Return what `OWN` takes: a connection that is in no transaction can have nothing of its own, and sees all."""
    return "true" if committed or not connections.in_transaction(conn) else "false"


async def awhose(conn: Any, *, committed: bool) -> str:
    """Do as `whose` does, for an asynchronous connection."""
    return "true" if committed or not await connections.ain_transaction(conn) else "false"
