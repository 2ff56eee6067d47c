"""Whether there are colours: what the environment says of it, made into the two variables that our libraries heed.

https://no-color.org, https://bixense.com/clicolors and https://force-color.org; they agree that NO_COLOR wins.
"""

from __future__ import annotations

import os

_FORCES = ("FORCE_COLOR", "CLICOLOR_FORCE")
_OFF = ("0", "false", "no", "off")


def settle() -> None:
    """Leave NO_COLOR, or FORCE_COLOR, or neither, in the environment of this process and of those that it starts."""
    given = [os.environ.pop(name, "") for name in _FORCES]
    said = next((value for value in given if value), "")
    forced = bool(said) and said.lower() not in _OFF
    dull = os.environ.get("TERM") == "dumb" or os.environ.get("CLICOLOR") == "0" or bool(said)
    if os.environ.get("NO_COLOR") or (dull and not forced):
        os.environ["NO_COLOR"] = "1"
    elif forced:
        os.environ["FORCE_COLOR"] = "1"
