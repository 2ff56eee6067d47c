"""New environments with the wheel in them, and what is installed here beside it, without a package index.

Run as a program it stands in for `pip` in the environment of `VIRTUAL_ENV`: `python -m tests.installing install …`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement


def build_wheel(checkout: Path, directory: Path) -> Path:
    """Build the wheel of a checkout into a directory."""
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(directory)]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    return next(directory.glob("*.whl"))


def install_wheel(wheel: Path, environment: Path) -> Path:
    """Install nothing but the wheel; return the environment's packages."""
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    return packages


def with_all_that_they_need(*names: str) -> set[str]:
    """Return these distributions and all that they require, as they are installed here."""
    found: set[str] = set()
    asked = [Requirement(name) for name in names]
    while asked:
        wanted = asked.pop()
        extras = wanted.extras or {""}
        if str(wanted) in found:
            continue
        found.add(str(wanted))
        for line in distribution(wanted.name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                needed.marker = None
                asked.append(needed)
    return {Requirement(each).name for each in found}


def borrow(names: set[str], packages: Path) -> None:
    """Link these distributions, as they are installed here, into an environment, and write their programs."""
    programs = packages.parents[2] / "bin"
    for name in names:
        its = distribution(name)
        for top in {file.parts[0] for file in its.files or ()} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(its.locate_file(top))))
        for entry in its.entry_points.select(group="console_scripts"):
            program = programs / entry.name
            if not program.exists():
                program.write_text(
                    f"#!{programs / 'python'}\nimport sys\nfrom {entry.module} import {entry.attr.split('.')[0]}\n"
                    f"sys.exit({entry.attr}())\n"
                )
                program.chmod(0o755)


def main(arguments: list[str], environment: Path) -> None:
    """Do what `pip install` with these arguments would: a path is a checkout of ours, all else a distribution."""
    assert arguments[0] == "install", arguments
    wanted: list[str] = []
    for argument in arguments[1:]:
        try:
            wanted.append(str(Requirement(argument)))
        except InvalidRequirement:
            checkout, _, extras = argument.partition("[")
            with tempfile.TemporaryDirectory() as directory:
                packages = install_wheel(build_wheel(Path(checkout), Path(directory)), environment)
            wanted.append("outbox" + (f"[{extras}" if extras else ""))
    (packages,) = environment.glob("lib/python3*/site-packages")
    borrow(with_all_that_they_need(*wanted) - {"outbox"}, packages)


if __name__ == "__main__":
    main(sys.argv[1:], Path(os.environ["VIRTUAL_ENV"]))
