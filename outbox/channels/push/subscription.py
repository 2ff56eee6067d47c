"""A browser's push subscription: what `PushSubscription.toJSON()` gives, which is the recipient of a web push.

https://www.w3.org/TR/push-api/#dom-pushsubscription-tojson
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from outbox.channels.push.aes128gcm import Receiver
from outbox.errors import Rejected

_SECRET = 16  # bytes


class Subscription(NamedTuple):
    """Where a browser is reached. Whoever knows the `endpoint` may send to it, so nothing shows it."""

    endpoint: str
    origin: str
    """The push service: scheme, host, and port if it is not 443."""
    receiver: Receiver

    def __repr__(self) -> str:
        """Show the push service alone."""
        return f"Subscription({self.origin!r})"


def read(recipient: str) -> Subscription:
    """Read `{"endpoint": …, "keys": {"p256dh": …, "auth": …}}`.

    Raises:
        Rejected: it is not that; says what is wrong, and shows nothing of it.
    """
    try:
        given = json.loads(recipient)
        endpoint, keys = given["endpoint"], given["keys"]
        public_key, secret = decoded(keys["p256dh"]), decoded(keys["auth"])
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = "it is not a push subscription as JSON, with endpoint, keys.p256dh and keys.auth"
    else:
        return Subscription(endpoint, _origin(endpoint), _receiver(public_key, secret))
    raise Rejected(f"recipient: {problem}")


def decoded(text: str) -> bytes:
    """Return the bytes of base64, URL-safe or not, padded or not.

    Raises:
        ValueError: it is not that.
    """
    if not isinstance(text, str):
        raise ValueError("it is not text")  # noqa: TRY004 - one kind for all that is no base64
    try:
        plain = text.translate(str.maketrans("-_", "+/")).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None


def _origin(endpoint: object) -> str:
    try:
        parts = urlsplit(endpoint if isinstance(endpoint, str) else "")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or "@" in parts.netloc:
        raise Rejected("recipient: its endpoint is not a URL that begins with https://")
    shown = f"[{host}]" if ":" in host else host
    return f"https://{shown}" if port in {None, 443} else f"https://{shown}:{port}"


def _receiver(point: bytes, secret: bytes) -> Receiver:
    try:
        public_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        public_key = None
    if public_key is None or len(secret) != _SECRET:
        raise Rejected("recipient: its keys are not a point on P-256 and a secret of 16 bytes")
    return Receiver(public_key, secret)
