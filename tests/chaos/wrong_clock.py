"""`python -m tests.chaos.wrong_clock SECONDS STEP MODULE …`: a program in a process whose wall clock is wrong.

It is SECONDS ahead (or behind), and jumps between that and STEP more every half second, as a clock that is being set.
Only what asks for the time of day is deceived: `time.monotonic()` goes on as it should, and so does the database.
"""

from __future__ import annotations

import datetime as dt
import runpy
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_EVERY = 0.5
_TRUE: type = dt.datetime


def deceive(ahead: float, step: float) -> None:
    """Make the time of day wrong, for all that is imported from now on."""
    true_time, monotonic = time.time, time.monotonic

    def wrong_time() -> float:
        return true_time() + ahead + step * (int(monotonic() / _EVERY) % 2)

    time.time = wrong_time
    time.time_ns = lambda: int(wrong_time() * 1e9)
    for name in ("localtime", "gmtime"):
        setattr(time, name, _at_the_wrong_time(getattr(time, name)))
    dt.datetime = _WrongDatetime  # type: ignore[misc]


def _at_the_wrong_time(true: Callable[[float], time.struct_time]) -> Callable[..., time.struct_time]:
    return lambda seconds=None: true(time.time() if seconds is None else seconds)


class _Meta(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _TRUE)


class _WrongDatetime(dt.datetime, metaclass=_Meta):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(time.time(), tz)


if __name__ == "__main__":
    deceive(float(sys.argv[1]), float(sys.argv[2]))
    del sys.argv[:3]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
