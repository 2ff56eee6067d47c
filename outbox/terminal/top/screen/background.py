"""Asks the terminal whether it is dark or light."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty

_PATIENCE = 0.2
# OSC 11 asks for the colour of the background; DA1, which every terminal answers, says when there is no answer to that.
_QUESTION = b"\x1b]11;?\x1b\\\x1b[c"
_COLOUR = re.compile(rb"\x1b\]11;rgba?:([0-9a-fA-F]{2,4})/([0-9a-fA-F]{2,4})/([0-9a-fA-F]{2,4})")
_ATTRIBUTES = re.compile(rb"\x1b\[\?[0-9;]*c")
_MIDDLE = 0.5


def is_light() -> bool:
    """Tell whether the terminal's background is light; False where it does not say."""
    try:
        answer = _ask(sys.stdin.fileno(), sys.stdout.fileno())
    except (OSError, termios.error, ValueError):
        return False
    return lightness(answer) > _MIDDLE


def lightness(answer: bytes) -> float:
    """Return how light the colour of an answer is, from 0 to 1 (Rec. 709); 0 where it has none.

    https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
    """
    found = _COLOUR.search(answer)
    if found is None:
        return 0.0
    red, green, blue = (int(part, 16) / float(16 ** len(part) - 1) for part in found.groups())
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _ask(source: int, target: int) -> bytes:
    """Return what the terminal answers; nothing of it is left for whoever reads next."""
    before = termios.tcgetattr(source)
    answer = b""
    try:
        tty.setcbreak(source, termios.TCSANOW)
        os.write(target, _QUESTION)
        deadline = time.monotonic() + _PATIENCE
        while not _ATTRIBUTES.search(answer):
            ready, _, _ = select.select([source], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                break
            answer += os.read(source, 1)  # what was typed after the answer is for whoever reads next
    finally:
        termios.tcsetattr(source, termios.TCSANOW, before)
    return answer
