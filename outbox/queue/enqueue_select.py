"""enqueue_select: what a query of the application's own returns is enqueued, in one statement, in its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from outbox import steps
from outbox.errors import NotMigrated
from outbox.queue.selection import Selected, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta
    from typing import Unpack

    from outbox.steps import Steps

ENQUEUE_SELECT = """
SELECT CAST(e.selected AS bigint), CAST(e.enqueued AS bigint), e.suppressed, e.unwanted, e.duplicates, e.existing,
       e.invalid, e.problems, e.examples
FROM outbox.enqueue_select(CAST(:query AS text), CAST(:parameters AS text[]), CAST(:columns AS text[]),
                           CAST(CAST(:defaults AS text) AS jsonb), CAST(:search_path AS text),
                           CAST(CAST(:skip_invalid AS text) AS boolean)) e
"""


class Fields(TypedDict, total=False):
    """The fields that can be the same for each notification, for those that the query does not return."""

    channel: str | None
    template: str | None
    payload: Mapping[str, Any] | None
    priority: str | int
    run_at: datetime | timedelta | None
    expires_at: datetime | timedelta | None
    idempotency_key: str | None
    topic: str | None
    group_key: str | None
    locale: str | None
    headers: Mapping[str, Any] | None
    time_zone: str | None


def enqueue_select(
    conn: Any,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    on_invalid: str = "refuse",
    allow_autocommit: bool = False,
    **fields: Unpack[Fields],
) -> Selected:
    """Enqueue what a query of your own returns, a notification a row, in the transaction that `conn` is in.

    Whoever must not be contacted, or has no wish to, is left out and counted; so is a row for a recipient who had one
    already (upper and lower case are the same in email) and, with an `idempotency_key`, one that was enqueued before.

    Args:
        conn: any connection that `enqueue` takes. The query runs with its rights, and finds its tables as it does.
        query: one SELECT. Its columns are fields of a notification; `recipient` must be among them. Where it returns an
            `idempotency_key`, rows with the same recipient and different keys are no duplicates.
        parameters: what stands for `:name` in the query: texts, numbers, booleans, moments, dates, intervals, UUIDs,
            dicts (as jsonb), lists of these, None. The same on every kind of connection.
        on_invalid: of rows that can be no notification, for want of a recipient say: `refuse` enqueues none at all,
            `skip` leaves these out and counts them.
        allow_autocommit: insist on a connection in autocommit mode, where it is committed at once.
        fields: what is the same for each, unless the query returns it: `channel`, `template` and so on.
            `idempotency_key` begins the key of each, which ends in a digest of the recipient.

    Raises:
        InvalidFanOut: the query or another argument was refused, or rows were; nothing was enqueued, and the
            transaction stays usable.
        NotInTransaction, NotMigrated: as `enqueue`.
        Exception: whatever the query runs into, as the driver has it.
    """
    selection = Selection.of(query, parameters, fields, on_invalid=on_invalid)
    return steps.run(conn, _enqueue(selection), allow_autocommit=allow_autocommit)


async def aenqueue_select(
    conn: Any,
    query: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    on_invalid: str = "refuse",
    allow_autocommit: bool = False,
    **fields: Unpack[Fields],
) -> Selected:
    """Do as `enqueue_select` does, on an asynchronous connection."""
    selection = Selection.of(query, parameters, fields, on_invalid=on_invalid)
    return await steps.arun(conn, _enqueue(selection), allow_autocommit=allow_autocommit)


def _enqueue(selection: Selection) -> Steps[Selected]:
    asked = yield from selection.check()
    try:
        ((*counts, problems, examples),) = yield ENQUEUE_SELECT, asked
    except NotMigrated as error:  # the schema was there a moment ago: what is missing is of the query's
        raise error.__cause__ or error from None
    selected = Selected(*map(int, counts))
    selection.refuse_rows(selected.selected, selected.invalid, problems, examples)
    return selected
