"""Time zones by name: those of the IANA database, as the system or the package tzdata has them."""

from __future__ import annotations

import difflib
import zoneinfo
from datetime import UTC
from functools import lru_cache
from reprlib import repr as shown
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo


@lru_cache
def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name.

    Raises:
        ValueError: there is none of that name; says which one resembles it.
    """
    if name.upper() == "UTC":
        return UTC  # the one object that cronsim knows not to be changed by anybody
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        close = difflib.get_close_matches(name[:64], known, n=1)
        hint = f"did you mean {close[0]}?" if close else "it is a name such as Europe/Berlin or UTC"
        raise ValueError(f"{shown(name)} is no time zone; {hint}") from None
