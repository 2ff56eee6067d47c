"""lines: how a record becomes a line on standard error: words for people, JSON for programs, never more than one write.

A pipe takes so much at once (PIPE_BUF, 4,096 bytes on Linux) that what several processes write does not mix; what would
be longer is cut.
"""

from __future__ import annotations

import json
import logging
import select
import sys
import time
from typing import Any

from outbox.logs.facts import facts

LONGEST = select.PIPE_BUF - 1
_CUT_TO = (1_000, 200, 40)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_COLOURS = {logging.DEBUG: "2", logging.WARNING: "33", logging.ERROR: "1;31", logging.CRITICAL: "1;31"}
_write = json.JSONEncoder(ensure_ascii=False, default=str, separators=(", ", ": ")).encode


def configure(
    *,
    style: str = "auto",
    level: str = "info",
    colours: bool = True,
    process: int | None = None,
) -> None:
    """Send the log to standard error: `text`, one sentence a line, or `json`, one object a line.

    `auto` is text where a person looks, else JSON. `level` is debug, info, warning or error. Colours are for terminals
    alone. `process` is the number that a worker process has under its supervisor; each of its lines carries it.
    """
    person = sys.stderr.isatty()
    as_text = style == "text" or (style == "auto" and person)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Words(process, colours=colours and person) if as_text else JsonLines(process))
    logger = logging.getLogger("outbox")
    logger.handlers[:] = [handler]
    logger.setLevel(_LEVELS[level])
    logger.propagate = False


class JsonLines(logging.Formatter):
    """One JSON object a line; also for a handler of your own, in which records that are not ours become lines, too."""

    def __init__(self, process: int | None = None) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._process is not None:
            line["process"] = self._process
        if (worker := getattr(record, "worker", None)) is not None:
            line["worker"] = worker
        if (event := getattr(record, "event", None)) is not None:
            line["event"] = type(event).__name__
            line |= facts(event)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        written = _write(line)
        return written if _fits(written) else _cut(line)


class Words(logging.Formatter):
    """One sentence a line, after the time and the level."""

    def __init__(self, process: int | None = None, *, colours: bool = False) -> None:
        super().__init__()
        self._which = "" if process is None else f"[{process}] "
        self._colours = _COLOURS if colours else {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        level = f"{record.levelname:<7}"
        if colour := self._colours.get(record.levelno):
            level = f"\033[{colour}m{level}\033[0m"
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{moment} {level} {self._which}{' '.join(record.getMessage().splitlines())}"
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line if _fits(line) else line.encode(errors="replace")[: LONGEST - 3].decode(errors="ignore") + "…"


def _fits(line: str) -> bool:
    return len(line) * 4 < LONGEST or len(line.encode(errors="replace")) <= LONGEST


def _cut(line: dict[str, Any]) -> str:
    """Return the line with its texts and lists cut so far that it fits; its keys are few, and their names short."""
    written = ""
    for length in _CUT_TO:
        written = _write({key: _shorter(value, length) for key, value in line.items()} | {"cut": True})
        if _fits(written):
            break
    return written


def _shorter(value: Any, length: int) -> Any:
    if isinstance(value, str) and len(value) > length:
        return f"{value[:length]}…"
    if isinstance(value, list):
        return [_shorter(each, length) for each in value[: length // 10]]
    if isinstance(value, dict):
        return dict(list(value.items())[: length // 10])
    return value
