"""Which providers of a channel are held, because they refuse us (credentials, sender, quota), and since when to probe.

Kept by each worker for itself: being refused is cheap, and needs no agreement.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

HOLD = 30.0


class Holds:
    """The held providers among `names`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._until: dict[str, float] = {}

    def hold(self, name: str) -> None:
        """Send nothing through `name` for `HOLD` seconds."""
        self._until[name] = time.monotonic() + HOLD

    def resume(self, name: str) -> bool:
        """Note that `name` accepted something; returns whether it had been held."""
        return self._until.pop(name, None) is not None

    def may_try(self, name: str) -> bool:
        """Tell whether to send through `name` now. The first to ask after a hold becomes the probe, and renews it."""
        until = self._until.get(name)
        if until is None:
            return True
        if time.monotonic() < until:
            return False
        self.hold(name)
        return True

    def closed_for(self) -> float:
        """Return the seconds until some provider may be tried; 0 when one may be now."""
        if not self.all_held():
            return 0.0
        return max(min(self._until.values()) - time.monotonic(), 0.0)

    def all_held(self) -> bool:
        """Tell whether there is no provider that is not held, so that the next try is a probe."""
        return bool(self._names) and self._names == self._until.keys()
