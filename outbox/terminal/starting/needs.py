"""What a provider has to be told, by its own `Settings`: what to ask for, what is secret, and what is wrong with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pydantic import SecretStr, ValidationError

from outbox.channels import settings_of
from outbox.config.problems import sentences
from outbox.errors import ConfigError
from outbox.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from outbox.terminal.starting.choice import Choice

# A model can do without these, or with one of several; people hardly ever can.
_ASKED_TOO = {"smtp": ("tls", "port", "username"), "twilio": ("sender",)}
_MADE_OF_OTHERS = "url"
_ANY = "placeholder"


class Need(NamedTuple):
    """One thing to ask for. Without a `default` there has to be an answer, unless it is optional."""

    key: str
    hint: str
    default: str
    optional: bool


def model_of(choice: Choice) -> type[BaseModel]:
    """Return the model of a provider's settings.

    Raises:
        ConfigError: it needs what is not installed.
    """
    return settings_of(choice.channel, choice.provider)


def needs(choice: Choice) -> list[Need]:
    """Return what to ask for about a provider: what it needs, and what it hardly ever does without; no secrets."""
    fields, too = model_of(choice).model_fields, _ASKED_TOO.get(choice.provider, ())
    asked = [
        name
        for name, field in fields.items()
        if (field.is_required() or name in too) and not is_secret(field) and name != _MADE_OF_OTHERS
    ]
    return [_need(name, fields[name]) for name in asked]


def _need(name: str, field: FieldInfo) -> Need:
    literals = [each for each in get_args(field.annotation) if isinstance(each, str)]
    hint = " | ".join(literals) if literals else field.description or ""
    default = field.default if isinstance(field.default, str) else ""
    return Need(name, hint, default, optional=not field.is_required())


def secrets(choice: Choice, given: Mapping[str, Any]) -> list[str]:
    """Return the keys that are secrets and have to be set, beside what was given."""
    model = model_of(choice)
    fields = {name: field for name, field in model.model_fields.items() if is_secret(field)}
    required = [name for name, field in fields.items() if field.is_required()]
    if required or _fits(model, given):
        return required
    return next(([name] for name in fields if _fits(model, {**given, name: _ANY})), [])


def variable(provider: str, key: str) -> str:
    """Return the variable of the environment that a key of a provider is read from."""
    return "OUTBOX_PROVIDERS_" + re.sub(r"[^A-Z0-9]", "_", f"{provider}_{key}".upper())


def parse(choice: Choice, key: str, text: str) -> Any:
    """Return an answer as the value that a file would have: a number, true or false, a list, or the text itself.

    Raises:
        ConfigError: there is no such key, or it is a secret.
    """
    fields = model_of(choice).model_fields
    if key not in fields:
        raise ConfigError([f"providers.{choice.provider}.{key} is not a known key; {nearest(key, list(fields))}"])
    if is_secret(fields[key]):
        raise ConfigError([f"{key} is a secret, which no file has to hold: set {variable(choice.provider, key)}"])
    if _is(fields[key], bool) and text in {"true", "false"}:
        return text == "true"
    if _is(fields[key], int) and text.isdecimal():
        return int(text)
    if str(fields[key].annotation).startswith(("tuple", "list")):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def mistakes(choice: Choice, given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the settings that were given: that a secret is missing is nothing wrong."""
    model = model_of(choice)
    missing = secrets(choice, given)
    optional = {name: _ANY for name in missing if not model.model_fields[name].is_required()}
    try:
        model.model_validate({**given, **optional})
    except ValidationError as error:
        told = sentences(error, model, f"providers.{choice.provider}", lambda key: variable_of(choice, key))
        found = zip(error.errors(include_input=False), told, strict=True)
        return [each for detail, each in found if not (detail["loc"] and detail["loc"][0] in missing)]
    return []


def variable_of(choice: Choice, key: str) -> str:
    """Return where an answer was asked for, for the beginning of a sentence about it."""
    return f"--set {key}" if key else choice.provider


def is_secret(field: FieldInfo) -> bool:
    """Tell whether a field's values are secrets."""
    return _mentions(field.annotation, SecretStr)


def _mentions(annotation: object, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def _is(field: FieldInfo, wanted: type) -> bool:
    return field.annotation is wanted or wanted in get_args(field.annotation)


def _fits(model: type[BaseModel], given: Mapping[str, Any]) -> bool:
    try:
        model.model_validate(dict(given))
    except ValidationError:
        return False
    return True
