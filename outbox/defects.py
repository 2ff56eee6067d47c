"""defects: what raised an exception that nobody expected, and where.

Never its words, nor a value: they may quote a message.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple


class Frame(NamedTuple):
    """One call on the way to it."""

    file: str
    module: str
    function: str
    line: int


@dataclass(frozen=True, slots=True)
class Defect:
    """An exception by its class, with the calls that led to it, the last one last."""

    kind: str
    frames: tuple[Frame, ...]

    @classmethod
    def of(cls, error: BaseException) -> Defect:
        """Return what can be told of an exception."""
        frames = tuple(
            Frame(
                "/".join(PurePath(frame.f_code.co_filename).parts[-3:]),
                str(frame.f_globals.get("__name__", "")),
                frame.f_code.co_qualname,
                line,
            )
            for frame, line in traceback.walk_tb(error.__traceback__)
        )
        return cls(type(error).__name__, frames)


def place(error: BaseException) -> str:
    """Return a defect's type and place, not its words: they may quote the message."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
