"""enqueue_many: as enqueue, for many at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from outbox import connections, traces
from outbox.errors import IdempotencyConflict, InvalidNotification
from outbox.messages import Enqueued
from outbox.queue import apart, bulk, together
from outbox.queue.declared import DECLARED, problem_with, read
from outbox.queue.draft import FIELDS, Draft, enqueued

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Iterator, Sequence

    from outbox.connections import Parameters

    Given: TypeAlias = Mapping[str, Any]
    Answers: TypeAlias = list[Enqueued | IdempotencyConflict]
    Statement: TypeAlias = tuple[str, Parameters | Iterator[bytes]]
    Work: TypeAlias = Generator[Statement, Any, Answers]

ENQUEUE_MANY = """
SELECT id, created, conflict, refused_id FROM outbox.enqueue_many(
    CAST(:channel AS text[]), CAST(:recipient AS text[]), CAST(:template AS text[]), CAST(:payload AS text[]),
    CAST(:priority AS text[]), CAST(:run_at AS text[]), CAST(:expires_at AS text[]), CAST(:idempotency_key AS text[]),
    CAST(:topic AS text[]), CAST(:group_key AS text[]), CAST(:locale AS text[]), CAST(:headers AS text[]),
    CAST(:delay AS text[]), CAST(:expires_in AS text[]), CAST(:ordering_key AS text[]), CAST(:time_zone AS text[]),
    CAST(:unless_read AS text[]), CAST(:unless_sent AS text[]), CAST(:trace AS text))
"""

NOW = "SELECT CAST(CAST(date_part('epoch', clock_timestamp()) * 1000000 AS bigint) AS text)"

# Keys are taken for all rows of a COPY together; a setting tells which rows were refused.
BEGIN_COPY = """
SELECT set_config('outbox.take_keys', 'together', true), set_config('outbox.on_conflict', 'report', true),
       set_config('outbox.refused', '', true)
