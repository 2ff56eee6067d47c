"""Why somebody must not be contacted: the words that mean something here, and what a word of your own may be."""

from __future__ import annotations

import difflib
import re

STOP = "stop"
HARD_BOUNCE = "hard_bounce"
COMPLAINT = "complaint"
MANUAL = "manual"
UNSUBSCRIBED = "unsubscribed"

_OWN = 1
_STRENGTH = {STOP: 5, HARD_BOUNCE: 4, COMPLAINT: 3, MANUAL: 2, UNSUBSCRIBED: 0}
KNOWN = tuple(_STRENGTH)
"""Those that are not a word of your own, the strongest first."""
STRONG = (STOP, HARD_BOUNCE, COMPLAINT)
"""Those that are not a matter of taste: lifting one takes a person who insists."""

_WORD = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TOO_LIKE = 0.8


def check_reason(reason: object) -> str:
    """Return the reason.

    Raises:
        ValueError: it is no word, or so like one that is known that it must be meant.
    """
    if not isinstance(reason, str) or not _WORD.fullmatch(reason):
        raise ValueError(
            f"must be one of {', '.join(KNOWN)}, or a word of your own: lower-case letters, digits and underscores"
        )
    if reason not in _STRENGTH and (close := difflib.get_close_matches(reason, KNOWN, 1, _TOO_LIKE)):
        raise ValueError(f"{reason!r} is no word that is known here; did you mean {close[0]}?")
    return reason


def strength(reason: str) -> int:
    """Return how strong a reason is: a weaker one does not take its place."""
    return _STRENGTH.get(reason, _OWN)


def as_reason(text: str) -> str:
    """Return what a provider gave as its reason in the form that reasons have."""
    word = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:63]
    return word if _WORD.fullmatch(word) else HARD_BOUNCE
