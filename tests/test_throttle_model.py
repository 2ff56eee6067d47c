"""Whatever comes, ends, is taken back and passes: the throttle lets through what a model of it lets through."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outbox
from outbox.durations import Quota
from outbox.outcomes import Ambiguous, Dead, Retry, Sent, Surplus
from outbox.queue.admit import Asking, admit
from outbox.queue.claim import claim
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from outbox.retry import keep_back
from tests.hands import TROUBLE

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


_PUT_BACK = """
WITH back AS (SELECT make_interval(secs => %s) AS by), q AS (
    UPDATE outbox.queue SET run_at = run_at - by FROM back
), a AS (
    UPDATE outbox.attempts SET finished_at = finished_at - by FROM back
)
UPDATE outbox.throttles t
SET sent_at = ARRAY(SELECT s.at - by FROM unnest(t.sent_at) AS s (at)),
    held_at = ARRAY(SELECT h.at - by FROM unnest(t.held_at) AS h (at)), look_at = look_at - by
FROM back
"""


class Play:
    """One throttle of the database beside one of the model; every move is made with both."""

    def __init__(self, conn: psycopg.AsyncConnection[Any], model: Model) -> None:
        self.conn = conn
        self.model = model

    async def make(self, move: str, what: Any) -> None:
        model = self.model
        if move == "come":
            for priority in what:
                given: dict[str, Any] = {"recipient": "ada@example.org", "topic": "news", "priority": priority}
                await outbox.aenqueue(self.conn, channel="email", allow_autocommit=True, **given)
        elif move == "decide":
            await self.decide()
        elif move == "pass":
            await self.conn.execute(_PUT_BACK, [what * STEP])
            model.now += what * STEP
        elif move == "tend":
            await self.conn.execute("UPDATE outbox.throttles SET look_at = now() - interval '1 s'")
            await self.conn.execute("SELECT outbox.tend_throttles(10)")
        elif move == "cancel" and model.line:
            gone = model.line.pop(what % len(model.line))[1]
            await self.conn.execute("SELECT outbox.cancel(id => %s)", [gone])
        elif move == "end" and model.in_hand:
            one = list(model.in_hand.values())[what[0] % len(model.in_hand)]
            await self.settle(one, ENDS[what[1]])
            model.end(one, what[1])
        model.check()

    async def decide(self) -> None:
        """Claim what is due, and let through what both let through."""
        model, quota = self.model, Quota(self.model.number, PERIOD)
        claimed = await claim(self.conn, channel="email", levels=range(10), limit=100, lease=10 * PERIOD, worker=1)
        asking = [Asking(one.id, str(one.recipient), "news", quota, defers=model.defers) for one in claimed]
        verdicts = {each.id: each for each in await admit(self.conn, asking, channel="email")}
        refused = {identity for identity, verdict in verdicts.items() if verdict.wait is not None}
        assert {one.id for one in claimed} - refused == model.admit(claimed)
        model.in_hand |= {one.id: one for one in claimed if one.id not in refused}
        for one in (each for each in claimed if each.id in refused):
            verdict = verdicts[one.id]
            assert verdict.wait is not None
            assert 0 < verdict.wait <= PERIOD * (1 + len(model.line))
            assert verdict.in_line == (one.id in {identity for _, identity in model.line})
            surplus = Surplus("news", quota, "defer" if model.defers else "drop", verdict.wait)
            await self.settle(one, keep_back(surplus, expires_in=None, in_line=verdict.in_line))

    async def settle(self, one: Claimed, outcome: Outcome) -> None:
        now = time.monotonic()
        settled, _ = await settle(self.conn, [Settlement(one.key, one.claim, one.attempt, outcome, now, now)], worker=1)
        assert settled == {one.key}

    async def drain(self, longest: int) -> None:
        """Everybody who waits has a turn."""
        for _ in range(longest):
            for one in list(self.model.in_hand.values()):
                await self.settle(one, ENDS["sent"])
                self.model.end(one, "sent")
            if not self.model.line:
                return
            for move in (("pass", 10), ("tend", None), ("decide", None)):
                await self.make(*move)
        assert self.model.line == []


MOVES = st.one_of(
    st.tuples(st.just("come"), st.lists(st.integers(0, 9), min_size=2, max_size=4)),
    st.tuples(st.just("decide"), st.none()),
    st.tuples(st.just("decide"), st.none()),
    st.tuples(st.just("pass"), st.integers(1, 12)),
    st.tuples(st.just("tend"), st.none()),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("end"), st.tuples(st.integers(0, 9), st.sampled_from(sorted(ENDS)))),
)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(1, 3), st.booleans(), st.lists(MOVES, min_size=20, max_size=30))
def test_it_lets_through_what_the_model_lets_through(
    database_url: str,
    number: int,
    defers: bool,  # noqa: FBT001 - drawn
    moves: list[tuple[str, Any]],
) -> None:
    async def play() -> None:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            await conn.execute("DELETE FROM outbox.queue")
            await conn.execute("DELETE FROM outbox.throttles")
            await conn.execute("SET enable_seqscan = off; SET jit = off")
            both = Play(conn, Model(number, defers))
            for move in moves:
                await both.make(*move)
            await both.drain(2 * len(moves))

    asyncio.run(play())
