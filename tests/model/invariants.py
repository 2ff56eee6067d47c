"""What must hold after every step: the promises of docs/guarantees.md, and what they rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.model.database import outcome_of
from tests.model.state import POISON, WORKERS, live_claims

if TYPE_CHECKING:
    from tests.model.state import Lease, Notification
    from tests.model.steps import Rules

# Words for an acceptance that nobody saw: the story of a notification must have one of them wherever a copy may repeat.
OWNS_UP = frozenset({"sent", "lost", "ambiguous", "deferred"})


def broken(before: Notification, after: Notification, rules: Rules) -> str | None:
    """Return the promise that this step broke, if any. Both are as they were, with nothing forgotten."""
    return (
        _broken_by_a_send(before, after, rules)
        or _broken_by_a_verdict(before, after)
        or _broken_by_the_end(before, after)
        or _broken_by_silence(after)
        or _broken_without_an_excuse(before, after, rules)
    )


def _broken_by_a_send(before: Notification, after: Notification, rules: Rules) -> str | None:
    for worker in WORKERS:
        lease = _just_begun(before, after, worker)
        if lease is None:
            continue
        row = before.tables.row
        if before.stage != "committed":
            return "a phantom is sent: its transaction was not committed"
        if before.witness.cancelled:
            return "a send begins after the cancellation"
        if row is None or (row.claim, row.worker) != (lease.claim, worker) or row.due or not lease.trusted:
            return "a send begins without a lease"
        if before.tables.sent and before.witness.may_send != lease.claim:
            return "a send begins although a success is on record"
        if before.witness.tries >= rules.attempts:
            return "a send begins after the last attempt"
        if before.witness.vanished >= rules.losses:
            return "a send begins of what made too many workers vanish"
        if sum(each.phase in {"sending", "accepted"} for each in after.hands[worker].leases()) > 1:
            return "a worker sends a notification twice at once"
    return None


def _just_begun(before: Notification, after: Notification, worker: int) -> Lease | None:
    was, now = before.hands[worker].held, after.hands[worker].held
    begun = was is not None and now is not None and was.phase == "ready" and now.phase == "sending"
    return was if begun else None


def _broken_by_a_verdict(before: Notification, after: Notification) -> str | None:
    """What a settle statement may not do, whoever sends it, and how often."""
    for worker in WORKERS:
        for new in _just_written(before, after, worker):
            assert new.outcome is not None
            assert new.written is not None
            is_new = new.heard == "settled" and before.tables != after.tables
            if is_new and new.outcome.used and not before.send(new.written).begun:
                return "an attempt is recorded that was never made"
            row = before.tables.row
            valid = row is not None and (row.claim, row.worker) == (new.written, worker)
            if new.outcome.name == "sent":
                if outcome_of(after.tables, new.written) != "sent":
                    return "a success is not recorded"
                if after.tables.row is not None and not _may_outlast_a_success(before, new.heard):
                    return "a success does not end what nobody else was sending"
            elif not valid and before.tables != after.tables:
                return "a stale verdict changes something"
    return None


def _just_written(before: Notification, after: Notification, worker: int) -> list[Lease]:
    was, now = before.hands[worker], after.hands[worker]
    return [
        new
        for old, new in ((was.held, now.held), (was.former, now.former))
        if new is not None and new.heard is not None and (old is None or old.heard is None)
    ]


def _may_outlast_a_success(before: Notification, heard: str | None) -> bool:
    row = before.tables.row
    assert row is not None
    return heard in {"locked", "newer"} or row.locked or (row.worker is not None and not row.due)


def _broken_by_the_end(before: Notification, after: Notification) -> str | None:
    tables, was = after.tables, before.tables.row
    if after.stage == "committed" and tables.row is None:
        if not (tables.sent or tables.letter == "open" or after.witness.cancelled):
            return "it is gone, and nothing says how it ended"
        if was is not None and not tables.sent and not _says_how(after):
            return "it is gone, and the last of its attempts does not say how"
    if tables.row is not None:
        if tables.letter == "open":
            return "it waits in the queue and has an open dead letter"
        if after.witness.cancelled:
            return "it is cancelled and waits in the queue"
        if was is not None and was.worker is tables.row.worker is None and was.due and not tables.row.due:
            return "it was due, and is put off by somebody who does not hold it"
    if after.witness.judged and not before.witness.judged and tables.sent:
        return "it is delivered, and is judged fit for a replay"
    return "a worker forgets what it has in hand" if after.witness.forgotten else None


def _says_how(after: Notification) -> bool:
    last = after.tables.attempts[-1][1] if after.tables.attempts else ""
    return last == "cancelled" if after.witness.cancelled else last.startswith(("dead", "ambiguous"))


def _broken_by_silence(after: Notification) -> str | None:
    """What was sent under a claim that nobody can name any more has had its last chance to be recorded."""
    if not after.witness.sends:
        return None
    live = live_claims(after)
    for send in after.witness.sends:
        said = outcome_of(after.tables, send.claim)
        if send.claim not in live and send.begun and said is None:
            return "a send left no trace"
        if send.accepted and said is not None and said not in OWNS_UP:
            return "a message went out, and its record denies it"
        if said == "sent" and not send.accepted:
            return "it is recorded as sent, and nobody accepted it"
    return None


def _broken_without_an_excuse(before: Notification, after: Notification, rules: Rules) -> str | None:
    if rules.killer and not after.kills and _dies_of_poison(before, after):
        return "it dies of poison, and was only beside it"
    if after.witness.excused:
        if _dies_of_poison(before, after) and before.witness.vanished < rules.losses:
            return "it dies of poison, and let its workers live"
        return None
    if after.witness.copies > 1:
        return "it was accepted twice without a crash, a lapse or a lost acknowledgement"
    if any(outcome == "lost" for _, outcome in after.tables.attempts):
        return "it is recorded as lost without a crash, a lapse or a lost acknowledgement"
    return None


def _dies_of_poison(before: Notification, after: Notification) -> bool:
    return any(
        now.held is not None and now.held.outcome == POISON and was.held is not None and was.held.outcome is None
        for was, now in zip(before.hands, after.hands, strict=True)
    )
