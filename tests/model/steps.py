"""Everything that can happen to one notification: to its rows, in a worker's hands, and on the wire between them.

A step is a function of what there is, and returns what there is then, or None if it cannot happen. `together` puts
those of two notifications together, where one statement, or one crash, is a step of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.model import database, state
from tests.model.guards import Guard
from tests.model.state import GONE, WORKERS, Answer, Hand, Lease, Notification, Send

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Rules:
    """The bounds of a search, and the guard that a mutant lacks."""

    attempts: int = 3
    """`max_attempts`."""
    losses: int = 2
    """`max_lost`."""
    suspicious: int = 1
    """From so many vanished workers on, a notification is a suspect."""
    replays: int = 2
    killer: bool = False
    """One of the two notifications kills whoever begins to send it, and nothing else goes wrong."""
    without: frozenset[Guard] = frozenset()


class Step(NamedTuple):
    """Something that happened to one notification alone."""

    does: str
    after: Notification
    worker: int | None = None
    mishaps: int = 0
    is_chosen: bool = False
    """By a person: it may never happen."""


def alone(one: Notification, rules: Rules, *, may_fail: bool = True) -> Iterator[Step]:
    """Yield every step that concerns this notification and no other; without `may_fail`, no mishaps."""
    yield from _of_the_application(one, rules, may_fail=may_fail)
    yield from _of_time(one)
    for worker in WORKERS:
        yield from _of_a_worker(one, worker, rules)


def _of_the_application(one: Notification, rules: Rules, *, may_fail: bool) -> Iterator[Step]:
    tables, without = one.tables, rules.without
    if one.stage == "open":
        row = database.Tables(database.Row())
        if Guard.ENQUEUE_IN_THE_TRANSACTION not in without:
            yield Step("is committed", one._replace(stage="committed", tables=row))
        elif tables.row is None and not one.witness.cancelled:
            yield Step("is enqueued beside the transaction", one._replace(tables=row))
        else:
            yield Step("is committed", one._replace(stage="committed"))
        yield Step("is rolled back", one._replace(stage="rolled back"), is_chosen=True)
    if tables.row is not None and (may_fail or tables.row.locked):
        locked = one._replace(tables=tables._replace(row=tables.row._replace(locked=not tables.row.locked)))
        yield Step("is unlocked" if tables.row.locked else "is locked", locked, mishaps=int(not tables.row.locked))
    if database.may_cancel(tables, without):
        cancelled = one._replace(tables=database.cancel(tables, without)).noting(cancelled=True)
        yield Step("is cancelled", cancelled, is_chosen=True)
    if one.witness.judged:
        put_back = one._replace(tables=database.replay(tables, without))
        yield Step("is replayed", put_back.noting(judged=False, tries=0, vanished=0, replays=one.witness.replays + 1))
    elif may_fail and one.witness.replays < rules.replays and database.judge(tables, without) == "replay":
        yield Step("is judged fit for a replay", one.noting(judged=True), mishaps=1, is_chosen=True)


def _of_time(one: Notification) -> Iterator[Step]:
    row = one.tables.row
    if row is None or row.due:
        return
    due = one._replace(tables=one.tables._replace(row=row._replace(due=True)))
    if row.worker is None:
        yield Step("is due again", due)
    elif row.worker == GONE or not _is_trusted(one.hands[row.worker], row.claim):
        yield Step("has a lease that lapses", due)


def _is_trusted(hand: Hand, claim: int) -> bool:
    """Whether the worker counts on this lease: then it has not lapsed, for its clock counts from an earlier moment."""
    return any(each is not None and each.claim == claim and each.trusted for each in (hand.coming, hand.held))


def _of_a_worker(one: Notification, worker: int, rules: Rules) -> Iterator[Step]:
    hand = one.hands[worker]
    if hand.held is not None:
        yield from _of_a_lease_held(one, worker, hand.held, rules)
    for lease in hand.leases():
        if lease.phase == "sending" and not one.kills:
            accepted = _with_lease(one, worker, lease, lease._replace(phase="accepted"))
            sent = accepted.with_send(one.send(lease.claim)._replace(begun=True, accepted=True))
            yield Step("is accepted by the provider from", sent.noting(copies=sent.witness.copies + 1), worker)


def _of_a_lease_held(one: Notification, worker: int, held: Lease, rules: Rules) -> Iterator[Step]:
    hand, without = one.hands[worker], rules.without
    row = one.tables.row
    tables, heard = database.renew(one.tables, worker, held.claim, without)
    trusted = held.trusted if heard == "locked" else heard == "renewed"
    renewed = one._replace(tables=tables).with_hand(worker, hand._replace(held=held._replace(trusted=trusted)))
    if renewed != one:
        yield Step("is renewed by" if heard == "renewed" else "is found to be gone by", renewed, worker)
    if held.phase == "ready":
        if held.trusted or Guard.BEGIN_WITHIN_THE_LEASE in without:
            yield Step("is begun by", _begun(one, worker, held, rules), worker)
        if not held.trusted:
            yield Step("is passed over by", one.with_hand(worker, hand._replace(held=None)), worker)
    may_be_given_back = held.phase == "ready" or (
        held.phase in {"sending", "accepted"} and Guard.NOTHING_BEGUN_IS_GIVEN_BACK in without and hand.former is None
    )
    if may_be_given_back:
        # A row that somebody has locked comes back by its lease, as if its worker had vanished.
        excused = one.witness.excused or (row is not None and row.locked)
        former = hand.former if held.phase == "ready" else held
        left = one.with_hand(worker, hand._replace(held=None, former=former)).noting(excused=excused)
        given = left._replace(tables=database.release(one.tables, worker, held.claim, without))
        yield Step("is given back by", given, worker, is_chosen=True)


def _begun(one: Notification, worker: int, held: Lease, rules: Rules) -> Notification:
    row = one.tables.row
    lost, attempt = (row.lost, row.attempt) if row is not None and row.claim == held.claim else (0, 0)
    refused = None
    if held.delivered:
        refused = state.DELIVERED
    elif lost >= rules.losses and Guard.DELIVER_REFUSES_POISON not in rules.without:
        refused = state.POISON
    elif attempt >= rules.attempts and Guard.DELIVER_REFUSES_THE_EXHAUSTED not in rules.without:
        refused = state.EXHAUSTED
    if refused is not None:
        return _with_lease(one, worker, held, held._replace(phase="ended", outcome=refused))
    is_last = attempt + 1 >= rules.attempts and Guard.DELIVER_COUNTS_ATTEMPTS not in rules.without
    begun = _with_lease(one, worker, held, held._replace(phase="sending", is_last=is_last))
    return begun.with_send(one.send(held.claim)._replace(begun=True))


def _with_lease(one: Notification, worker: int, before: Lease, after: Lease | None) -> Notification:
    hand = one.hands[worker]
    if hand.held is before:
        return one.with_hand(worker, hand._replace(held=after))
    return one.with_hand(worker, hand._replace(former=after))


# What is done to both notifications by one statement, one answer or one accident.


def claim_others(one: Notification, worker: int, rules: Rules) -> Notification | None:
    """The claim statement of a worker that has a suspect in hand."""
    row = one.tables.row
    is_suspect = row is not None and row.lost + database.is_from_another(row, worker) >= rules.suspicious
    if is_suspect and Guard.CLAIM_PASSES_BY_SUSPECTS not in rules.without:
        return None
    return claim(one, worker, rules)


def claim(one: Notification, worker: int, rules: Rules) -> Notification | None:
    """The claim statement, whose answer is on its way then."""
    hand = one.hands[worker]
    before, claimed = one.tables.row, database.claim(one.tables, worker, rules.without)
    if claimed is None:
        return None
    tables, got = claimed
    vanished = before is not None and before.worker not in {None, worker}
    coming = Answer(got.claim, suspect=got.lost >= rules.suspicious, delivered=got.delivered)
    taken = one._replace(tables=tables).with_hand(worker, hand._replace(coming=coming))
    return taken.noting(vanished=one.witness.vanished + vanished)


def give_back(one: Notification, worker: int, rules: Rules) -> Notification | None:
    """Of several suspects all but one, before anything is sent."""
    held = one.hands[worker].held
    if held is None or held.phase != "ready":
        return None
    left = one.with_hand(worker, one.hands[worker]._replace(held=None))
    return left._replace(tables=database.release(one.tables, worker, held.claim, rules.without))


def hear(one: Notification, worker: int, rules: Rules) -> Notification | None:
    """The claim's answer: `Leases.take`."""
    hand = one.hands[worker]
    answer, held = hand.coming, hand.held
    if answer is None:
        return None
    trusted = answer.trusted or Guard.LEASE_FROM_BEFORE_THE_STATEMENT in rules.without
    new = Lease(answer.claim, trusted, suspect=answer.suspect, delivered=answer.delivered)
    if held is None:
        return one.with_hand(worker, Hand(None, new, hand.former))
    if Guard.TAKE_ADOPTS_THE_LAPSED in rules.without:
        return one.with_hand(worker, Hand(None, new, held._replace(trusted=False)))
    going_on = held._replace(claim=answer.claim, trusted=trusted, delivered=answer.delivered)
    adopted = one.with_hand(worker, Hand(None, going_on, hand.former))
    before = one.send(held.claim)
    goes_on = before.begun and held.heard != "settled"
    return adopted.with_send(before._replace(claim=answer.claim)) if goes_on else adopted


