"""Programs of Debian's that are not installed: their packages, unpacked into a folder of the benchmarks' own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.errors import Absent

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE = Path(sys.prefix) / "cache"  # of the environment, which goes with it
_TO_BE_INSTALLED = re.compile(r"^Inst (\S+)", re.MULTILINE)
_LIMIT = 300.0  # seconds


@dataclass(frozen=True)
class Program:
    """A program, and the root of the tree that it was unpacked into; `/` where it is installed."""

    path: Path
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which it finds its libraries."""
        if self.root == Path("/"):
            return dict(os.environ)
        libraries = {str(library.parent) for library in self.root.rglob("*.so*")}
        return os.environ | {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


@cache
def find(name: str, package: str) -> Program:
    """Return a program that is on PATH, or comes with a package that Debian has and this machine lacks.

    Raises:
        Absent: it is neither here nor to be had.
    """
    if installed := shutil.which(name):
        return Program(Path(installed), Path("/"))
    root = CACHE / "debian" / package
    if not (root / "complete").exists():
        _unpack(package, root)
        (root / "complete").touch()
    for folder in ("usr/bin", "usr/sbin"):
        if (found := root / folder / name).exists():
            return Program(found, root)
    raise Absent(f"Debian's {package} has no {name}")


def _unpack(package: str, root: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise Absent(f"{package} is not installed, and this is no Debian to take it from")
    shutil.rmtree(root, ignore_errors=True)
    archives = root / "archives"
    archives.mkdir(parents=True)
    plan = _run(["apt-get", "install", "--simulate", "--no-install-recommends", package], root)
    names = _TO_BE_INSTALLED.findall(plan) or [package]
    _run(["apt-get", "download", *names], archives)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "--extract", str(archive), str(root)], root)
    shutil.rmtree(archives)


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, timeout=_LIMIT)
    if done.returncode:
        raise Absent(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-300:]}")
    return done.stdout
