"""How high each part of the screen is, on terminals of every size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_EDGES = 3  # a border above and below, and the titles of the columns
_LEAST = {"queue": 5, "middle": 5}
_TOP, _HIGHER_TOP, _HIGHEST_TOP = 7, 11, 17
_TALL = 32


def heights(lines: int, rows: Mapping[str, int], warnings: int) -> dict[str, int]:
    """Return how many lines each part gets of so many, with so many rows in it; 0: there is no room for it.

    The queue, and what is in the middle below it, get what they need in turns; what nobody needs is the chart's.
    """
    tall = lines >= _TALL
    given = {"top": _HIGHER_TOP if tall else _TOP, **_LEAST, "workers": _EDGES + 1 if tall else 0}
    given["warnings"] = min(warnings, 6 if tall else 2)
    left = lines - 2 - sum(given.values())  # the first line and the last are always there
    for part in ("warnings", "top", "middle"):
        if left < 0:
            left += given[part] - (part == "warnings" and warnings > 0)
            given[part] = int(part == "warnings" and warnings > 0)
    wanting = True
    while left > 0 and wanting:
        wanting = False
        for part, many in rows.items():
            if left > 0 and 0 < given[part] < many + _EDGES:
                given[part] += 1
                left -= 1
                wanting = True
    if left > 0:
        more = min(left, _HIGHEST_TOP - given["top"]) if given["top"] else 0
        given["top"] += more
        given["queue"] += left - more
    return given
