"""What the settings of all providers have in common."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from outbox import durations
from outbox.config.files import ExistingFile

Duration = Annotated[float, BeforeValidator(durations.parse), Field(gt=0)]


def _in_one_word(secret: SecretStr) -> SecretStr:
    """A file that a secret was mounted from ends in a line end more often than not."""
    if re.fullmatch(r"[!-~]+", secret.get_secret_value()) is None:
        raise ValueError("it has a space, a line end, or a character that is not ASCII in it, or nothing")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_in_one_word)]
"""A secret that goes into a header, a form or a URL."""


def check_url(url: str, *, base: bool = True) -> str:
    """Return `url` if it can be asked for over HTTP; one that is a `base` has neither a query nor a fragment.

    Raises:
        ValueError: it cannot; never repeats it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.fullmatch(r"[!-~]+", url) is None:
        raise ValueError("it must be a URL that begins with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it must be a URL without a user and a password")
    if base and (parts.query or parts.fragment):
        raise ValueError("it must be a URL without a query and a fragment")
    return url


class ProviderSettings(BaseModel):
    """The base: frozen, refuses keys that it does not know, and keeps values, which may be secrets, out of errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ConnectionSettings(ProviderSettings):
    """The base for providers that speak HTTP. Durations are seconds, or text.

    - `timeout` bounds a whole request, from the first byte out to the last one in. After it nobody knows whether the
      message was accepted, so impatience makes copies.
    - `connect_timeout` bounds the part before that, where impatience costs nothing but another attempt.
    - `ca_file` has certificates in PEM, instead of the system's.
    """

    timeout: Duration = 30.0
    connect_timeout: Duration = 10.0
    ca_file: ExistingFile | None = Field(default=None, description="certificates in PEM, instead of the system's")


class HttpSettings(ConnectionSettings):
    """The base for providers with a web API; a subclass gives `url` its default.

    `url` is where the API is: another region, a proxy of your own, or a counterpart for tests.
    """

    url: str

    # A pattern of the field would be lost where a subclass gives it a default.
    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        return check_url(url)
