"""Where a run is: what the numbers depend on beside the systems."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe(postgres: str, systems: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the machine, and what the systems said of themselves."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release().split("-")[0],
        "postgres": postgres,
        "python": platform.python_version(),
        "load_before": load(),
        "versions": {name: f"{said['version']} ({said['runtime']})" for name, said in systems.items()},
        "history": {name: said["history"] for name, said in systems.items()},
    }


def load() -> float:
    """Return the load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1].strip() if found else platform.machine()
