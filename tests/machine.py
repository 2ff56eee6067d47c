"""Everything that applications, people, time and workers do to notifications, as the rules of a state machine.

They call the functions of `outbox.queue`, and `tests.model` says what these must have done; after every step the tables
are compared with it. Time does not pass by itself: rows become due, and leases lapse, by a rule.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import outbox
from outbox import suppressions
from outbox.queue.claim import claim
from outbox.queue.discard import discard
from outbox.queue.release import release
from outbox.queue.renew import renew
from outbox.queue.replay import replay
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from outbox.queue.unblock import unblock
from tests.hands import EVERY_LEVEL
from tests.model import database
from tests.model.engine import ENDINGS, LONG, Engine, Taken
from tests.model.lines import Lines, One

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.claim import Claimed

    T = TypeVar("T")

ENDS = {"sent", "dead", "ambiguous", "expired", "suppressed", "cancelled"}

ANY = st.integers(0, 255)
WORKERS = st.sampled_from([1, 2, 3])
SESSIONS = st.sampled_from([(0,), (1,), (0, 1), (0, 1)])
KEYS = st.sampled_from([None, "a", "a", "b"])
PRIORITIES = st.sampled_from([5, 5, 0])
TO_ADA: dict[str, Any] = {"channel": "push", "recipient": "ada", "allow_autocommit": True}


def chosen(some: Sequence[T], number: int) -> T | None:
    return some[number % len(some)] if some else None


class Machine(RuleBasedStateMachine):
    engine: Engine
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.engine.clean()
        self.lines = Lines()
        self.taken: list[Taken] = []
        self.keys: dict[str, tuple[One, int]] = {}
        self.locked: One | None = None

    def committed(self) -> list[One]:
        return [one for one in self.lines.every if one.session is None]

    # Applications

    @rule(key=KEYS, priority=PRIORITIES, later=st.sampled_from([False, False, True]))
    def enqueue(self, *, key: str | None, priority: int, later: bool) -> None:
        run_at = timedelta(seconds=LONG) if later else None
        made = outbox.enqueue(self.engine.renewals, **TO_ADA, ordering_key=key, priority=priority, run_at=run_at)
        self._put(One(made.id, key, priority, later))

    @rule(sessions=SESSIONS, key=KEYS, priority=PRIORITIES)
    def enqueue_in_transactions_that_stay_open(self, sessions: Sequence[int], key: str | None, priority: int) -> None:
        for session in sessions:
            made = outbox.enqueue(self.engine.sessions[session], **TO_ADA, ordering_key=key, priority=priority)
            self._put(One(made.id, key, priority, later=False, session=session))

    @rule(name=st.sampled_from(["x", "y"]), text=st.sampled_from([1, 1, 2]))
    def enqueue_with_an_idempotency_key(self, name: str, text: int) -> None:
        one, said = self.keys.get(name, (None, text))
        given = TO_ADA | {"idempotency_key": name, "payload": {"text": text}}
        if text != said:
            with pytest.raises(outbox.IdempotencyConflict):
                outbox.enqueue(self.engine.renewals, **given)
            return
        made = outbox.enqueue(self.engine.renewals, **given)
        assert made.created == (one is None)
        if one is None:
            one = self._put(One(made.id, None, 5, later=False))
            self.keys[name] = one, text
        assert made.id == one.id

    def _put(self, one: One) -> One:
        self.lines.every.append(one)
        self.lines.stand(one, database.Row(due=not one.later))
        return one

    @rule(sessions=SESSIONS, rolls_back=st.sampled_from([False, False, True]))
    def end_transactions(self, sessions: Sequence[int], *, rolls_back: bool) -> None:
        for session in sessions:
            conn = self.engine.sessions[session]
            conn.rollback() if rolls_back else conn.commit()
        for one in [one for one in self.lines.every if one.session in sessions]:
            one.session = None
            if rolls_back:
                self.lines.every.remove(one)

    @rule(number=ANY)
    @precondition(lambda self: self.committed())
    def cancel(self, number: int) -> None:
        one = chosen([one for one in self.committed() if one is not self.locked], number)
        if one is None:
            return
        may = database.may_cancel(one.tables)
        found = outbox.cancel(self.engine.renewals, id=one.id, allow_autocommit=True)
        assert found.cancelled == may
        if may:
            one.tables = database.cancel(one.tables)

    @rule()
    @precondition(lambda self: self.committed())
    def suppress(self) -> None:
        """All that waits ends, the locked apart; then she may be contacted again, or nothing more would be sent."""
        ends = [one for one in self.committed() if database.may_cancel(one.tables)]
        to_ada: dict[str, Any] = {"channel": "push", "recipient": "ada"}
        with self.engine.app.transaction():
            found = suppressions.add(self.engine.app, **to_ada, reason="unsubscribed")
            assert suppressions.remove(self.engine.app, **to_ada).reason == "unsubscribed"
        in_hand = sum(one.tables.row is not None for one in self.committed() if one not in ends)
        assert (found.ended, found.in_hand) == (len(ends), in_hand)
        for one in ends:
            one.tables = database.cancel(one.tables, outcome="suppressed")

    @rule(number=ANY)
    @precondition(lambda self: self.locked is None and self.committed())
    def lock(self, number: int) -> None:
        self.locked = chosen([one for one in self.committed() if one.tables.row is not None], number)
        if self.locked is not None:
            self.engine.lock(self.locked.id)
            self.locked.change(locked=True)

    @rule()
    @precondition(lambda self: self.locked is not None)
    def unlock(self) -> None:
        assert self.locked is not None
        self.engine.locker.rollback()
        self.locked.change(locked=False)
        self.locked = None

    @rule(number=ANY)
    @precondition(lambda self: any(one.tables.letter for one in self.lines.every))
    def replay(self, number: int) -> None:
        one = chosen([one for one in self.lines.every if one.tables.letter], number)
        assert one is not None
        verdict = database.judge(one.tables)
        done = replay(self.engine.app, [one.id], max_replays=None)
        self.engine.app.commit()
        assert (done.ids, dict(done.skipped)) == (((one.id,), {}) if verdict == "replay" else ((), {one.id: verdict}))
        if verdict == "replay":
            one.tables = database.replay(one.tables)
            self.lines.stand(one, one.row)

    @rule(number=ANY)
    @precondition(lambda self: any(one.tables.letter for one in self.lines.every))
    def discard(self, number: int) -> None:
        one = chosen([one for one in self.lines.every if one.tables.letter], number)
        assert one is not None
        assert len(discard(self.engine.app, [one.id])) == (one.tables.letter == "open")
        self.engine.app.commit()
        one.tables = database.discard(one.tables)

    # Time

    @rule(number=ANY, of_a_lease=st.booleans())
    @precondition(lambda self: self.lines.every)
    def time_comes(self, number: int, *, of_a_lease: bool) -> None:
        """For a retry, a schedule, or the end of a lease."""
        waiting = [one for one in self.lines.queued() if not (one.row.due or one.blocked or one.row.locked)]
        waiting = [one for one in waiting if (one.row.worker is not None) == of_a_lease]
        one = chosen(waiting, number)
        if one is not None:
            self.engine.come_due(one.id)
            one.change(due=True)
            for taken in self.taken:
                taken.trusted = taken.trusted and taken.one is not one

    # Workers

    @rule(worker=WORKERS, limit=st.integers(1, 4))
    @precondition(lambda self: self.lines.every)
    def claim(self, worker: int, limit: int) -> None:
        claimable = self.lines.claimable()
        asked = claim(self.engine.work, channel="push", levels=EVERY_LEVEL, limit=limit, lease=LONG, worker=worker)
        got = {claimed.id: claimed for claimed in self.engine.run(asked)}
        these = [one for one in self.lines.every if one.id in got]
        left = [one.priority for one in claimable if one not in these]
        assert len(got) == len(these) == min(limit, len(claimable))
        assert max((one.priority for one in these), default=0) <= min(left, default=9), "urgent ones first"
        for one in these:
            self._take(worker, one, got[one.id])

    def _take(self, worker: int, one: One, claimed: Claimed) -> None:
        assert one.session is None, "what is not committed is claimed"
        assert not self.lines.overtaken(one), "it is begun before one ahead of it has ended"
        assert not any(taken.trusted for taken in self.taken if taken.one is one), "two have it in hand"
        assert claimed.claim > one.claims, "claims count up"
        expected = database.claim(one.tables, worker)
        assert expected is not None, "it was not due, or is locked"
        one.tables, said = expected
        one.claims = claimed.claim
        assert (claimed.claim, claimed.attempt, claimed.lost) == (said.claim, said.attempt, said.lost)
        assert (claimed.lost_by is not None, claimed.sent_by is not None) == (said.lapsed, said.delivered)
        self.taken.append(Taken(worker, one, claimed))

    def _one_taken(self, number: int, *, again: bool) -> Taken:
        """Choose one of those taken; with `again`, one whose row the same worker has claimed again since, if any."""
        stale = [each for each in self.taken if not each.is_valid()]
        since = [each for each in stale if each.one.tables.row is not None and each.one.row.worker == each.worker]
        return (chosen(since, number) if again else None) or self.taken[-1 - number % len(self.taken)]

    @rule(number=ANY, again=st.booleans())
    @precondition(lambda self: self.taken)
    def renew(self, number: int, *, again: bool) -> None:
        taken = self._one_taken(number, again=again)
        held = {taken.one.id: taken.claimed.claim}
        renewed, gone = renew(self.engine.renewals, held=held, lease=LONG, worker=taken.worker)
        taken.one.tables, said = database.renew(taken.one.tables, taken.worker, taken.claimed.claim)
        assert (len(renewed), len(gone)) == (said == "renewed", said == "gone")
        taken.trusted = said == "renewed" or (taken.trusted and said == "locked")

    @rule(number=ANY, again=st.booleans())
    @precondition(lambda self: self.taken)
    def release(self, number: int, *, again: bool) -> None:
        taken = self._one_taken(number, again=again)
        before = taken.one.tables
        held = {taken.one.id: taken.claimed.claim}
        given, _ = self.engine.run(release(self.engine.work, held=held, worker=taken.worker))
        taken.one.tables = database.release(before, taken.worker, taken.claimed.claim)
        assert len(given) == (taken.one.tables != before)
        taken.trusted = False

    @rule(number=ANY, ending=st.integers(0, len(ENDINGS) - 1), many=st.booleans(), knows_place=st.booleans())
    @precondition(lambda self: self.taken)
    def settle(self, number: int, ending: int, *, many: bool, knows_place: bool) -> None:
        batch: list[Taken] = []
        for taken in self.taken[-1 - number % len(self.taken) :][: 4 if many else 1]:
            # One of a line at most: of two that end in one statement, the model does not know which goes first.
            is_another = all(taken.one is not each.one for each in batch)
            is_apart = taken.one.key is None or all(taken.one.key != each.one.key for each in batch)
            if not batch or (taken.worker == batch[0].worker and is_another and is_apart):
                batch.append(taken)
        for place, taken in enumerate(batch):
            taken.ending = (ending + place) % len(ENDINGS) if taken.ending is None else taken.ending
        self._settle(batch, knows_place=knows_place)

    @rule(number=ANY, late=st.booleans())
    @precondition(lambda self: self.taken)
    def is_accepted(self, number: int, *, late: bool) -> None:
        taken = chosen([each for each in self.taken if each.ending is None and each.is_valid() != late], number)
        if taken is not None:
            taken.ending = 0
            self._settle([taken], knows_place=not late)

    def _settle(self, batch: Sequence[Taken], *, knows_place: bool) -> None:
        now = time.monotonic()
        endings = [ENDINGS[taken.ending or 0] for taken in batch]
        written = [
            Settlement(
                taken.claimed.key, taken.claimed.claim, taken.claimed.attempt, outcome, now, now,
                taken.claimed.place if knows_place and not taken.written else None,
            )
            for taken, (outcome, _) in zip(batch, endings, strict=True)
        ]  # fmt: skip
        settled, locked = self.engine.run(settle(self.engine.work, written, worker=batch[0].worker))
        for taken, (_, outcome) in zip(batch, endings, strict=True):
            said = self._settled(taken, outcome, [other.one for other in batch])
            is_later = said in {"locked", "newer"}
            assert (taken.claimed.key in settled, taken.claimed.key in locked) == (said == "settled", is_later)

    def _settled(self, taken: Taken, outcome: database.Outcome, besides: Sequence[One]) -> str:
        one, claimed, before = taken.one, taken.claimed, taken.one.tables
        is_stale = not taken.is_valid()
        one.tables, said = database.settle(before, taken.worker, claimed.claim, outcome, attempt=claimed.attempt)
        if outcome.name == "sent":
            assert database.outcome_of(one.tables, claimed.claim) == "sent", "a success is recorded, however late"
        elif is_stale:
            assert one.tables == before, "a stale failure changes nothing"
        taken.trusted = taken.trusted and said == "locked"
        taken.written = True
        if before.row is not None and one.tables.row is None:
            self.lines.leave(one, besides)
        return str(said)

    @rule()
    @precondition(lambda self: any(one.blocked for one in self.lines.every))
    def unblock(self) -> None:
        assert self.engine.run(unblock(self.engine.work)) == (self.lines.chore(), None)
        for one in self.lines.queued():
            assert not (one.blocked and self.lines.is_first(one)) or one.row.locked, "nobody is ahead, and it waits"

    # What holds after every step

    @invariant()
    def the_tables_are_as_the_model_says(self) -> None:
        type(self).steps += 1
        rows, attempts, letters = self.engine.see()
        committed = self.committed()
        for one in committed:
            row, tables = one.tables.row, one.tables
            is_so = rows.get(one.id), attempts.get(one.id, ()), letters.get(one.id, "")
            should_be = row and (row._replace(locked=False), one.blocked), tables.attempts, tables.letter
            assert is_so == should_be, f"{is_so}, and should be {should_be}"
            words = {outcome for _, outcome in attempts.get(one.id, ())}
            assert one.id in rows or words & ENDS, "it is gone, and nothing says how it ended"
        assert {*rows, *attempts, *letters} <= {one.id for one in committed}, "what was rolled back is there"
