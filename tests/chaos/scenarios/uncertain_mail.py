"""A mail server that takes a message and hangs up before it has said so."""

from __future__ import annotations

import email
from typing import TYPE_CHECKING

from tests.chaos.scenario import scenario
from tests.hands import enqueue, rows
from tests.smtp_server import Drop

if TYPE_CHECKING:
    from tests.chaos.fleet import Fleet
    from tests.chaos.stage import Stage

_PHASE = "connection lost at the final dot"
_UNCERTAIN = "SELECT count(*) FROM outbox.attempts WHERE outcome = 'ambiguous' AND error LIKE %s"
_PARKED = "SELECT count(*) FROM outbox.dead_letters WHERE reason = 'in_doubt'"


@scenario(14, "a mail server takes messages, and hangs up before it has said so")
def uncertain_mail(stage: Stage) -> None:
    count = stage.pick(reduced=20, full=100)
    sink = stage.mail_sink()
    sink.keep_contents = True
    sink.keeps = lambda act: isinstance(act, Drop)
    sink.behave = lambda content: Drop() if len(sink.contents[_id(content)]) == 1 else None
    policies = ("retry", "stop")
    of: dict[str, list[str]] = {}
    for policy in policies:
        identities = [str(identity) for identity in enqueue(stage.url, count)]
        stage.ledger.acknowledge(identities)
        of[policy] = identities
        fleet = stage.fleet(mail=sink, policy={"on_ambiguous": policy, "backoff": ["200ms"], "jitter": 0})
        _drain(stage, fleet)
    retried = [sink.contents[identity] for identity in of["retry"]]
    stopped = [sink.contents[identity] for identity in of["stop"]]
    stage.exactly(
        2 * count, "attempts on record as ambiguous at the final dot", _count(stage, _UNCERTAIN, f"{_PHASE}%")
    )
    stage.exactly({2}, "retry: copies of a message", {len(copies) for copies in retried})
    stage.exactly(count, "retry: second copies with identical bytes", sum(len({*copies}) == 1 for copies in retried))
    stage.exactly({1}, "stop: copies of a message", {len(copies) for copies in stopped})
    stage.exactly(count, "stop: dead letters with the reason in_doubt", _count(stage, _PARKED))
    stage.account()
    stage.ran(f"{count} messages under each policy, every first acceptance unsaid")


def _id(content: bytes) -> str:
    return str(email.message_from_bytes(content)["Message-ID"]).strip("<>").partition("@")[0]


def _drain(stage: Stage, fleet: Fleet) -> None:
    fleet.start()
    stage.settle(timeout=30)
    fleet.stop()


def _count(stage: Stage, query: str, *parameters: str) -> int:
    return int(rows(stage.url, query, *parameters)[0][0])
