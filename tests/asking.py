"""Asking worker processes, at the port that their log names, whether they live and are ready."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.fleet import Fleet

_PAUSE = 0.1  # not to ask all the time of a machine that has other work


def health_at(fleet: Fleet) -> str:
    """Where the worker that was started last says whether it lives, as soon as it says where."""
    found = wait_until(lambda: re.findall(r"health at (http://\S+)/live", fleet.log()), timeout=60)
    return str(found[-1])


def asked(url: str, path: str) -> tuple[int, dict[str, Any]]:
    """The status, and what is wrong by the name of the check."""
    try:
        with urllib.request.urlopen(url + path, timeout=10) as response:  # noqa: S310 - of the test's own worker
            status, said = response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            status, said = error.code, json.load(error)
    assert said[path.strip("/")] is (status == 200)
    return status, {name: check["says"] for name, check in said["checks"].items() if not check["ok"]}


def wait_for(url: str, path: str, status: int, timeout: float = 60) -> dict[str, Any]:
    """Wait until it answers so; return what is wrong."""
    deadline = time.monotonic() + timeout
    while (found := asked(url, path))[0] != status:
        assert time.monotonic() < deadline, f"{path} says {found} after {timeout:g} s, not {status}"
        time.sleep(_PAUSE)
    return found[1]
