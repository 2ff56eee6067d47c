"""The signatures of Standard Webhooks 1.0.0: symmetric `v1`, with HMAC-SHA256, and asymmetric `v1a`, with ed25519.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Signer = Callable[[bytes], str]
    """Makes one signature of some content, with its version before it."""

_SHORTEST, _LONGEST = 24, 64  # bytes of a symmetric secret
_SEED, _PUBLIC = 32, 32  # bytes of an ed25519 key, which comes as a seed, or with the public key behind it


def signer(secret: str) -> Signer:
    """Return what signs with a secret that begins with `whsec_`, or a key that begins with `whsk_`.

    Raises:
        ValueError: it is neither, or not as it should be; the words never repeat it.
    """
    prefix, _, encoded = secret.partition("_")
    if prefix == "whsec":
        key = _decoded(encoded)
        if not _SHORTEST <= len(key) <= _LONGEST:
            raise ValueError(f"behind whsec_ there must be {_SHORTEST} to {_LONGEST} bytes, in base64")
        return lambda content: f"v1,{b64encode(hmac.digest(key, content, hashlib.sha256)).decode()}"
    if prefix == "whsk":
        return _asymmetric(_decoded(encoded))
    raise ValueError("it must begin with whsec_, if it is a secret, or with whsk_, if it is a key")


def signed(signers: Iterable[Signer], key: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: a signature by each, so that a receiver may know any one of the secrets.

    `key` is the webhook's id, without a full stop; `timestamp` that of the attempt, in seconds since 1970.
    """
    content = f"{key}.{timestamp}.".encode() + body
    return " ".join(sign(content) for sign in signers)


def _decoded(encoded: str) -> bytes:
    try:
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        raise ValueError("what follows its prefix must be base64") from None


def _asymmetric(key: bytes) -> Signer:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - only such keys need it
            Ed25519PrivateKey,
        )
    except ImportError:
        raise ValueError("a whsk_ key needs the package cryptography: install outbox[webhook]") from None
    if len(key) not in {_SEED, _SEED + _PUBLIC}:
        raise ValueError(f"behind whsk_ there must be {_SEED} or {_SEED + _PUBLIC} bytes, in base64")
    private = Ed25519PrivateKey.from_private_bytes(key[:_SEED])
    if key[_SEED:] not in {b"", private.public_key().public_bytes_raw()}:
        raise ValueError("the halves of the whsk_ key do not belong together")
    return lambda content: f"v1a,{b64encode(private.sign(content)).decode()}"
