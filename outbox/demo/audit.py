"""audit: do the testimonies of the application, the database and the mail server add up? Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outbox.demo.tally import Tally, latency, throughput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.demo.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Line:
    """One claim of the closing table, and how many each witness counts; None where it is not asked."""

    claim: str
    application: int | None
    database: int | None
    mail_server: int | None
    holds: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The closing report."""

    lines: Sequence[Line]
    figures: Mapping[str, int]
    copies: Mapping[str, int]
    """Second copies by their reason, as in `tally.REASONS`."""
    attempts: Mapping[str, int]
    """Attempts by outcome."""
    dead_letters: Mapping[str, int]
    """Dead letters by reason and code."""
    latency_seconds: Mapping[str, float]
    accepted_per_second: float

    @property
    def holds(self) -> bool:
        """Whether everything adds up."""
        return all(line.holds for line in self.lines)


def audit(evidence: Evidence) -> Verdict:
    """Judge the evidence."""
    tally = Tally(evidence)
    outcomes = Counter(outcome for each in evidence.notifications for outcome in each.outcomes)
    dead = Counter(_why(each.dead_reason, each.dead_code) for each in evidence.notifications if each.dead_reason)
    return Verdict(
        lines=[*_about_commits(tally), *_about_delivery(tally)],
        figures=_figures(tally),
        copies=dict(tally.copies.most_common()),
        attempts=dict(outcomes.most_common()),
        dead_letters=dict(dead.most_common()),
        latency_seconds=latency(evidence),
        accepted_per_second=throughput(evidence),
    )


def _why(reason: str, code: str | None) -> str:
    return f"{reason} ({code})" if code else reason


def _about_commits(tally: Tally) -> list[Line]:
    """What was committed is there once, and what was rolled back is nowhere."""
    committed, undone = tally.committed, tally.rolled_back
    traces = len(undone & tally.users) + len(undone & tally.recipients.keys())
    approached = len(undone & tally.approached)
    repeated = {recipient: tally.recipients[recipient] for recipient in tally.repeated}
    return [
        Line("committed signups are users", len(committed), len(tally.users), None, tally.users == committed),
        Line(
            "each has one notification",
            len(committed),
            tally.recipients.total(),
            None,
            tally.recipients == Counter(committed),
        ),
        Line(
            "repeated with the same key: still one",
            len(repeated),
            sum(repeated.values()),
            None,
            set(repeated.values()) <= {1},
        ),
        Line("rolled back: no trace, nothing sent", len(undone), traces, approached, not traces and not approached),
    ]


def _about_delivery(tally: Tally) -> list[Line]:
    """What was committed was received, or is a dead letter; and what came twice is explained."""
    received = tally.received.keys()
    delivered = received - tally.in_doubt
    ended, seen = len(tally.sent) + len(tally.dead), len(received | tally.dead)
    unaccounted, lost = len(tally.all) - ended, len(tally.lost)
    second, explained = tally.second_copies, tally.copies.total()
    refused_all = tally.dead == tally.letters and tally.given_up == tally.refused
    return [
        Line("delivered", None, len(tally.sent), len(delivered), tally.sent == delivered),
        Line("dead letters: refused for good", None, len(tally.dead), len(tally.refused), refused_all),
        Line(
            "delivered + dead letters = committed",
            len(tally.committed),
            ended,
            seen,
            ended == seen == len(tally.committed),
        ),
        Line("lost", None, unaccounted, lost, not unaccounted and not lost),
        Line("second copies, each with its reason", None, explained, second, explained == second),
    ]


def _figures(tally: Tally) -> dict[str, int]:
    return {
        "committed": len(tally.committed),
        "rolled_back": len(tally.rolled_back),
        "rolled_back_sent": len(tally.rolled_back & tally.approached),
        "repeated": len(tally.repeated),
        "keys_refused": tally.keys_refused,
        "users": len(tally.users),
        "notifications": len(tally.all),
        "delivered": len(tally.sent),
        "dead_letters": len(tally.dead),
        "received": len(tally.received),
        "lost": len(tally.lost),
        "second_copies": tally.second_copies,
        "second_copies_explained": tally.copies.total(),
    }
