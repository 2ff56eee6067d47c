"""What the settings of all providers have in common."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FilePath, field_validator

from outbox import durations

Duration = Annotated[float, BeforeValidator(durations.parse), Field(gt=0)]


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
    ca_file: FilePath | None = Field(default=None, description="certificates in PEM, instead of the system's")


class HttpSettings(ConnectionSettings):
    """The base for providers with a web API; a subclass gives `url` its default.

    `url` is where the API is: another region, a proxy of your own, or a counterpart for tests.
    """

    url: str

    # A pattern of the field would be lost where a subclass gives it a default.
    @field_validator("url")
    @classmethod
    def _url_is_one(cls, url: str) -> str:
        if re.fullmatch(r"https?://[!-~]+", url) is None:
            raise ValueError("a URL begins with https://")
        return url
