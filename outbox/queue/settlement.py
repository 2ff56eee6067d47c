"""What is to be written about one claim: for `settle`, and for `deposit`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from outbox import arrays

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.outcomes import Outcome


class Settlement(NamedTuple):
    """What is to be written about one claim. Times are `time.monotonic()` of this process."""

    key: str
    """The notification's id, as text."""
    claim: int
    attempt: int
    """Deliveries tried before this claim."""
    outcome: Outcome
    started: float
    finished: float
    place: str | None = None
    """Where its row lay when it was claimed, if nothing of ours moved it since."""


def without_and_with_digests(statement: str) -> tuple[str, str]:
    """Return what settles without what stands in `/* */`, which is about digests, and what settles with it.

    Two statements, so that whoever renders nothing pays for no column and no parameter.
    """
    return _ABOUT_DIGESTS.sub("", statement), _ABOUT_DIGESTS.sub(r"\1", statement)


def columns_of_digests(settlements: Sequence[Settlement]) -> dict[str, str]:
    """Return the parameters that the second of these has besides; nothing where no attempt has digests."""
    digests = [one.outcome.digests for one in settlements]
    if not any(digests):
        return {}
    return {
        "content": arrays.octets([each and each.content for each in digests]),
        "origin": arrays.octets([each and each.template for each in digests]),
    }


_ABOUT_DIGESTS = re.compile(r"/\*(.*?)\*/")
