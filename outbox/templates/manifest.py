"""template.toml: what a template says of itself, beside its texts."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox.durations import parse
from outbox.errors import ConfigError
from outbox.messages import PRIORITIES
from outbox.spelling import nearest
from outbox.templates import json_schema, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from outbox.templates.source import Files
    from outbox.templates.variables import Check

FILE = "template.toml"
_SAMPLE = re.compile(r"sample(?:-[^/]*)?\.json")
_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LOCALE = re.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]{2,8})*", re.IGNORECASE)
_LONGEST_TOPIC = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a template says of itself. Without a template.toml, it says nothing, and is all of this."""

    channels: tuple[str, ...] = ()
    """Those that it is for; none means any."""
    topic: str | None = None
    priority: str | int | None = None
    expires_in: float | None = None
    """Seconds, from when it is due."""
    locale: str = "en"
    """The language of the files that stand under no locale."""
    inline_css: bool = True
    """Whether what its <style> says goes to where it applies."""
    text_from_html: bool = True
    """Whether an email with no body.txt has one made of its HTML."""
    samples: tuple[str, ...] = ()
    """Paths of payloads to try it with."""
    check: Check | None = None
    """Tells what is wrong with a payload."""


def read(template: str, files: Files) -> Manifest:
    """Return the manifest of a template.

    Raises:
        ConfigError: with every mistake in it; each sentence begins with the path of a file.
    """
    folder, path = f"{template}/", f"{template}/{FILE}"
    samples = tuple(sorted(file for file in files if file.startswith(folder) and _is_sample(file[len(folder) :])))
    if path not in files:
        return Manifest(samples=samples)
    text = files[path]
    if not isinstance(text, str):
        raise ConfigError([f"{path}: {text.problem}"])
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path} is not TOML: {error}"]) from None
    return _manifest(template, table, files, samples)


def _is_sample(name: str) -> bool:
    return _SAMPLE.fullmatch(name) is not None


def _manifest(template: str, table: Mapping[str, Any], files: Files, samples: tuple[str, ...]) -> Manifest:
    path = f"{template}/{FILE}"
    problems: list[str] = []
    found: dict[str, Any] = {"samples": samples}
    readers = _readers(template, files)
    for key, value in table.items():
        if key not in readers:
            problems.append(f"{path}: {key} is not a known key; {nearest(key, readers)}")
            continue
        field, reader = readers[key]
        if field in found and field != "samples":
            problems.append(f"{path}: {key} is one too many: give channel or channels, variables or schema")
            continue
        try:
            found[field] = reader(value)
        except ValueError as error:
            where = "" if str(error).startswith(key) else f"{key} "
            problems.append(f"{path}: {where}{error}")
    if problems:
        raise ConfigError(problems)
    return Manifest(**found)


def _readers(template: str, files: Files) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """Return, by key of the file, the field that it fills, and what reads it."""
    return {
        "channel": ("channels", lambda value: (_channel(value),)),
        "channels": ("channels", lambda value: tuple(_channel(each) for each in _list(value))),
        "topic": ("topic", _topic),
        "priority": ("priority", _priority),
        "expires_in": ("expires_in", _duration),
        "locale": ("locale", _locale),
        "inline_css": ("inline_css", _boolean),
        "text_from_html": ("text_from_html", _boolean),
        "samples": ("samples", lambda value: tuple(_beside(template, each, files) for each in _list(value))),
        "variables": ("check", lambda value: variables.check_of(_table(value))),
        "schema": ("check", lambda value: _schema(template, value, files)),
    }


def _channel(value: Any) -> str:
    if not isinstance(value, str) or not _CHANNEL.fullmatch(value):
        raise ValueError(f'is {value!r}; it must be the name of a channel, such as "email"')
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f'is {value!r}; it must be a list, such as ["…"]')
    return value


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        wanted = 'must be a table: write [variables], and below it name = "string"'
        raise ValueError(wanted)  # noqa: TRY004 - the end of a sentence, for whoever reads the file
    return value


def _topic(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_TOPIC:
        raise ValueError(f'is {value!r}; it must be a text of 1 to {_LONGEST_TOPIC} characters, such as "orders"')
    return value


def _priority(value: Any) -> str | int:
    if isinstance(value, str) and value in PRIORITIES:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 9:  # noqa: PLR2004 - the CHECK's bounds
        return value
    raise ValueError(f"is {value!r}; it must be {', '.join(PRIORITIES)}, or a number from 0 (first) to 9 (last)")


def _duration(value: Any) -> float:
    seconds = parse(value)
    if not seconds:
        raise ValueError(f'is {value!r}; it must be above zero, such as "1h"')
    return seconds


def _locale(value: Any) -> str:
    if not isinstance(value, str) or not _LOCALE.fullmatch(value):
        raise ValueError(f'is {value!r}; it must be a language, such as "en" or "pt-BR"')
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"is {value!r}; it must be true or false")  # noqa: TRY004 - as above
    return value


def _beside(template: str, value: Any, files: Files) -> str:
    path = f"{template}/{value}"
    if not isinstance(value, str) or path not in files:
        raise ValueError(f"is {value!r}; it must be a file beside it, which this is not")
    return path


def _schema(template: str, value: Any, files: Files) -> Check:
    path = _beside(template, value, files)
    text = files[path]
    if not isinstance(text, str):
        raise ValueError(f"{value}: {text.problem}")  # noqa: TRY004 - as above
    try:
        return json_schema.check_of(text)
    except ValueError as error:
        raise ValueError(f"{value} {error}") from None
