"""`[web]`: where the dashboard listens, and who may sign in to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from outbox.config.base import Seconds, Section, listed
from outbox.config.problems import nearest

Role = Literal["viewer", "operator"]

_SHORTEST_SECRET = 32
_HASH = re.compile(r"\$argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
_NAME = re.compile(r"[^\s;]{1,100}")
_KEYS = ("password_hash", "role")
_HOW_TO_HASH = "`outbox web hash-password` prints one"
_HOW_TO_SECRET = "`outbox web secret` prints one"  # noqa: S105 - a hint, and no secret
_WHOM = "tables such as [web.users.ada] with a password_hash and a role"


class WebUser(Section):
    """`[web.users.<name>]`: one who signs in with a password, and what they may do."""

    password_hash: SecretStr
    role: Role = "viewer"


class WebConfig(Section):
    """`[web]`: the dashboard. Durations in seconds. Nobody signs in unless there are users, or an OpenID provider.

    `url` is where people find it. The first `secret` signs sessions, and all of them are good to read with.
    """

    host: str = Field(default="127.0.0.1", min_length=1, description="an address of this machine, such as 127.0.0.1")
    port: int = Field(default=8420, ge=0, le=65_535, description="a port such as 8420, or 0 for a free one")
    url: str | None = Field(default=None, description="a URL such as https://outbox.example.org")
    secret: Annotated[tuple[SecretStr, ...], BeforeValidator(listed)] = Field(
        default=(), description=f"a list of secrets, of which the first signs; {_HOW_TO_SECRET}"
    )
    session: Seconds = Field(
        default=43_200.0, ge=300, le=30 * 86_400, description='a duration from "5m" to "30d", such as "12h"'
    )
    proxies: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(), description='a list of the addresses of proxies, such as ["10.0.0.5"]'
    )
    metrics_token: SecretStr | None = Field(
        default=None, min_length=_SHORTEST_SECRET, description=f"what Prometheus brings along; {_HOW_TO_SECRET}"
    )
    users: Mapping[str, WebUser] = Field(default_factory=dict, description=_WHOM)
    oidc_issuer: str | None = Field(default=None, description="a URL such as https://accounts.example.org")
    oidc_client_id: str | None = Field(default=None, min_length=1, description="the id that the issuer knows it by")
    oidc_client_secret: SecretStr | None = Field(default=None, description="the secret that the issuer gave")
    oidc_name: str = Field(default="email", min_length=1, description='a claim, such as "email"')
    oidc_role: str = Field(default="groups", min_length=1, description='a claim, such as "groups"')
    oidc_operators: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(), description='a list of values of the claim, such as ["on-call"]'
    )
    oidc_viewers: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(), description='a list of values of the claim, such as ["staff"], or ["*"] for everybody'
    )
    oidc_scopes: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=("openid", "email", "profile"), description='a list such as ["openid", "email", "groups"]'
    )

    @property
    def root_path(self) -> str:
        """The path of `url`, below which the pages are; nothing where it has none."""
        return urlsplit(self.url).path if self.url else ""

    @property
    def has_sign_in(self) -> bool:
        """Whether people sign in."""
        return bool(self.users) or self.oidc_issuer is not None

    @property
    def problems(self) -> list[str]:
        """What it lacks to be served, one sentence each; workers, which read the same file, need none of it."""
        found = []
        if self.has_sign_in and not self.secret:
            found.append(f"web.secret is missing, which sessions are signed with; {_HOW_TO_SECRET}")
        if self.oidc_issuer is None:
            return found
        found += [
            f"web.{key} is missing, which web.oidc_issuer needs"
            for key in ("oidc_client_id", "oidc_client_secret", "url")
            if getattr(self, key) is None
        ]
        if not (self.oidc_operators or self.oidc_viewers):
            found.append("web.oidc_operators and web.oidc_viewers are empty: nobody could sign in by web.oidc_issuer")
        return found

    @field_validator("url", "oidc_issuer")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        return None if url is None else _checked(url).rstrip("/")

    @field_validator("secret")
    @classmethod
    def _hard_to_guess(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < _SHORTEST_SECRET for secret in secrets):
            raise ValueError(f"a secret has at least {_SHORTEST_SECRET} characters; {_HOW_TO_SECRET}")
        return secrets

    @field_validator("proxies")
    @classmethod
    def _addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_address(proxy)
            except ValueError:
                raise ValueError(f"{proxy!r} is no address: it must be a list such as ['10.0.0.5']") from None
        return proxies

    @field_validator("users", mode="before")
    @classmethod
    def _as_people_write_them(cls, users: object) -> object:
        """Take `ada operator $argon2id$…; bob viewer $argon2id$…` too: so they come from the environment."""
        if isinstance(users, str):
            return dict(_user(line) for line in users.split(";") if line.strip())
        if not isinstance(users, Mapping):
            raise ValueError(f"it must be {_WHOM}")  # noqa: TRY004 - pydantic collects ValueErrors only
        for name, user in users.items():
            _refuse(name, user)
        return users


def _user(line: str) -> tuple[str, dict[str, str]]:
    words = line.split()
    if len(words) != 3:  # noqa: PLR2004 - a name, a role and a hash
        raise ValueError("a user is a name, a role and a hash, with spaces between them; several, with ; between them")
    name, role, hashed = words
    user = {"role": role, "password_hash": hashed}
    _refuse(name, user)
    return name, user


def _refuse(name: object, user: Any) -> None:
    """Refuse a user who could never sign in. What is said of them has no hash in it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("a user's name has 1 to 100 characters, without spaces and ;")
    if isinstance(user, WebUser):
        return
    if not isinstance(user, Mapping):
        raise ValueError(f"users.{name} is no table; write [web.users.{name}] and its keys below it")  # noqa: TRY004
    for key in user:
        if key not in _KEYS:
            raise ValueError(f"users.{name}.{key} is not a known key; {nearest(str(key), _KEYS)}")
    if user.get("role", "viewer") not in {"viewer", "operator"}:
        raise ValueError(f'users.{name}.role must be "viewer" or "operator"')
    if not _HASH.fullmatch(str(user.get("password_hash", ""))):
        raise ValueError(f"users.{name}.password_hash is no argon2 hash; {_HOW_TO_HASH}")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError("it must be a URL such as https://outbox.example.org") from None
    if not usable or parts.scheme not in {"http", "https"} or parts.query or parts.fragment or parts.username:
        raise ValueError("it must be a URL such as https://outbox.example.org")
    return url
