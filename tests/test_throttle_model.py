"""Whatever comes, ends, is taken back and passes: the throttle lets through what a model of it lets through."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.durations import Quota
from outbox.outcomes import Ambiguous, Dead, Retry, Sent, Surplus
from outbox.queue.admit import Asking, admit
from outbox.retry import keep_back
from tests import hands
from tests.hands import TROUBLE, enqueue, rows

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed

PERIOD = 10_000.0  # seconds; what the test itself takes is nothing beside a step
STEP = PERIOD / 10

ENDS: dict[str, Outcome] = {
    "sent": Sent(provider="p"),
    "dead": Dead(provider="p", failure=TROUBLE, reason="rejected"),
    "in doubt": Ambiguous(provider="p", failure=TROUBLE, reason="in_doubt"),
    "again": Retry(provider="p", failure=TROUBLE, delay=0.0),
}
REACHES = {"sent", "in doubt"}


@dataclass
class Model:
    """What a throttle is, without a database: who was sent something when, who is under way, and who waits."""

    number: int
    defers: bool
    now: float = 0.0
    reached: list[float] = field(default_factory=list)
    under_way: set[UUID] = field(default_factory=set)
    line: list[tuple[int, UUID]] = field(default_factory=list)
    in_hand: dict[UUID, Claimed] = field(default_factory=dict)

    def admit(self, claimed: list[Claimed]) -> set[UUID]:
        theirs = {one.id for one in claimed}
        before = {identity for _, identity in self.line}
        self.line += [(one.priority, one.id) for one in claimed if one.id not in before | self.under_way]
        self.line.sort(key=lambda each: each[0])  # stable: in a priority, who came first
        recent = [at for at in self.reached if at > self.now - PERIOD]
        free = max(self.number - len(recent) - len(self.under_way), 0)
        going = {identity for _, identity in self.line[:free]} & theirs
        self.line = [each for each in self.line if each[1] not in going and (self.defers or each[1] in before)]
        self.under_way |= going
        return theirs & self.under_way

    def end(self, claimed: Claimed, how: str) -> None:
        del self.in_hand[claimed.id]
        if how != "again":
            self.under_way.discard(claimed.id)
        if how in REACHES:
            self.reached.append(self.now)

    def check(self) -> None:
        for at in self.reached:
            assert sum(at - PERIOD < other <= at for other in self.reached) <= self.number


def let_pass(url: str, seconds: float) -> None:
    """Put back every time on record."""
    rows(
        url,
        """
        WITH back AS (SELECT make_interval(secs => %s) AS by), q AS (
            UPDATE outbox.queue SET run_at = run_at - by FROM back
        ), a AS (
            UPDATE outbox.attempts SET finished_at = finished_at - by FROM back
        )
        UPDATE outbox.throttles t
        SET sent_at = ARRAY(SELECT s.at - by FROM unnest(t.sent_at) AS s (at)),
            held_at = ARRAY(SELECT h.at - by FROM unnest(t.held_at) AS h (at)), look_at = look_at - by
        FROM back
        """,
        seconds,
    )


async def decide(url: str, model: Model) -> None:
    claimed = await hands.claim(url, limit=100, lease=10 * PERIOD)
    quota = Quota(model.number, PERIOD)
    asking = [Asking(one.id, str(one.recipient), "news", quota, defers=model.defers) for one in claimed]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        verdicts = {each.id: each for each in await admit(conn, asking, channel="email")}
    refused = {identity for identity, verdict in verdicts.items() if verdict.wait is not None}
    assert {one.id for one in claimed} - refused == model.admit(claimed)
    for one in claimed:
        if one.id not in refused:
            model.in_hand[one.id] = one
            continue
        verdict = verdicts[one.id]
        assert verdict.wait is not None
        assert 0 < verdict.wait <= PERIOD * (1 + len(model.line))
        assert verdict.in_line == (one.id in {identity for _, identity in model.line})
        surplus = Surplus("news", quota, "defer" if model.defers else "drop", verdict.wait)
        await hands.settle(url, one, keep_back(surplus, expires_in=None, in_line=verdict.in_line))


async def play(url: str, model: Model, moves: list[tuple[str, Any]]) -> None:
    for move, what in moves:
        if move == "come":
            for priority in what:
                enqueue(url, recipient="ada@example.org", topic="news", priority=priority)
        elif move == "decide":
            await decide(url, model)
        elif move == "pass":
            let_pass(url, what * STEP)
            model.now += what * STEP
        elif move == "tend":
            rows(url, "UPDATE outbox.throttles SET look_at = now() - interval '1 s'")
            rows(url, "SELECT outbox.tend_throttles(10)")
        elif move == "cancel" and model.line:
            gone = model.line.pop(what % len(model.line))[1]
            rows(url, "SELECT outbox.cancel(id => %s)", gone)
        elif move == "end" and model.in_hand:
            one = list(model.in_hand.values())[what[0] % len(model.in_hand)]
            await hands.settle(url, one, ENDS[what[1]])
            model.end(one, what[1])
        model.check()


MOVES = st.one_of(
    st.tuples(st.just("come"), st.lists(st.integers(0, 9), min_size=2, max_size=4)),
    st.tuples(st.just("decide"), st.none()),
    st.tuples(st.just("decide"), st.none()),
    st.tuples(st.just("pass"), st.integers(1, 12)),
    st.tuples(st.just("tend"), st.none()),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("end"), st.tuples(st.integers(0, 9), st.sampled_from(sorted(ENDS)))),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(1, 3), st.booleans(), st.lists(MOVES, min_size=25, max_size=40))
def test_it_lets_through_what_the_model_lets_through(
    database_url: str,
    number: int,
    defers: bool,  # noqa: FBT001 - drawn
    moves: list[tuple[str, Any]],
) -> None:
    rows(database_url, "DELETE FROM outbox.queue; DELETE FROM outbox.throttles")
    model = Model(number, defers)
    asyncio.run(play(database_url, model, moves))
    # In the end everybody who waits has a turn, in the order of the line.
    for _ in range(2 * len(moves)):
        for one in list(model.in_hand.values()):
            asyncio.run(hands.settle(database_url, one, ENDS["sent"]))
            model.end(one, "sent")
        if not model.line:
            break
        asyncio.run(play(database_url, model, [("pass", 10), ("tend", None), ("decide", None)]))
    assert model.line == []
