"""cancel: take back, in the transaction that makes it pointless, what has not been sent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from outbox import connections
from outbox.messages import Cancelled

CANCEL = """
SELECT cancelled, leased, sent, dead, ended FROM outbox.cancel(
    CAST(CAST(:id AS text) AS uuid), CAST(:idempotency_key AS text), CAST(:group_key AS text), CAST(:channel AS text))
"""


def cancel(
    conn: Any,
    *,
    id: UUID | str | None = None,  # noqa: A002 - the name of the column
    idempotency_key: str | None = None,
    group_key: str | None = None,
    channel: str | None = None,
    allow_autocommit: bool = False,
) -> Cancelled:
    """Cancel what still waits of one id, one idempotency key, or one group, in the transaction that `conn` is in.

    An open window of a digest counts as one, with all that is in it. `channel` narrows it to one channel. What a worker
    holds this moment may still be sent, and is counted, not cancelled; so is what was sent or had died. Roll back, and
    all of it waits again.

    Raises:
        TypeError: not exactly one of `id`, `idempotency_key` and `group_key` was given.
        ValueError: `id` is no UUID.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    parameters = _parameters(id, idempotency_key, group_key, channel)
    return Cancelled(*connections.run(conn, CANCEL, parameters, allow_autocommit=allow_autocommit)[0])


async def acancel(
    conn: Any,
    *,
    id: UUID | str | None = None,  # noqa: A002 - the name of the column
    idempotency_key: str | None = None,
    group_key: str | None = None,
    channel: str | None = None,
    allow_autocommit: bool = False,
) -> Cancelled:
    """Do as `cancel` does, on an asynchronous connection."""
    parameters = _parameters(id, idempotency_key, group_key, channel)
    return Cancelled(*(await connections.arun(conn, CANCEL, parameters, allow_autocommit=allow_autocommit))[0])


def _parameters(
    identity: UUID | str | None, idempotency_key: str | None, group_key: str | None, channel: str | None
) -> dict[str, str | None]:
    if sum(value is not None for value in (identity, idempotency_key, group_key)) != 1:
        msg = "cancel() takes exactly one of id, idempotency_key and group_key"
        raise TypeError(msg)
    return {
        "id": None if identity is None else str(UUID(str(identity))),
        "idempotency_key": idempotency_key,
        "group_key": group_key,
        "channel": channel,
    }
