"""Connections that die after a commit was done and before anybody heard of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from tests.chaos.ledger import BUSINESS_TABLE
from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows

if TYPE_CHECKING:
    from uuid import UUID

    from tests.chaos.stage import Stage

_WAITING = 100
_USED = "SELECT count(*) FROM outbox.attempts WHERE attempt > 1"


@scenario(2, "the connection dies after COMMIT of an enqueue, and the application tries again")
def ambiguous_enqueues(stage: Stage) -> None:
    orders = stage.pick(reduced=20, full=200)
    sink = stage.http_sink(idempotent=False)
    rows(stage.url, BUSINESS_TABLE)
    proxy, url = stage.proxy()
    trap = proxy.trap(b"COMMIT", times=orders)
    other_id = unheard = 0
    for number in range(orders):
        label = f"order-{number}"
        stage.ledger.attempt([label])
        conn = psycopg.connect(url)
        first = _take_order(conn, label)
        try:
            conn.commit()
        except psycopg.OperationalError:
            unheard += 1
        with psycopg.connect(stage.url) as again:
            other_id += _take_order(again, label).id != first.id
        stage.ledger.acknowledge([label])
    with stage.watched_sessions():
        stage.fleet(http=sink).start(1, "--drain")[0].process.wait(60)
    stage.exactly(orders, "commits that were cut off", min(unheard, trap.sprung))
    stage.exactly(0, "retries that were told another id", other_id)
    audit = stage.account(orders=True)
    stage.exactly(orders, "notifications", audit.committed)
    stage.exactly(orders, "deliveries", sum(stage.ledger.deliveries.values()))
    stage.ran(f"{orders} enqueues, every COMMIT done and its answer swallowed")


def _take_order(conn: psycopg.Connection[Any], label: str) -> outbox.Enqueued:
    conn.execute("INSERT INTO public.orders VALUES (%s) ON CONFLICT DO NOTHING", [label])
    recipient = f"{label}@example.org"
    return outbox.enqueue(conn, channel="http", recipient=recipient, group_key=label, idempotency_key=label)


@scenario(3, "the connection dies after a settlement or a claim was committed")
def ambiguous_claims_and_settlements(stage: Stage) -> None:
    cuts = stage.pick(reduced=5, full=200)
    lease = stage.pick(reduced=1.0, full=5.0)
    sink = stage.http_sink(idempotent=False)
    proxy, url = stage.proxy()
    fleet = stage.fleet(url=url, http=sink, worker={"lease": lease, "concurrency": 5}, policy={"max_lost": 100})
    fleet.start(2, ready=True)  # what a worker asks before it claims is not to be cut
    settlements = proxy.trap(purpose="outbox settle", times=cuts, chance=lambda: stage.random.random() < 0.3)
    claims = proxy.trap(purpose="outbox claim", times=cuts, mode="rows", chance=lambda: stage.random.random() < 0.3)
    with stage.watched_sessions():
        deadline = time.monotonic() + 60 + 2 * cuts
        while min(settlements.sprung, claims.sprung) < cuts and time.monotonic() < deadline:
            if stage.unsettled() < _WAITING:
                stage.ledger.acknowledge(enqueue(stage.url, _WAITING, channel="http"))
            stage.say(f"{settlements.sprung} settlements and {claims.sprung} claims of {cuts} are cut off")
            time.sleep(0.05)
        last_cut = time.time()
        stage.settle(timeout=10 * lease)
    stage.exactly([0, 0], "exit codes", fleet.stop())
    audit = stage.account()
    lost = _lost_claims(stage.url)
    late = max((stage.ledger.first_at[str(identity)] for identity, _ in lost), default=last_cut) - last_cut
    stage.exactly((cuts, cuts), "settlements and claims cut off", (settlements.sprung, claims.sprung))
    stage.exactly(0, "copies", audit.copies)
    stage.exactly(0, "attempts used up by it", rows(stage.url, _USED)[0][0])
    stage.at_least(cuts, "lost claims on record", len(lost))
    stage.exactly(len(lost), "of these, followed by a later claim", _followed(stage.url, lost))
    stage.at_most(lease + 2, "the last lost claim came back after", late, " s")
    stage.ran(f"{cuts} settlements and {cuts} claims cut off, of {audit.committed:,} notifications; lease {lease:g} s")


def _lost_claims(url: str) -> list[tuple[UUID, int]]:
    found = rows(url, "SELECT notification_id, claim FROM outbox.attempts WHERE outcome = 'lost'")
    return [(identity, claim) for identity, claim in found]


def _followed(url: str, lost: list[tuple[UUID, int]]) -> int:
    last = dict(rows(url, "SELECT notification_id, max(claim) FROM outbox.attempts GROUP BY 1"))
    return sum(last[identity] > claim for identity, claim in lost)
