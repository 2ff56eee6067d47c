"""The evidence sorted: who says what about which notification. Pure."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.demo.evidence import Evidence

DROPPED, KILLED, OVERDUE = "dropped", "killed", "overdue"
REASONS = {
    DROPPED: "the connection ended after the final dot, before the answer",
    KILLED: "the worker was killed after the mail was accepted, before that was written down",
    OVERDUE: "a lease ran out while the mail was being sent, and another worker sent it too",
}
"""Why a mail can come twice, though no step was left out."""


class Tally:
    """Sets and counts; `copies` are those received after the first, by what the attempts on record say about them."""

    def __init__(self, evidence: Evidence) -> None:
        known, notifications = evidence.application, evidence.notifications
        accepted = [entry for entry in evidence.ledger if entry.event == "accepted"]
        takers = {entry.recipient for entry in accepted}

        self.committed = frozenset(known.committed)
        self.rolled_back = frozenset(known.rolled_back)
        self.repeated = known.repeated_in_vain | known.repeated_anew
        self.keys_refused = len(known.repeated_in_vain)

        self.users = evidence.users
        self.recipients = Counter(each.recipient for each in notifications)
        self.all = {each.id for each in notifications}
        self.sent = {each.id for each in notifications if each.state == "sent"}
        self.dead = {each.id for each in notifications if each.state == "dead"}
        self.letters = {each.id for each in notifications if each.dead_reason is not None}
        self.in_doubt = {each.id for each in notifications if each.dead_reason == "in_doubt"}
        self.given_up = {each.recipient for each in notifications if each.id in self.dead - self.in_doubt}

        self.received = Counter(entry.id for entry in accepted)
        self.approached = {entry.recipient for entry in evidence.ledger}
        self.refused = {entry.recipient for entry in evidence.ledger if entry.event == "refused"} - takers
        self.lost = self.all - self.received.keys() - self.dead
        self.second_copies = self.received.total() - len(self.received)
        self.copies = _explained(evidence, self.received)


def _explained(evidence: Evidence, received: Counter[str | None]) -> Counter[str]:
    """Count the copies that attempts explain: one left in doubt, one lost with its worker, one sent beside another."""
    reasons: Counter[str] = Counter()
    for each in evidence.notifications:
        had = Counter(each.outcomes)
        extra = received[each.id] - 1
        for reason, explains in ((DROPPED, had["ambiguous"]), (KILLED, had["lost"]), (OVERDUE, had["sent"] - 1)):
            count = max(min(extra, explains), 0)
            reasons[reason] += count
            extra -= count
    return +reasons


def latency(evidence: Evidence) -> dict[str, float]:
    """Return percentiles of the seconds from just before the COMMIT to the acceptance of the first copy.

    Over all, and over those that were accepted at their first attempt.
    """
    first: dict[str, float] = {}
    for entry in evidence.ledger:
        if entry.event == "accepted":
            first.setdefault(entry.recipient, entry.at)
    committed = evidence.application.committed
    took = {recipient: at - committed[recipient] for recipient, at in first.items() if recipient in committed}
    at_first = {each.recipient for each in evidence.notifications if list(each.outcomes) == ["sent"]}
    smooth = [seconds for recipient, seconds in took.items() if recipient in at_first]
    return {
        "p50": _percentile(took.values(), 0.5),
        "p99": _percentile(took.values(), 0.99),
        "first_attempt_p50": _percentile(smooth, 0.5),
        "first_attempt_p99": _percentile(smooth, 0.99),
    }


def throughput(evidence: Evidence) -> float:
    """Return the messages accepted a second, from the first COMMIT to the last acceptance."""
    accepted = [entry.at for entry in evidence.ledger if entry.event == "accepted"]
    committed = evidence.application.committed.values()
    return len(accepted) / (max(accepted) - min(committed)) if accepted and committed else 0.0


def _percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[ceil(share * len(ordered)) - 1] if ordered else 0.0
