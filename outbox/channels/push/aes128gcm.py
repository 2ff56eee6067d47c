"""Encryption for browsers: RFC 8291 (https://www.rfc-editor.org/rfc/rfc8291) on RFC 8188, in one record."""

from __future__ import annotations

import os
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_RECORD_SIZE = 4_096
_LAST_RECORD = b"\x02"
_POINT = 65  # bytes of a public key
_HEADER = 16 + 4 + 1 + _POINT  # salt, record size, length of the key, key
PLAINTEXT_LIMIT = _RECORD_SIZE - _HEADER - len(_LAST_RECORD) - 16
"""Bytes: every push service takes a body of 4,096. https://www.rfc-editor.org/rfc/rfc8291#section-4"""


class Receiver(NamedTuple):
    """A browser's keys, as a subscription has them: its public key, and the secret that it shares with us."""

    public_key: ec.EllipticCurvePublicKey
    secret: bytes

    def __repr__(self) -> str:
        """Show nothing."""
        return "Receiver()"


def encrypt(
    plaintext: bytes,
    receiver: Receiver,
    *,
    private_key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Return the body of a push message. Key and salt are new each time; only a test vector hands them in."""
    private_key = private_key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    ours, theirs = as_point(private_key.public_key()), as_point(receiver.public_key)
    shared = private_key.exchange(ec.ECDH(), receiver.public_key)
    secret = _derived(shared, receiver.secret, b"WebPush: info\0" + theirs + ours, 32)
    key = _derived(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + _RECORD_SIZE.to_bytes(4, "big") + bytes([_POINT]) + ours
    return header + AESGCM(key).encrypt(nonce, plaintext + _LAST_RECORD, None)


def as_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as 65 bytes: an uncompressed point."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)