def miss(one: Notification, worker: int, _: Rules) -> Notification | None:
    """The claim's answer is lost on its way: nobody knows of these leases."""
    hand = one.hands[worker]
    return one.with_hand(worker, hand._replace(coming=None)).noting(excused=True) if hand.coming else None


def endings(one: Notification, worker: int, *, slow: bool) -> Iterator[tuple[str, Notification]]:
    """Yield every way in which what this worker is sending may end, in words, before it is written down."""
    if one.kills and any(lease.phase == "sending" for lease in one.hands[worker].leases()):
        return
    for lease in one.hands[worker].leases():
        if lease.phase == "ended":
            assert lease.outcome is not None
            yield f"{lease.outcome.name} once more", one
        for outcome in _outcomes(lease):
            if slow and outcome is state.CUT_OFF:
                continue
            ended = _with_lease(one, worker, lease, lease._replace(phase="ended", is_last=False, outcome=outcome))
            unseen = lease.phase == "accepted" and outcome is not state.SENT
            yield outcome.name, ended.noting(excused=True) if unseen else ended


def _outcomes(lease: Lease) -> tuple[database.Outcome, ...]:
    ambiguous = state.AMBIGUOUS_AT_LAST if lease.is_last else state.AMBIGUOUS
    if lease.phase == "accepted":
        return state.SENT, ambiguous, state.CUT_OFF
    if lease.phase == "sending":
        # Ambiguous, too, may be what nobody accepted: then it is a retry by another name.
        return (state.DEAD, state.CUT_OFF) if lease.is_last else (state.RETRY, state.DEAD, state.CUT_OFF)
    return ()


