"""The statements of `outbox.queue`, as pure functions over the rows that one notification has.

Time is what has passed, not a clock: `due` is `run_at <= now()`. `without` names the guards that a mutant lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from tests.model.guards import Guard

if TYPE_CHECKING:
    from collections.abc import Collection

Letter: TypeAlias = Literal["", "open", "replayed", "discarded"]
Written: TypeAlias = Literal["settled", "locked", "newer", "stale"]
"""What a settlement hears: `locked` is still ours, `newer` is ours by a later claim, `stale` is ours no more.

Of `locked` and `newer` the worker is told alike: to write it again later.
"""


class Row(NamedTuple):
    """Its row in `queue`."""

    claim: int = 0
    worker: int | None = None
    due: bool = True
    attempt: int = 0
    lost: int = 0
    locked: bool = False
    """By somebody's transaction that is still open."""


class Tables(NamedTuple):
    """All that the database holds of it."""

    row: Row | None = None
    attempts: tuple[tuple[int, str], ...] = ()
    """(claim, outcome), in the order of the claims."""
    letter: Letter = ""
    sent: bool = False
    """Whether any of its attempts is `sent`, also one that `attempts` here has forgotten."""


class Claimed(NamedTuple):
    """What a claim brings back."""

    claim: int
    attempt: int = 0
    lost: int = 0
    lapsed: bool = False
    """`lost_by IS NOT NULL`."""
    delivered: bool = False
    """It is recorded as sent already."""


class Outcome(NamedTuple):
    """How a delivery ended, as `settle` is told."""

    name: str
    used: bool = True
    again: Literal["", "at once", "later"] = ""
    letter: bool = False


def outcome_of(tables: Tables, claim: int) -> str | None:
    """Return what is recorded of a claim."""
    return next((outcome for number, outcome in tables.attempts if number == claim), None)


def claim(tables: Tables, worker: int, without: Collection[Guard] = ()) -> tuple[Tables, Claimed] | None:
    """Return None for what this statement passes by."""
    row = tables.row
    if row is None or row.locked or not (row.due or Guard.CLAIM_ONLY_WHAT_IS_DUE in without):
        return None
    lapsed = row.worker is not None
    if lapsed and Guard.CLAIM_TAKES_THE_LAPSED in without:
        return None
    vanished = is_from_another(row, worker) or (lapsed and Guard.CLAIM_SPARES_ITS_OWN in without)
    taken = Row(
        claim=row.claim + (Guard.CLAIM_COUNTS_UP not in without),
        worker=worker,
        due=False,
        attempt=row.attempt,
        lost=row.lost + (vanished and Guard.CLAIM_COUNTS_THE_LOST not in without),
    )
    if lapsed and Guard.CLAIM_RECORDS_THE_LOST not in without:
        tables = _record(tables, taken.claim - 1, "lost")
    delivered = tables.sent and Guard.CLAIM_SEES_LATE_SUCCESSES not in without
    return tables._replace(row=taken), Claimed(taken.claim, taken.attempt, taken.lost, lapsed, delivered)


def is_from_another(row: Row, worker: int) -> bool:
    """Tell whether a claim by this worker would take it from one that vanished with it."""
    return row.worker not in {None, worker}


def renew(
    tables: Tables, worker: int, token: int, without: Collection[Guard] = ()
) -> tuple[Tables, Literal["renewed", "locked", "gone"]]:
    """Return whether it is renewed, or was skipped, or is somebody else's."""
    row = tables.row
    any_worker, any_token = Guard.RENEW_BY_WORKER in without, Guard.RENEW_BY_TOKEN in without
    if row is None or not _is_held(row, worker, token, any_worker=any_worker, any_token=any_token):
        return tables, "gone"
    if row.locked:
        return tables, "gone" if Guard.RENEW_ASKS_WHY_A_ROW_IS_MISSING in without else "locked"
    return tables._replace(row=row._replace(due=False)), "renewed"


def settle(
    tables: Tables, worker: int, token: int, outcome: Outcome, *, attempt: int, without: Collection[Guard] = ()
) -> tuple[Tables, Written]:
    """`attempt` counts the deliveries tried before this claim."""
    row = tables.row
    has_verdict = outcome_of(tables, token) not in {None, "lost"}
    any_worker, any_token = Guard.SETTLE_BY_WORKER in without, Guard.SETTLE_BY_TOKEN in without
    ours = _is_held(row, worker, token, any_worker=any_worker, any_token=any_token)
    held = row is not None and not row.locked and (ours or _may_be_late(row, outcome, without))
    late = outcome.name == "sent" and Guard.SETTLE_RECORDS_LATE_SUCCESSES not in without
    if held or late:
        tables = _record(tables, token, outcome.name, without)
    if held:
        assert row is not None
        if token != row.claim and row.worker is not None and Guard.SETTLE_RECORDS_THE_CLAIM_IT_ENDS not in without:
            tables = _record(tables, row.claim, "lost")
        return _moved_or_removed(tables, row, attempt + outcome.used, outcome, without), "settled"
    return tables, _why_not(tables, worker, token, outcome, has_verdict=has_verdict, without=without)


