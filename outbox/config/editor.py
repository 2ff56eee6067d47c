"""The editor that somebody at a terminal likes best."""

from __future__ import annotations

import os
import shlex


def editor() -> list[str]:
    """Return the words of its command: `$VISUAL`, else `$EDITOR`, else vi."""
    for name in ("VISUAL", "EDITOR"):
        if words := shlex.split(os.environ.get(name, "")):
            return words
    return ["vi"]