def write(one: Notification, worker: int, rules: Rules) -> Notification | None:
    """The settle statement, for what has ended, and for that whose acknowledgement was lost."""
    waiting = [lease for lease in one.hands[worker].leases() if lease.phase in {"ended", "writing"}]
    unwritten = [lease for lease in waiting if lease.heard is None]
    for lease in unwritten:
        one = _written(one, worker, lease, rules)
    return one if unwritten else None


def _written(one: Notification, worker: int, lease: Lease, rules: Rules) -> Notification:
    assert lease.outcome is not None
    row, outcome = one.tables.row, lease.outcome
    written = lease.claim if lease.written is None else lease.written
    attempt = 0 if row is None else row.attempt
    if row is not None and lease.written == row.claim and row.worker is None:
        attempt -= outcome.used  # sent again, the statement carries what it did, and this row has it already
    tables, heard = database.settle(one.tables, worker, written, outcome, attempt=attempt, without=rules.without)
    writing = lease._replace(phase="writing", written=written, heard=heard)
    after = _with_lease(one._replace(tables=tables), worker, lease, writing)
    if tables != one.tables and heard == "settled":
        after = after.noting(tries=one.witness.tries + outcome.used, vanished=0)
    if outcome.name == "sent" and not one.tables.sent and row is not None and heard == "stale":
        is_held = row.worker is not None and (row.locked or not row.due)
        under_way = is_held and (row.worker != worker or one.send(row.claim).begun)
        after = after.noting(may_send=row.claim if under_way else None)
    return after


