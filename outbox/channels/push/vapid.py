"""Who we are to push services: VAPID, https://www.rfc-editor.org/rfc/rfc8292."""

from __future__ import annotations

import base64
import time
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from outbox.channels.push.aes128gcm import as_point
from outbox.channels.push.subscription import decoded

_LIFETIME = 12 * 3_600  # seconds; at most a day is allowed
_KEPT_FOR = 6 * 3_600  # seconds; so that no clock that is hours off finds an expired one
_SERVICES = 256  # for which one is kept: endpoints come from outside, and could name any number


class Vapid:
    """A key pair and a contact, which sign the header Authorization for each push service."""

    def __init__(self, private_key: str, subject: str) -> None:
        """`private_key` is 32 bytes in base64, as key generators for Web Push print it; `subject` a URL.

        Raises:
            ValueError: it is no such key.
        """
        raw = decoded(private_key)
        if len(raw) != 32:  # noqa: PLR2004 - P-256
            raise ValueError("it is not a key of 32 bytes in base64")
        self._key = ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1())
        self._public = base64.urlsafe_b64encode(as_point(self._key.public_key())).rstrip(b"=").decode()
        self._subject = subject
        self._signed = lru_cache(maxsize=_SERVICES)(self._sign)

    def authorization(self, origin: str) -> str:
        """Return the header for the push service at `origin`: the same one for six hours, as signing takes time."""
        return self._signed(origin, int(time.time() // _KEPT_FOR))

    def _sign(self, origin: str, period: int) -> str:
        claims = {"aud": origin, "exp": period * _KEPT_FOR + _LIFETIME, "sub": self._subject}
        return f"vapid t={jwt.encode(claims, self._key, algorithm='ES256')}, k={self._public}"
