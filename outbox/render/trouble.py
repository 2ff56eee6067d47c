"""What went wrong in a template, and where: by files, lines and variables, never by a payload's values."""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING

from jinja2 import TemplateNotFound, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from outbox.render.formats import hint
from outbox.sandbox import COMPILED, MissingName, Unfit

if TYPE_CHECKING:
    from outbox.templates.source import Files


def while_rendering(error: Exception, files: Files) -> str:
    """Say what went wrong while rendering, and where: Jinja2 puts the template's own lines into the traceback."""
    if isinstance(error, TemplateSyntaxError):  # in a file that it includes
        return while_reading("", error)
    lines = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    file, line = next(((name, line) for name, line in reversed(lines) if name.startswith(COMPILED)), ("", 0))
    if not file:
        return _trouble(error, "")
    file = file.removeprefix(COMPILED)
    source = files.get(file)
    return f"{file}, line {line}: {_trouble(error, source if isinstance(source, str) else '', line)}"


def while_reading(file: str, error: Exception) -> str:
    """Say what is wrong with a file, and where."""
    match error:
        case TemplateSyntaxError():
            return f"{error.name or file}, line {error.lineno}: {hint(error.message or 'it is no template')}"
        case _:
            return f"{file}: {error}"


def _trouble(error: Exception, source: str, line: int = 1) -> str:
    """Return what went wrong. A name is only shown if the template has it: one computed at run time may be a value."""
    match error:
        case MissingName(message=str(name)):
            written = re.search(rf"[\w.]*\b{re.escape(name)}\b", "\n".join(source.splitlines()[line - 1 :]))
            return f"{written[0]!r} is missing from the payload" if written else "the payload lacks a name it gives"
        case TemplateNotFound(name=name):
            return (
                f"there is no {name}"
                if isinstance(name, str) and name in source
                else "there is no template of the name it computes"
            )
        case SecurityError():
            return f"the sandbox refuses {error.message}"
        case UndefinedError() | Unfit():
            return str(error.message)
        case _:
            return type(error).__name__
