"""The settings of what asks for URLs that somebody else has written: what may be reached all the same."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from outbox.channels.hosts import canonical, network
from outbox.channels.settings import ConnectionSettings


class GuardedSettings(ConnectionSettings):
    """The base for providers whose recipients are URLs.

    - `allow` lists the hosts and networks that may be reached although they are not public: receivers inside, and
      loopback for development. What it names is a host's name, an address, or a network such as 10.1.0.0/16.
    - `ports` are those that a URL may have.
    - `probe_urls` are what `outbox check --live` looks for, since nobody knows here where messages will go.
    """

    allow: tuple[str, ...] = Field(default=(), description='a list of hosts and networks, such as ["10.1.0.0/16"]')
    ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = Field(
        default=(443, 80), min_length=1, description="a list of one port or more, such as [443]"
    )

    probe_urls: tuple[SecretStr, ...] = Field(
        default=(), description='a list of URLs, such as ["https://hooks.example.org/"]'
    )

    @field_validator("allow")
    @classmethod
    def _hosts_or_networks(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(entry if network(entry) else canonical(entry) for entry in allow)
        except ValueError:
            raise ValueError("each must be a host's name, an address, or a network such as 10.1.0.0/16") from None


class TlsOptionalSettings(GuardedSettings):
    """The base for those of them whose recipients may do without TLS, where that is wanted.

    `http` lists the hosts that may be asked so, each a name or an address as it stands in the URL.
    """

    http: tuple[str, ...] = Field(
        default=(), description='a list of the hosts that may be asked without TLS, such as ["localhost", "10.0.0.5"]'
    )

    @field_validator("http", mode="before")
    @classmethod
    def _is_no_switch(cls, http: object) -> object:
        given = http if isinstance(http, list | tuple) else [http]
        if any(str(each).lower() in {"true", "false"} for each in given):  # as text, where the environment has it
            raise ValueError(
                'it is no switch for all hosts: name those that it is for, such as ["localhost", "10.0.0.5"]'
            )
        return http

    @field_validator("http")
    @classmethod
    def _hosts(cls, http: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(canonical(host) for host in http)
        except ValueError:
            raise ValueError("each must be a host's name, or an address") from None
