"""Mistakes as sentences: where it is, which key, what was wrong, what would be right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from outbox.errors import clean
from outbox.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["nearest", "sentences"]


def sentences(
    error: ValidationError, model: type[BaseModel], prefix: str, origin: Callable[[str], str], *, secret: bool = False
) -> list[str]:
    """Return one sentence for each mistake that pydantic found in a section.

    Args:
        error: what validating `model` raised.
        model: its fields' descriptions complete "it must be …", or explain, if secret.
        prefix: the section's dotted name, such as `channels.email`.
        origin: says where a key of the section was given: a file, a variable.
        secret: never show a value.
    """
    known = [field.alias or name for name, field in model.model_fields.items()]
    return [_sentence(detail, model, prefix, origin, known, secret=secret) for detail in error.errors()]


def _sentence(
    detail: ErrorDetails,
    model: type[BaseModel],
    prefix: str,
    origin: Callable[[str], str],
    known: Sequence[str],
    *,
    secret: bool,
) -> str:
    path = detail["loc"]
    key = str(path[0]) if path else ""
    dotted = ".".join(part for part in (prefix, key) if part)
    dotted += "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[1:])
    where = f"{origin(key)}: {dotted}"
    field = next((field for name, field in model.model_fields.items() if key in {name, field.alias}), None)
    wanted = field.description if field is not None else None
    hint = "" if not wanted else f" ({wanted})" if secret else f"; it must be {wanted}"
    message = detail["msg"].replace("Input should be", "must be", 1)
    match detail["type"]:
        case "extra_forbidden":
            return f"{where} is not a known key" + (f"; {nearest(key, known)}" if len(path) == 1 else "")
        case "missing":
            return f"{where} is missing{hint}"
        case "value_error":
            return f"{where}: {message.removeprefix('Value error, ')}"
        case "too_short" if secret and wanted and detail["input"] in ([], ()):
            return f"{where} is empty; it must be {wanted}"
        case "too_short" if isinstance(detail["input"], str):  # of a secret, which pydantic counts in items
            return f"{where} must have at least {detail['ctx']['min_length']} characters{hint}"
        case _ if hint and not secret:
            return f"{where} is {_shown(detail['input'])}{hint}"
        case _:
            return f"{where} {message}{hint}"


def _shown(value: object) -> str:
    return clean(json.dumps(value, ensure_ascii=False, default=str), 100)
