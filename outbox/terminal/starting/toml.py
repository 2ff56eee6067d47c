"""A commented outbox.toml, made of the models that read it: each key there is, with its default and what it takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from outbox import durations
from outbox.config import ChannelConfig
from outbox.config.sources import SINGLE
from outbox.terminal.starting.needs import is_secret, model_of, variable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from outbox.terminal.starting.choice import Choice

_SHOWN = ("worker", "templates", "retention", "log")
_HEAD = """\
# The configuration of outbox, made by `outbox init`; `outbox check` finds every mistake in it.
# What is commented out has its default. A variable such as OUTBOX_WORKER_CONCURRENCY goes before this file.
"""
_OWN_NAME = re.compile(r",?\s*`\[[^`]*\]`")
_WITHIN = re.compile(r'(?:"[^"]*"|\[[^\]]*\])')
_WIDTH = 44


def configuration(database: str | None, choices: Sequence[Choice], given: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the text of the file.

    Args:
        database: the database's URL, if it may stand in the file; None where the environment names it.
        choices: channels and their providers, in failover order.
        given: what each provider was told, by its name; no secrets.
    """
    parts = [_HEAD, _database(database)]
    for place, channel in enumerate(dict.fromkeys(choice.channel for choice in choices)):
        providers = [choice.provider for choice in choices if choice.channel == channel]
        section = _section(f"channels.{channel}", ChannelConfig, {"providers": providers})
        parts.append(section if not place else f"[channels.{channel}]\nproviders = {_value(providers)}\n")
    by_name = {choice.provider: choice for choice in choices}
    parts += [_provider(choice, given.get(name, {})) for name, choice in by_name.items()]
    parts += [_section(name, SINGLE[name], {}) for name in _SHOWN]
    others = ", ".join(f"[{name}]" for name in SINGLE if name not in {*_SHOWN, "database"})
    return "\n".join([*(part for part in parts if part), f"# There is more: [topics.<name>], {others}.\n"])


def _database(url: str | None) -> str:
    section = "# Where the outbox lives.\n[database]\n"
    if url is not None:
        return f"{section}url = {_value(url)}\n"
    return f"{section}# url is in OUTBOX_DATABASE_URL: it may have a password in it, which no file has to hold\n"


def _provider(choice: Choice, given: Mapping[str, Any]) -> str:
    model = model_of(choice)
    return _section(f"providers.{choice.provider}", model, given) if model.model_fields else ""


def _section(name: str, model: type[BaseModel], given: Mapping[str, Any]) -> str:
    lines = [_purpose(model), f"[{name}]"]
    lines += [f"{key} = {_value(value)}" for key, value in given.items()]
    provider = name.removeprefix("providers.") if name.startswith("providers.") else None
    for key, field in model.model_fields.items():
        if key not in given:
            is_named = provider and _is_of_the_environment(field)
            lines.append(_secret(provider or "", key) if is_named else _commented(key, field))
    return "\n".join(lines) + "\n"


def _purpose(model: type[BaseModel]) -> str:
    """Return what a section is for: the first paragraph about its model, without the section's name."""
    first = " ".join((model.__doc__ or "").strip().partition("\n\n")[0].split())
    words = _OWN_NAME.sub("", first).replace("`", "").lstrip(": ")
    return fill(words[:1].upper() + words[1:], 110, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _is_of_the_environment(field: FieldInfo) -> bool:
    return is_secret(field) and not str(field.annotation).startswith("dict")


def _secret(provider: str, key: str) -> str:
    return f"# {key} is in {variable(provider, key)}"


def _commented(key: str, field: FieldInfo) -> str:
    words = f"# {field.description}" if field.description else ""
    if field.is_required() or field.default_factory is not None or field.default is None or field.default == ():
        example = _WITHIN.findall(field.description or "")
        wanted = example[-1] if example and "such as" in (field.description or "") else "…"
        return f"# {key} = {wanted}".ljust(_WIDTH) + f" # not set; {field.description or 'optional'}"
    return (f"# {key} = {_default(field)}".ljust(_WIDTH) + f" {words}").rstrip()


def _default(field: FieldInfo) -> str:
    if _is_duration(field) and isinstance(field.default, float):
        return _value(_duration(field.default))
    if _is_duration(field) and isinstance(field.default, tuple):
        return _value([_duration(each) for each in field.default])
    return _value(field.default)


def _is_duration(field: FieldInfo) -> bool:
    return any(getattr(each, "func", None) is durations.parse for each in _metadata(field))


def _metadata(field: FieldInfo) -> list[Any]:
    inside = [each for part in getattr(field.annotation, "__args__", ()) for each in getattr(part, "__metadata__", ())]
    return [*field.metadata, *inside]


def _duration(seconds: float) -> str:
    return durations.describe(seconds).replace(" ", "")


def _value(value: object) -> str:
    """Return a value as TOML, whose texts, lists, numbers and truths are written as JSON's are."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, Path):
        return _value(str(value))
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
