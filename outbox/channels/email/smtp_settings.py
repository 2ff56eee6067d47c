"""The settings of an SMTP relay, `[providers.smtp]` in the configuration."""

from __future__ import annotations

import ipaddress
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from outbox.channels.email.sender import Sender
from outbox.channels.settings import Duration, ProviderSettings
from outbox.config.files import ExistingFile
from outbox.timeouts import Timeouts

_PORTS = {"none": 25, "starttls": 587, "implicit": 465}


class Settings(ProviderSettings):
    """How to reach the relay and who we are there.

    Durations are seconds, or text such as `30s`. TLS is always verified, against `ca_file` if given, else against the
    system's certificates.

    - `timeout` bounds connecting and every command before the final dot. RFC 5321 section 4.5.3.2 suggests minutes, but
      impatience there costs a retry and never makes a second copy.
    - `data_timeout` bounds the wait for the answer to the final dot, where impatience does make copies: the 10 minutes
      of RFC 5321 section 4.5.3.2.6. The lease is renewed meanwhile.
    - `pool_timeout` bounds the wait for one of the `connections` to become free. A channel's own `timeout`, 15 minutes
      by default, should be longer than all of these together: it cannot know how far a message was.
    - `message_limit` messages go over one connection, then it is replaced, so that load follows a relay's DNS.
    - `idle_limit` closes an unused connection before the relay or a firewall on the way does.
    """

    host: str = Field(pattern=r"^[!-~]+$", description="a host name or an address")
    port: int = Field(default=587, ge=1, le=65535, description="a port such as 587; without it 25, 587 or 465, by tls")
    tls: Literal["none", "starttls", "implicit"] = "starttls"
    sender: Sender
    username: str | None = Field(default=None, min_length=1)
    password: SecretStr | None = None
    ca_file: ExistingFile | None = Field(default=None, description="certificates in PEM, instead of the system's")
    helo_name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.:\[\]-]+$", description="a host name")
    timeout: Duration = 30.0
    data_timeout: Duration = 600.0
    pool_timeout: Duration = 100.0
    connections: int = Field(default=10, ge=1, description="how many may be open at once")
    message_limit: int = Field(default=100, ge=1, description="messages over one connection")
    idle_limit: Duration = 15.0

    @model_validator(mode="before")
    @classmethod
    def _port_follows_tls(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("port") is None:
            return given | {"port": _PORTS.get(str(given.get("tls")), _PORTS["starttls"])}
        return given

    @model_validator(mode="after")
    def _credentials_are_protected(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together: give both, or neither")
        if self.username is not None and self.tls == "none" and not _is_loopback(self.host):
            raise ValueError('tls = "none" would send the password in the clear: use "starttls" or "implicit"')
        return self


class Limits:
    """How long the waits of all connections may take, by `Settings`: before the final dot, and after it."""

    def __init__(self, settings: Settings) -> None:
        self.command = Timeouts(settings.timeout)
        self.content = Timeouts(settings.data_timeout)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
