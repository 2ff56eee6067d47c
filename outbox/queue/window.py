"""How long, and how many, a digest gathers: what a caller asked for, checked and put into the text of the statement."""

from __future__ import annotations

from datetime import timedelta
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from outbox.errors import InvalidNotification

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY_LIMIT = 255
_THROTTLES = "throttle:"  # outbox.throttle_digest_key() makes them
_MOST_ITEMS = 10_000
_LONGEST = timedelta(days=30)
# A notification that joins others has no time, and no identity, of its own.
_NOT_BESIDE = ("idempotency_key", "run_at", "expires_at", "supersedes", "unless_read", "unless_sent")


class Window(NamedTuple):
    """A checked window: every value as text. Its fields are the parameters of the statement."""

    digest_key: str
    digest_window: str
    digest_max_items: str
    digest_max_wait: str | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self | None:
        """Return the window that the arguments of an enqueue ask for, or None if they ask for none.

        Raises:
            InvalidNotification: naming the field, what was wrong, and what would be right.
        """
        key, window, wait = (given[name] for name in ("digest_key", "digest_window", "digest_max_wait"))
        if key is None:
            if window is not None or wait is not None:
                raise InvalidNotification("digest_key", "is missing: it says what is gathered together")
            return None
        if not isinstance(key, str) or not 1 <= len(key) <= _KEY_LIMIT or not key.isprintable():
            raise InvalidNotification("digest_key", f"must be a text of 1 to {_KEY_LIMIT} printable characters")
        if key.startswith(_THROTTLES):
            raise InvalidNotification("digest_key", f"must not begin with {_THROTTLES}, as the keys of throttles do")
        for name in _NOT_BESIDE:
            if given.get(name):
                raise InvalidNotification(name, "does not go with digest_key: what joins others has none of its own")
        most = given["digest_max_items"]
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= _MOST_ITEMS:
            raise InvalidNotification("digest_max_items", f"{shown(most)} is no number from 1 to {_MOST_ITEMS}")
        seconds = _seconds("digest_window", window)
        longest = None if wait is None else _seconds("digest_max_wait", wait)
        if wait is not None and wait < window:
            raise InvalidNotification("digest_max_wait", "is shorter than digest_window")
        return cls(key, seconds, str(most), longest)


def _seconds(field: str, value: Any) -> str:
    if not isinstance(value, timedelta):
        raise InvalidNotification(field, f"must be a timedelta such as 10 minutes, not {type(value).__name__}")
    if not timedelta(0) < value <= _LONGEST:
        raise InvalidNotification(field, f"must be longer than nothing, and at most {_LONGEST.days} days")
    return f"{value.total_seconds():.6f} seconds"
