"""assert_enqueued and its kin: what the transaction of a test has enqueued, before it commits, if it ever does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox import steps
from outbox.spelling import nearest
from outbox.testing.complaint import no_match, something_enqueued
from outbox.testing.matching import compare
from outbox.testing.outgoing import Outgoing, outgoing
from outbox.testing.own import awhose, whose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.steps import Steps


_FIELDS = frozenset(Outgoing._fields)


def enqueued(conn: Any, *, committed: bool = False) -> list[Outgoing]:
    """Return all that this transaction has enqueued, oldest first; with `committed`, all that anybody has.

    Raises:
        NotMigrated: the database has no outbox.
        TypeError: the connection is asynchronous, or of no known kind.
    """
    return steps.run(conn, outgoing(whose(conn, committed=committed)))


async def aenqueued(conn: Any, *, committed: bool = False) -> list[Outgoing]:
    """Do as `enqueued` does, on an asynchronous connection."""
    return await steps.arun(conn, outgoing(await awhose(conn, committed=committed)))


def assert_enqueued(conn: Any, *, count: int | None = None, committed: bool = False, **wanted: Any) -> list[Outgoing]:
    """Assert that this transaction has enqueued such notifications, and return them, oldest first.

    Args:
        conn: any connection that `enqueue` takes.
        count: how many there must be; without it, one at least.
        committed: look at what was committed before as well, by anybody.
        wanted: fields of a notification and what each must be: channel, recipient, template, payload, priority, topic,
            group_key, idempotency_key, ordering_key, locale, time_zone, headers, run_at, expires_at, state, id. A
            payload must contain what is given, at any depth, and may have more. A compiled pattern is searched for, and
            a function is asked whether it accepts the value. `run_at` and `expires_at` take a timedelta from when it
            was enqueued, and allow for a second.

    Raises:
        AssertionError: there are not so many; it says what was enqueued instead, nearest first.
        TypeError: there is no such field; or as `enqueued`.
    """
    __tracebackhide__ = True
    _refuse_unknown(wanted)
    found = steps.run(conn, _found(whose(conn, committed=committed)))
    return _matching(*found, wanted, count)


async def aassert_enqueued(
    conn: Any, *, count: int | None = None, committed: bool = False, **wanted: Any
) -> list[Outgoing]:
    """Do as `assert_enqueued` does, on an asynchronous connection."""
    __tracebackhide__ = True
    _refuse_unknown(wanted)
    found = await steps.arun(conn, _found(await awhose(conn, committed=committed)))
    return _matching(*found, wanted, count)


def assert_nothing_enqueued(conn: Any, *, committed: bool = False, **wanted: Any) -> None:
    """Assert that this transaction has enqueued nothing, or nothing of the kind that the fields say.

    The arguments are those of `assert_enqueued`.

    Raises:
        AssertionError: it has; it says what.
    """
    __tracebackhide__ = True
    _refuse_unknown(wanted)
    _refuse(enqueued(conn, committed=committed), wanted)


async def aassert_nothing_enqueued(conn: Any, *, committed: bool = False, **wanted: Any) -> None:
    """Do as `assert_nothing_enqueued` does, on an asynchronous connection."""
    __tracebackhide__ = True
    _refuse_unknown(wanted)
    _refuse(await aenqueued(conn, committed=committed), wanted)


def _refuse_unknown(wanted: Mapping[str, Any]) -> None:
    for name in wanted:
        if name not in _FIELDS:
            raise TypeError(f"{name} is no field of a notification; {nearest(name, _FIELDS)}")


def _found(committed: str) -> Steps[tuple[list[Outgoing], int]]:
    """Return what was enqueued; where that is nothing, with how many notifications others have committed."""
    found = yield from outgoing(committed)
    return found, (0 if found or committed == "true" else len((yield from outgoing("true"))))


def _matching(found: Sequence[Outgoing], others: int, wanted: Mapping[str, Any], count: int | None) -> list[Outgoing]:
    __tracebackhide__ = True
    compared = [compare(each, wanted) for each in found]
    matching = [each.outgoing for each in compared if not each.differences]
    if (len(matching) != count) if count is not None else not matching:
        raise AssertionError(no_match(wanted, compared, count, others))
    return matching


def _refuse(found: Sequence[Outgoing], wanted: Mapping[str, Any]) -> None:
    __tracebackhide__ = True
    if matching := [each for each in found if not compare(each, wanted).differences]:
        raise AssertionError(something_enqueued(wanted, matching))
