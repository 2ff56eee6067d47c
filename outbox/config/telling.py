"""`[log]` and `[sentry]`: what a process tells of its work, to whom."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from outbox.config.base import Section

_DSN = re.compile(r"https?://[^\s/@:]+(?::[^\s/@]+)?@[^\s/@]+/(?:\S+/)?[0-9]+")


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class LogConfig(Section):
    """`[log]`: what a worker writes to standard error."""

    format: Annotated[Literal["auto", "text", "json"], BeforeValidator(_lower)] = Field(
        default="auto", description='"auto", "text" or "json"'
    )
    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description='"debug", "info", "warning" or "error"'
    )
    recipients: Literal["never", "masked"] = Field(default="never", description='"never" or "masked"')
    colours: bool = Field(default=True, description="true or false")
    lines_per_second: int = Field(default=500, ge=0, description="a whole number, or 0 for no limit")


class SentryConfig(Section):
    """`[sentry]`: where unexpected errors are reported."""

    dsn: SecretStr | None = Field(default=None, description="a DSN such as https://key@o1.ingest.sentry.io/2")
    environment: str | None = Field(default=None, min_length=1, description='a name, such as "production"')

    @field_validator("dsn")
    @classmethod
    def _is_one(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is not None and _DSN.fullmatch(dsn.get_secret_value()) is None:
            raise ValueError("it must be a DSN, as Sentry shows it, such as https://key@o1.ingest.sentry.io/2")
        return dsn