def _why_not(
    tables: Tables, worker: int, token: int, outcome: Outcome, *, has_verdict: bool, without: Collection[Guard]
) -> Written:
    row = tables.row
    is_ours = row is not None and row.worker == worker
    if row is not None and is_ours and row.claim == token:
        return "locked"
    if has_verdict and outcome.name != "sent" and Guard.SETTLE_ANSWERS_TWICE_ALIKE not in without:
        return "settled"
    # One that has lapsed in its turn is anybody's: a worker that never heard of it would ask until somebody takes it.
    if row is not None and is_ours and not row.due and Guard.SETTLE_TELLS_OF_ITS_OWN_NEWER_CLAIM not in without:
        return "newer"
    return "stale"


def release(tables: Tables, worker: int, token: int, without: Collection[Guard] = ()) -> Tables:
    """Give it back, if it is ours and nobody has locked it."""
    row = tables.row
    if row is None or row.locked or row.worker != worker:
        return tables
    if row.claim != token and Guard.RELEASE_BY_TOKEN not in without:
        return tables
    return tables._replace(row=row._replace(worker=None, due=True))


def may_cancel(tables: Tables, without: Collection[Guard] = ()) -> bool:
    """Tell whether `cancel` would take it back at once (for what is locked it would wait)."""
    row = tables.row
    if row is None or row.locked:
        return False
    return row.worker is None or row.due or Guard.CANCEL_LEAVES_THE_LEASED in without


def cancel(tables: Tables, without: Collection[Guard] = (), outcome: str = "cancelled") -> Tables:
    """Take it back, or end it as `suppressed`, which is the same but for the word; only what `may_cancel`."""
    row = tables.row
    assert row is not None
    if row.worker is not None and Guard.CANCEL_RECORDS_THE_LOST not in without:
        tables = _record(tables, row.claim, "lost")
    tables = _record(tables, row.claim + (Guard.CANCEL_COUNTS_AS_A_CLAIM not in without), outcome)
    return tables._replace(row=None)


def judge(tables: Tables, without: Collection[Guard] = ()) -> str:
    """Return what `replay` would do with it: `replay`, or why not."""
    if tables.letter == "":
        return "unknown"
    if tables.letter != "open" and Guard.REPLAY_LEAVES_THE_RESOLVED not in without:
        return tables.letter
    if tables.row is not None:
        return "queued"
    return "sent" if tables.sent and Guard.REPLAY_LEAVES_THE_SENT not in without else "replay"


def replay(tables: Tables, without: Collection[Guard] = ()) -> Tables:
    """Put it back; only what is judged `replay`."""
    highest = tables.attempts[-1][0] if tables.attempts else 0
    # Numbers that begin anew come by each of the old ones; the last is the one that a verdict may still be late with.
    first = highest - (Guard.REPLAY_COUNTS_ON in without)
    return tables._replace(row=Row(claim=first), letter="replayed")


def discard(tables: Tables) -> Tables:
    """Close its dead letter, if that is open."""
    return tables._replace(letter="discarded") if tables.letter == "open" else tables


def _is_held(row: Row | None, worker: int, token: int, *, any_worker: bool, any_token: bool) -> bool:
    return row is not None and (any_worker or row.worker == worker) and (any_token or row.claim == token)


def _may_be_late(row: Row, outcome: Outcome, without: Collection[Guard]) -> bool:
    if Guard.SETTLE_TAKES_LATE_SUCCESSES in without:
        return False
    if outcome.name != "sent" and Guard.SETTLE_LATE_SUCCESSES_ALONE not in without:
        return False
    waiting = row.worker is None and Guard.SETTLE_LATE_WHILE_WAITING not in without
    lapsed = row.due and Guard.SETTLE_LATE_WHILE_LAPSED not in without
    return waiting or lapsed or Guard.SETTLE_LATE_UNLESS_HELD in without


def _moved_or_removed(tables: Tables, row: Row, attempt: int, outcome: Outcome, without: Collection[Guard]) -> Tables:
    letter = tables.letter
    if outcome.letter and (letter == "" or Guard.SETTLE_REOPENS_DEAD_LETTERS not in without):
        letter = "open"
    if outcome.again == "":
        return tables._replace(row=None, letter=letter)
    lost = row.lost if Guard.SETTLE_FORGETS_THE_LOST in without else 0
    moved = Row(row.claim, None, outcome.again == "at once", attempt, lost)
    return tables._replace(row=moved, letter=letter)


def _record(tables: Tables, token: int, outcome: str, without: Collection[Guard] = ()) -> Tables:
    """INSERT … ON CONFLICT: what is there stays, except that `sent` takes the place of `lost`."""
    there = outcome_of(tables, token)
    if there is not None:
        turns = there == "lost" and outcome == "sent" and Guard.SETTLE_TURNS_LOST_INTO_SENT not in without
        if not turns:
            return tables
    others = tuple(pair for pair in tables.attempts if pair[0] != token)
    return tables._replace(attempts=tuple(sorted((*others, (token, outcome)))), sent=tables.sent or outcome == "sent")
