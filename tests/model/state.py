"""What can be known about one notification: by the database, by both workers, and by nobody but the witness."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from tests.model.database import Outcome, Tables

Stage: TypeAlias = Literal["open", "committed", "rolled back"]
Phase: TypeAlias = Literal["ready", "sending", "accepted", "ended", "writing"]

WORKERS = (0, 1)
GONE = 2
"""In the database, the number of a process that has ended."""

SENT = Outcome("sent")
RETRY = Outcome("retry", again="later")
DEAD = Outcome("dead", letter=True)
AMBIGUOUS = Outcome("ambiguous", again="later")
AMBIGUOUS_AT_LAST = Outcome("ambiguous", letter=True)
CUT_OFF = Outcome("deferred", used=False, again="at once")
"""Stopped in the middle of a send: no attempt is used, and nobody knows whether it went out."""
POISON = Outcome("dead of poison", used=False, letter=True)
EXHAUSTED = Outcome("dead of exhaustion", used=False, letter=True)
DELIVERED = Outcome("suppressed", used=False)
"""Recorded as sent before this claim: ended without a send."""


class Lease(NamedTuple):
    """One delivery in a worker's hands, from the claim to the moment that it hears that the outcome is written."""

    claim: int
    trusted: bool = True
    """The worker's own clock is before the deadline."""
    phase: Phase = "ready"
    is_last: bool = False
    """Once begun: it was the last attempt, as far as its claim knew."""
    outcome: Outcome | None = None
    """From `ended` on."""
    written: int | None = None
    """While `writing`: the claim that the statement carries; the lease may have a newer one by then."""
    heard: str | None = None
    """While `writing`: what the statement answered."""
    suspect: bool = False
    delivered: bool = False


class Answer(NamedTuple):
    """What a claim brought, on its way to the worker."""

    claim: int
    trusted: bool = True
    suspect: bool = False
    delivered: bool = False


class Hand(NamedTuple):
    """What one worker has of it: `held` is in `Leases`; `former` is still written though another took its place."""

    coming: Answer | None = None
    held: Lease | None = None
    former: Lease | None = None

    def leases(self) -> list[Lease]:
        """Return both, oldest first."""
        return [lease for lease in (self.former, self.held) if lease is not None]


class Send(NamedTuple):
    """What really became of one claim."""

    claim: int
    begun: bool = False
    accepted: bool = False


class Witness(NamedTuple):
    """What happened, whether or not anybody wrote it down."""

    sends: tuple[Send, ...] = ()
    excused: bool = False
    """A crash, a lapse or a lost acknowledgement touched it: from here on a copy may repeat."""
    copies: int = 0
    """Acceptances while not excused."""
    tries: int = 0
    """Attempts used up, since it was enqueued or replayed."""
    vanished: int = 0
    """Workers that vanished with it, one after another."""
    may_send: int | None = None
    """After a success was recorded: the newer claim that was under way already."""
    judged: bool = False
    """A replay has judged it, and has not committed yet."""
    replays: int = 0
    cancelled: bool = False
    forgotten: bool = False
    """A worker dropped what it had in hand: neither settled nor given back, and the worker lives."""


class Notification(NamedTuple):
    """One notification, all over the system."""

    stage: Stage = "open"
    tables: Tables = Tables()
    hands: tuple[Hand, Hand] = (Hand(), Hand())
    witness: Witness = Witness()
    kills: bool = False
    """Whoever begins to send it dies of it."""

    def with_hand(self, worker: int, hand: Hand) -> Notification:
        """Return it with what this worker has replaced."""
        hands = (hand, self.hands[1]) if worker == 0 else (self.hands[0], hand)
        return self._replace(hands=hands)

    def noting(self, **seen: object) -> Notification:
        """Return it with something more known to the witness."""
        return self._replace(witness=self.witness._replace(**seen))  # type: ignore[arg-type]

    def send(self, claim: int) -> Send:
        """Return what really became of a claim."""
        return next((send for send in self.witness.sends if send.claim == claim), Send(claim))

    def with_send(self, send: Send) -> Notification:
        """Return it with this known about a claim."""
        others = tuple(each for each in self.witness.sends if each.claim != send.claim)
        return self.noting(sends=tuple(sorted((*others, send))))


