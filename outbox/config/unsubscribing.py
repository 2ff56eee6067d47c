"""`[unsubscribe]`: where the links of emails lead, and what they are signed with."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from outbox.config.base import Seconds, Section, listed

_DAY = 86_400.0
_SHORTEST_SECRET = 32
_LONGEST_URL = 200
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,185}")
_ONE_MADE = "`outbox unsubscribe secret` makes one"


class UnsubscribeConfig(Section):
    """`[unsubscribe]`: the links by which people unsubscribe from topics that let them. Durations in seconds.

    `url` is where the application of `outbox.unsubscribe` is mounted, without what it adds. The first `secret` signs,
    and all of them are good to read with.
    """

    url: str | None = Field(default=None, description="a URL such as https://example.org/unsubscribe")
    secret: Annotated[tuple[SecretStr, ...], BeforeValidator(listed)] = Field(
        default=(), description=f"a list of secrets, of which the first signs; {_ONE_MADE}"
    )
    mailto: str | None = Field(default=None, description="an address such as unsubscribe@example.org")
    # 30 days are 15 U.S.C. 7704(a)(3)(A)(ii), of the CAN-SPAM Act. A year, because mail is kept for longer than that.
    lifetime: Seconds = Field(
        default=365 * _DAY, ge=30 * _DAY, le=3_650 * _DAY, description='a duration from "30d" to "3650d"'
    )

    @field_validator("url")
    @classmethod
    def _can_be_followed(cls, url: str | None) -> str | None:
        return None if url is None else _checked(url).rstrip("/")

    @field_validator("secret")
    @classmethod
    def _hard_to_guess(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            if re.fullmatch(r"[!-~]+", secret.get_secret_value()) is None:
                raise ValueError("a secret has a space, a line end, or a character that is not ASCII in it, or nothing")
            if len(secret.get_secret_value()) < _SHORTEST_SECRET:
                raise ValueError(f"a secret has at least {_SHORTEST_SECRET} characters; {_ONE_MADE}")
        return secrets

    @field_validator("mailto")
    @classmethod
    def _takes_mail(cls, mailto: str | None) -> str | None:
        if mailto is not None and _ADDRESS.fullmatch(mailto) is None:
            raise ValueError("it must be an address such as unsubscribe@example.org, and nothing beside it")
        return mailto


def _checked(url: str) -> str:
    """Return `url` if mail programs may be given it: RFC 8058 demands HTTPS. On loopback nobody listens in."""
    try:
        parts = urlsplit(url)
        host, usable = parts.hostname or "", bool(parts.hostname) and parts.port != 0
    except ValueError:
        host, usable = "", False
    if not usable or parts.scheme not in {"http", "https"} or re.fullmatch(r"[!-;=?-~]+", url) is None:
        raise ValueError("it must be a URL such as https://example.org/unsubscribe")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("it must begin with https://, as RFC 8058 demands; http:// is for this machine alone")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it must be a URL without a user and a password")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("it must be a URL without a query and a fragment")
    if len(url) > _LONGEST_URL:
        raise ValueError(f"it has {len(url)} characters; a header of a mail has room for {_LONGEST_URL} of them")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
