"""The drivers in JavaScript, copied to where what they import is installed: it is looked for beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path

from benchmarks.debian import CACHE
from benchmarks.errors import Absent

_SOURCE = Path(__file__).parent / "systems" / "node"
_LOCK = (_SOURCE / "package-lock.json").read_bytes()
_LIMIT = 600.0  # seconds

FOLDER = CACHE / f"node-{sha256(_LOCK).hexdigest()[:12]}"


@cache
def install() -> None:
    """Copy the drivers to `FOLDER`, and install there what the lock file names, unless that has been done.

    From then on `node` is the Node of the lock file, where that has one for this machine: what is installed here may be
    older than the drivers need.

    Raises:
        Absent: there is no Node here, or npm failed.
    """
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        raise Absent("there is no Node here")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file in _SOURCE.iterdir():
        if file.is_file():
            shutil.copy(file, FOLDER)
    complete = FOLDER / "complete"
    if not complete.exists():
        _install(npm)
        complete.touch()
    os.environ["PATH"] = f"{FOLDER / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"


def _install(npm: str) -> None:
    """Replace whatever is installed there by what the lock file names."""
    done = subprocess.run([npm, "ci"], check=False, capture_output=True, text=True, cwd=FOLDER, timeout=_LIMIT)
    if done.returncode:
        raise Absent(f"npm ci failed: {done.stderr.strip()[-300:]}")
