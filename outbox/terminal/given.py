"""What a person gives as an option's value, or the file after an @, or standard input for a dash: texts, and JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read_text(text: str) -> str:
    """Return the text itself, or what the file or standard input that it names holds.

    Raises:
        ValueError: the file cannot be read, or is not UTF-8.
    """
    try:
        if text == "-":
            return sys.stdin.read()
        return Path(text[1:]).read_text(encoding="utf-8") if text.startswith("@") else text
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte {error.start} cannot be read") from None
    except OSError as error:
        raise ValueError(f"{text[1:]} cannot be read: {error.strerror}") from None


def read_json(text: str) -> Any:
    """Return what is written as JSON; read as `read_text` does.

    Raises:
        ValueError: as `read_text`, or it is not JSON.
    """
    try:
        return json.loads(read_text(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
