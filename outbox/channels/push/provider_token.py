"""Who we are to Apple: https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_KEPT_FOR = 40 * 60  # seconds: Apple wants a new one after 20 minutes at the earliest, and after 60 at the latest


def read(path: Path) -> ec.EllipticCurvePrivateKey:
    """Read a signing key, a .p8 file as Apple's developer account gives it out.

    Raises:
        ValueError: it is no such file; says so, and shows nothing of it.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"{path}: it is not a signing key of Apple's, a P-256 key in PEM")  # noqa: TRY004 - as pydantic wants it
    return key


class ProviderTokens:
    """The tokens of one signing key: each serves for forty minutes, by the clock.

    They are issued at fixed times, so that a restart, or another process with the same key, does not make a newer one:
    Apple refuses updates that are too frequent.
    """

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, key_id: str, team_id: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = key
        self._key_id = key_id
        self._team_id = team_id
        self._clock = clock
        self._signed = lru_cache(maxsize=1)(self._sign)

    def current(self) -> str:
        """Return the token of now."""
        return self._signed(int(self._clock() // _KEPT_FOR))

    def _sign(self, period: int) -> str:
        claims = {"iss": self._team_id, "iat": period * _KEPT_FOR}
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self._key_id})
