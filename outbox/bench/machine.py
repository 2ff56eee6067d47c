"""How busy the machine is that the clients and workers run on, as far as its system tells."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from outbox.bench.measured import Machine
from outbox.config.cpus import count_cpus

_STAT = Path("/proc/stat")  # Linux; its first line is the sum of all processors
_IDLE = (3, 4)  # the columns idle and iowait


def this_machine() -> Machine:
    """Return what it is, and how busy it was until now."""
    cpus = count_cpus()
    try:
        return Machine(cpus, load=os.getloadavg()[0] / (os.cpu_count() or cpus), busy=None)
    except OSError:  # not every system knows
        return Machine(cpus, load=None, busy=None)


class Watch:
    """Looks at the processors from its making on."""

    def __init__(self) -> None:
        self._before = _times()

    def busy(self) -> float | None:
        """Return which share of all processors' time was used since then, by anybody; None where nobody tells."""
        now = _times()
        if self._before is None or now is None or now[1] <= self._before[1]:
            return None
        return 1 - (now[0] - self._before[0]) / (now[1] - self._before[1])


def _times() -> tuple[int, int] | None:
    """Return how long the processors were idle, and how long there were any."""
    with suppress(OSError, ValueError, IndexError):
        times = [int(field) for field in _STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
        return sum(times[place] for place in _IDLE), sum(times)
    return None