"""
REFUSED = "SELECT current_setting('outbox.refused', true)"
END_COPY = "SELECT set_config('outbox.take_keys', '', true), set_config('outbox.on_conflict', '', true)"

_T = TypeVar("_T")
_PLAIN = frozenset(FIELDS)
_CREATED = True
_answer_of = partial(tuple.__new__, Enqueued)
CHUNK = 5_000  # of which the server keeps a copy in memory until all are in
_BLOCK = 150  # goes to the server at once: it works on these while the next are checked
_WORTH_A_COPY = 300
MOST_IN_A_TRACE = 1_000  # more are in none: a trace of so many deliveries is too large to be kept, and to be looked at


def enqueue_many(
    conn: Any, notifications: Iterable[Mapping[str, Any]], *, allow_autocommit: bool = False
) -> list[Enqueued]:
    """Enqueue many, by COPY where the connection rests on psycopg, else in statements of 5,000; results in order.

    Each notification is a mapping of the arguments of `enqueue`. If one is invalid, none is enqueued, and the
    transaction stays usable. What supersedes does so when all are in; those with a digest key join their windows.

    Raises:
        InvalidNotification: as `enqueue` does; the field names the position, such as `[3].recipient`.
        IdempotencyConflict: for the first conflict. All that are in no conflict are enqueued: roll back (or to a
            savepoint) to be rid of them.
    """
    given = list(notifications)
    used: set[str] = set().union(*given)
    if used <= _PLAIN:
        return _enqueued(_enqueue(conn, given, used, allow_autocommit=allow_autocommit))
    parts = _parts(given, used)
    if "topic" in used:
        _run(conn, _check_topics(given), allow_autocommit=allow_autocommit)
    answers = _enqueue(conn, parts.plain, used - apart.FIELDS, allow_autocommit=allow_autocommit)
    joined = _run(conn, parts.joining(), allow_autocommit=allow_autocommit)
    _run(conn, parts.superseding(answers), allow_autocommit=allow_autocommit)
    return _enqueued(parts.merged(answers, joined))


async def aenqueue_many(
    conn: Any, notifications: Iterable[Mapping[str, Any]], *, allow_autocommit: bool = False
) -> list[Enqueued]:
    """Do as `enqueue_many` does, on an asynchronous connection."""
    given = list(notifications)
    used: set[str] = set().union(*given)
    if used <= _PLAIN:
        return _enqueued(await _aenqueue(conn, given, used, allow_autocommit=allow_autocommit))
    parts = _parts(given, used)
    if "topic" in used:
        await _arun(conn, _check_topics(given), allow_autocommit=allow_autocommit)
    answers = await _aenqueue(conn, parts.plain, used - apart.FIELDS, allow_autocommit=allow_autocommit)
    joined = await _arun(conn, parts.joining(), allow_autocommit=allow_autocommit)
    await _arun(conn, parts.superseding(answers), allow_autocommit=allow_autocommit)
    return _enqueued(parts.merged(answers, joined))


# A conflict is raised outside of these: it leaves the others enqueued, with a COPY as without one.
def _enqueue(conn: Any, given: Sequence[Given], used: set[str], *, allow_autocommit: bool) -> Answers:
    below = connections.psycopg_below(conn) if len(given) >= _WORTH_A_COPY else None
    if below is None:
        return _run(conn, _in_statements(given, used), allow_autocommit=allow_autocommit)
    ((now,),) = connections.run(conn, NOW, {})
    with below.transaction():  # a savepoint: the caller's transaction has begun
        return _run(conn, _by_copy(given, used, int(now), below.info.encoding), below)


async def _aenqueue(conn: Any, given: Sequence[Given], used: set[str], *, allow_autocommit: bool) -> Answers:
    below = connections.psycopg_below(conn) if len(given) >= _WORTH_A_COPY else None
    if below is None:
        return await _arun(conn, _in_statements(given, used), allow_autocommit=allow_autocommit)
    ((now,),) = await connections.arun(conn, NOW, {})
    async with below.transaction():
        return await _arun(conn, _by_copy(given, used, int(now), below.info.encoding), below)


def _parts(given: Sequence[Given], used: set[str]) -> apart.Apart:
    apart.refuse_escalating(used)
    return apart.Apart(given)


def _run(conn: Any, work: Generator[Statement, Any, _T], below: Any = None, *, allow_autocommit: bool = False) -> _T:
    rows = None
    try:
        while True:
            sql, what = work.send(rows)
            if isinstance(what, Mapping):
                rows = connections.run(conn, sql, what, allow_autocommit=allow_autocommit)
            else:
                rows = connections.copy(below, sql, what)
    except StopIteration as done:
        answer: _T = done.value
        return answer


async def _arun(
    conn: Any, work: Generator[Statement, Any, _T], below: Any = None, *, allow_autocommit: bool = False
) -> _T:
    rows = None
    try:
        while True:
            sql, what = work.send(rows)
            if isinstance(what, Mapping):
                rows = await connections.arun(conn, sql, what, allow_autocommit=allow_autocommit)
            else:
                rows = await connections.acopy(below, sql, what)
    except StopIteration as done:
        answer: _T = done.value
        return answer


def _enqueued(answers: Answers) -> list[Enqueued]:
    """Raise the first conflict, if there is one."""
    for answer in answers:
        if isinstance(answer, IdempotencyConflict):
            raise answer
    return answers  # type: ignore[return-value]


def _in_statements(given: Sequence[Given], used: set[str]) -> Work:
    """Yield statements with their parameters; return the answers."""
    trace = _trace_of(given)
    drafts = [Draft.of(one, position) for position, one in enumerate(given)]
    answers: dict[int, Enqueued | IdempotencyConflict] = {}
    if "topic" in used:
        yield from _check_topics(given)
    for chunk in _chunks(given, used):
        columns = zip(*(drafts[position] for position in chunk), strict=True)
        arrays = {name: list(column) for name, column in zip(Draft._fields, columns, strict=True)}
        rows = yield ENQUEUE_MANY, arrays | {"trace": trace}
        answers |= {position: _answer(drafts[position], row) for position, row in zip(chunk, rows, strict=True)}
    return [answers[position] for position in range(len(drafts))]


def _trace_of(given: Sequence[Given]) -> str | None:
    return traces.current() if len(given) <= MOST_IN_A_TRACE else None


def _answer(draft: Draft, row: Sequence[Any]) -> Enqueued | IdempotencyConflict:
    try:
        return enqueued(draft, row)
    except IdempotencyConflict as conflict:
        return conflict


def _by_copy(given: Sequence[Given], used: set[str], now: int, encoding: str) -> Work:
    """Yield statements and COPYs; return the answers. Rows are checked while the server works on those before them."""
    identities = bulk.ids(len(given), now)
    answers: Answers = list(map(_answer_of, zip(identities, repeat(_CREATED))))
    refused: set[str] = set()
    trace = _trace_of(given)
    if "topic" in used:
        yield from _check_topics(given)
    yield BEGIN_COPY, {}
    form = bulk.Form(used if trace is None else used | {"trace"}, now, encoding)
    for chunk in _chunks(given, used):
        blocks = (
            ([identities[position] for position in block], together.columns(given, block, form.names, used, trace))
            for block in _cut(chunk, _BLOCK)
        )
        yield form.copy, form.rows(blocks)
        ((told,),) = yield REFUSED, {}
        refused.update(told.split(",") if told else ())
    yield END_COPY, {}
    if refused:
        again = [position for position, identity in enumerate(identities) if str(identity) in refused]
        found = yield from _in_statements([given[position] for position in again], used)
        for position, answer in zip(again, found, strict=True):
            answers[position] = answer
    return answers


def _check_topics(given: Sequence[Given]) -> Generator[Statement, Any, None]:
    """Refuse the first whose topic is not declared, or not for its channel. What is no text is refused elsewhere."""
    declared = read((yield DECLARED, {}))
    sound: set[tuple[str, str]] = set()
    for position, one in enumerate(given):
        topic, channel = one.get("topic"), one.get("channel")
        if not (isinstance(topic, str) and topic and isinstance(channel, str)) or (topic, channel) in sound:
            continue
        problem = problem_with(topic, channel, declared)
        if problem is not None:
            raise InvalidNotification(f"[{position}].topic", problem)
        sound.add((topic, channel))


def _chunks(given: Sequence[Given], used: Container[str]) -> list[list[int]]:
    """Return the positions of each chunk, keys in order from chunk to chunk: else two callers could deadlock.

    Where there are ordering keys, the order that was given matters more: a deadlock can be tried again.
    """
    order: Sequence[int] = range(len(given))
    if "idempotency_key" in used and not ("ordering_key" in used and any(one.get("ordering_key") for one in given)):
        keys, channels = ([str(one.get(name) or "") for one in given] for name in ("idempotency_key", "channel"))
        # By code points, which is the order of their bytes in UTF-8. The second pass keeps the order of the first.
        order = sorted(sorted(order, key=channels.__getitem__), key=keys.__getitem__)
    return [sorted(chunk) for chunk in _cut(order, CHUNK)]


def _cut(positions: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]
