"""The priorities that a person names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.errors import ConfigError
from outbox.messages import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEVELS = 10


def levels(names: Sequence[str] | None) -> list[int]:
    """Return the levels that `names` (or digits) stand for; without any, all of them.

    Raises:
        ConfigError: for each name that stands for none.
    """
    if not names:
        return list(range(_LEVELS))
    known = PRIORITIES | {str(level): level for level in range(_LEVELS)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError([f"--priority {name}: is none of {', '.join(PRIORITIES)}, nor 0 to 9" for name in unknown])
    return sorted({known[name] for name in names})