ABSENT = Notification("rolled back")


def live_claims(one: Notification) -> set[int]:
    """Return the claims that somebody can still name: every other is settled history."""
    live = claims_in_hand(one)
    if one.tables.row is not None:
        live.add(one.tables.row.claim)
    return live


def claims_in_hand(one: Notification) -> set[int]:
    """Return the claims that the workers can name, or will when an answer arrives."""
    named: set[int] = set()
    for coming, held, former in one.hands:
        if coming is not None:
            named.add(coming.claim)
        for lease in (held, former):
            if lease is not None:
                named.add(lease.claim)
                if lease.written is not None:
                    named.add(lease.written)
    return named


def canonical(one: Notification) -> Notification:
    """Return the one form of all that differ only in settled history, and in how high the claims have counted.

    Nothing asks of a claim but whether it equals another, and which is the later.
    """
    tables, witness = one.tables, one.witness
    row = tables.row
    in_hand = claims_in_hand(one)
    live = in_hand if row is None else in_hand | {row.claim}
    highest = _highest(tables)
    names = {claim: name for name, claim in enumerate(sorted(live | highest))}
    accepted = {send.claim for send in witness.sends if send.accepted}
    attempts = tuple(
        (names[claim], _in_general(outcome, is_accepted=claim in accepted, is_live=claim in live))
        for claim, outcome in tables.attempts
        if claim in names
    )
    recorded = {claim for claim, _ in tables.attempts}
    sends = tuple(
        send._replace(claim=names[send.claim])
        for send in witness.sends
        if send.claim in in_hand or (send.claim in live and send.claim not in recorded)
    )
    return Notification(
        one.stage,
        Tables(None if row is None else row._replace(claim=names[row.claim]), attempts, tables.letter, tables.sent),
        (_renamed(one.hands[0], names), _renamed(one.hands[1], names)),
        Witness(
            sends,
            witness.excused,
            0 if witness.excused else witness.copies,
            0 if row is None else witness.tries,
            0 if row is None else witness.vanished,
            names[witness.may_send] if witness.may_send in live else None,
            witness.judged,
            witness.replays,
            witness.cancelled,
            witness.forgotten,
        ),
        one.kills,
    )


def _highest(tables: Tables) -> set[int]:
    """What a replay counts on from; while it is in the queue, only what would break all rules by being higher."""
    highest = tables.attempts[-1][0] if tables.attempts else 0
    is_asked = bool(tables.letter) if tables.row is None else highest > tables.row.claim
    return {highest} if is_asked else set()


def _in_general(outcome: str, *, is_accepted: bool, is_live: bool) -> str:
    """What is recorded is read by nobody but for these: whether it may still turn, and whether it owns up."""
    if outcome in {"lost", "sent"} and is_live:
        return outcome
    return "ambiguous" if is_accepted else "over"


def _renamed(hand: Hand, names: dict[int, int]) -> Hand:
    coming, held, former = hand
    if coming is None and held is None and former is None:
        return hand
    if coming is not None:
        coming = coming._replace(claim=names[coming.claim])
    return Hand(coming, held and _renamed_lease(held, names), former and _renamed_lease(former, names))


def _renamed_lease(lease: Lease, names: dict[int, int]) -> Lease:
    written = None if lease.written is None else names[lease.written]
    return lease._replace(claim=names[lease.claim], written=written)


def mirrored(one: Notification) -> Notification:
    """Return it with the two workers' names exchanged."""
    tables = one.tables
    row = tables.row
    if row is not None and row.worker in WORKERS:
        tables = tables._replace(row=row._replace(worker=1 - row.worker))
    return Notification(one.stage, tables, (one.hands[1], one.hands[0]), one.witness, one.kills)