def acknowledge(one: Notification, worker: int, rules: Rules) -> Notification | None:
    """The settle statement's answer: what the settler makes of it."""
    hand = one.hands[worker]
    former, held = hand.former, hand.held
    if former is not None and former.heard is not None:
        former = _kept(former, rules, is_held=False)
    fresh = None
    if held is not None and held.heard is not None:
        anew = held.heard == "settled" and held.claim != held.written
        if anew and Guard.SETTLER_GIVES_BACK_THE_NEXT not in rules.without:
            # The engine gives it back at once. Here it may also be begun.
            held = fresh = Lease(held.claim, held.trusted, delivered=held.delivered)
        else:
            held = _kept(held, rules, is_held=True)
    after = hand._replace(former=former, held=held)
    if after == hand:
        return None
    heard = one.with_hand(worker, after)
    if fresh is not None:
        return heard.with_send(Send(fresh.claim))
    row = one.tables.row
    in_hand = hand.held is not None and row is not None and (row.claim, row.worker) == (hand.held.claim, worker)
    return heard.noting(forgotten=True) if in_hand and held is None else heard


def _kept(lease: Lease, rules: Rules, *, is_held: bool) -> Lease | None:
    """Return what is to be written once more; None for what has ended."""
    adopted = lease.heard in {"newer", "stale"} and lease.claim != lease.written
    again = (
        (lease.heard == "locked" and Guard.SETTLER_KEEPS_THE_LOCKED not in rules.without)
        or (lease.heard == "newer" and is_held)
        or (adopted and Guard.SETTLER_KEEPS_THE_ADOPTED not in rules.without)
    )
    return lease._replace(phase="ended", written=None, heard=None) if again else None


def unheard(one: Notification, worker: int, _: Rules) -> Notification | None:
    """The settle statement's answer is lost on its way: it will be sent again as it was."""
    hand = one.hands[worker]
    lost = [lease and (lease._replace(heard=None) if lease.heard else lease) for lease in (hand.held, hand.former)]
    after = Hand(hand.coming, *lost)
    return None if after == hand else one.with_hand(worker, after).noting(excused=True)


def expire(one: Notification, worker: int, _: Rules) -> Notification | None:
    """The worker's clock passes the deadline: it was frozen, or its lifeline was cut."""
    hand = one.hands[worker]
    coming = hand.coming and hand.coming._replace(trusted=False)
    held = hand.held and hand.held._replace(trusted=False)
    after = hand._replace(coming=coming, held=held)
    return None if after == hand else one.with_hand(worker, after).noting(excused=True)


def crash(one: Notification, worker: int, _: Rules) -> Notification | None:
    """The worker's process ends, with all that it knew. Whoever takes its place has another number in the database."""
    row = one.tables.row
    had = row is not None and row.worker == worker
    if one.hands[worker] == Hand() and not had:
        return None
    tables = one.tables._replace(row=row._replace(worker=GONE)) if row is not None and had else one.tables
    return one._replace(tables=tables).with_hand(worker, Hand()).noting(excused=True)
