"""What the demo's mail server does to whom: a hash of the address and the seed decides, so anybody can work it out."""

from __future__ import annotations

import enum
import hashlib


class Fate(enum.Enum):
    """How mail to one address is treated. Where it says "first", the next try is accepted."""

    ACCEPTED = "accepted at once"
    SLOW = "accepted after 0.3 to 1.2 seconds"
    GREYLISTED = "refused with 451 4.7.1 at RCPT at first"
    BUSY = "refused with 451 4.3.0 after the message, the first time or two"
    CUT_OFF = "hung up on at DATA, before the message, at first"
    NOT_TAKEN = "hung up on after the final dot at first, the message thrown away"
    TAKEN = "hung up on after the final dot at first, the message on record: the next try makes a second copy"
    UNKNOWN = "refused with 550 5.1.1 at RCPT, always"
    UNWANTED = "refused with 554 5.7.1 after the message, always"
    FULL = "refused with 452 4.2.2 at RCPT, always"


PERCENT: dict[Fate, float] = {
    Fate.SLOW: 2.0,
    Fate.GREYLISTED: 3.0,
    Fate.BUSY: 2.0,
    Fate.CUT_OFF: 1.5,
    Fate.NOT_TAKEN: 0.5,
    Fate.TAKEN: 1.0,
    Fate.UNKNOWN: 2.0,
    Fate.UNWANTED: 0.5,
    Fate.FULL: 0.3,
}
"""How many in a hundred addresses; the others are accepted at once."""


def fate(recipient: str, seed: int) -> Fate:
    """Return what happens to mail for this address, always the same for one seed."""
    place = chance(recipient, seed, "fate") * 100
    for one, share in PERCENT.items():
        place -= share
        if place < 0:
            return one
    return Fate.ACCEPTED


def chance(recipient: str, seed: int, purpose: str) -> float:
    """Return a number from 0 up to 1 that only these three decide."""
    digest = hashlib.sha256(f"{seed} {purpose} {recipient}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64
