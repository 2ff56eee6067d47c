"""A page that is followed to the letter: its blocks are typed into terminals, and what it shows has to be seen there.

Prose says where: "in terminal 3" is for the block that comes next, and for those after it until another is named.
"Ctrl-C in terminal 3" is pressed there. A `python` block whose first line is a comment with a name is that file.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

_BETWEEN = 10.0  # seconds from one Ctrl-C to the next
PATIENCE = 240.0  # seconds; where a whole suite shares two cores, an environment takes a minute or more
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
# psql's too: they are as long as what is above them, and a time that ends in zeros is printed without these
_LINES_OF_TABLES = re.compile(r"[\u2500-\u257f]|-{3,}[-+]*")


@dataclass(frozen=True, slots=True)
class Step:
    """A block of the page, the terminal that it belongs to, and where Ctrl-C is pressed before it."""

    language: str
    text: str
    terminal: int
    interrupted: tuple[int, ...]


def steps(page: str) -> Iterator[Step]:
    """The blocks of a page, in order."""
    end, terminal = 0, 1
    for block in _BLOCK.finditer(page):
        prose, end = page[end : block.start()], block.end()
        named = re.findall(r"terminal (\d)", prose)
        terminal = int(named[-1]) if named else terminal
        yield Step(block[1], block[2], terminal, tuple(map(int, re.findall(r"Ctrl-C in terminal (\d)", prose))))


class Terminal:
    """A bash on a terminal, in which somebody types, and all that was to be seen there."""

    def __init__(self, folder: Path, env: Mapping[str, str], first: str) -> None:
        self._ours, theirs = pty.openpty()
        self._seen, self._read_to, self._typed = "", 0, 0
        # The leader of a new session that opens a terminal owns it: Ctrl-C becomes a signal for what runs there.
        shell = 'exec bash --noprofile --norc --noediting <"$0" >"$0" 2>&1'
        command = ["/bin/sh", "-c", shell, os.ttyname(theirs)]
        self._shell = subprocess.Popen(command, stdin=theirs, cwd=folder, env=env, start_new_session=True)
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.type(f"stty -echo rows 50 cols 200; PS1=; PS2=; set +H\n{first}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.type("\x03")
        self.type("exit\n")
        try:
            self._shell.wait(30)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        self._reader.join(10)
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type, as fast as the terminal takes it."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> bool:
        """Press Ctrl-C, and again until whatever runs there has ended."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.type("\x03")
            with contextlib.suppress(AssertionError):
                return wait_until(self._is_at_its_shell, _BETWEEN)
        raise AssertionError("what runs there does not end")

    def _is_at_its_shell(self) -> bool:
        return os.tcgetpgrp(self._ours) == self._shell.pid

    def finish(self, commands: str) -> None:
        """Type commands that end, and wait until they have; all of them have to succeed."""
        self._typed += 1
        marks = [f"<{self._typed}:{each}>" for each in ("done", "failed")]
        self._read_to = len(self._seen)
        # in pieces, so that what a shell echoes of it is no mark
        self.type(f"trap 'printf \"<%s:%s>\\n\" {self._typed} failed' ERR\n{commands}trap - ERR\n")
        self.type(f'printf "<%s:%s>\\n" {self._typed} done\n')
        self._wait_for(lambda seen: marks[0] in seen, f"the end of\n{commands}")
        assert marks[1] not in self._seen[self._read_to :], self._seen[self._read_to :]

    def sees(self, expected: str) -> None:
        """Wait until all of it was to be seen since what was seen last, line by line, in its order."""
        pattern = re.compile(r".*?".join(_pieces(expected)), re.DOTALL)
        self._wait_for(lambda seen: pattern.search(_plain(seen)), expected)
        self._read_to = len(self._seen)

    def _wait_for(self, found: Callable[[str], object], expected: str) -> None:
        try:
            wait_until(lambda: found(self._seen[self._read_to :]), PATIENCE)
        except AssertionError:
            seen = self._seen[self._read_to :]
            raise AssertionError(f"this was expected\n{expected}\nand this seen\n{seen}") from None

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self._ours, 65_536)
            except OSError:  # Linux says EIO when the other end is closed
                return
            self._seen += part.decode(errors="replace")


def _plain(seen: str) -> str:
    return " ".join(_LINES_OF_TABLES.sub(" ", _COLOUR.sub("", seen)).split())


def _pieces(expected: str) -> list[str]:
    """What has to be there, between whatever else: the parts of each line that stand between ellipses."""
    parts = (part for line in expected.splitlines() for part in line.split("…"))
    return [re.escape(_plain(part)) for part in parts if part.strip()]
