"""A collapse key as each push service takes it: those that do not fit are hashed, so that equal ones stay equal."""

from __future__ import annotations

import base64
import hashlib

_APNS_LIMIT = 64  # bytes


def collapse_id(key: str) -> str:
    """Return the key for the header apns-collapse-id: printable ASCII of 64 bytes at most.

    https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
    """
    if len(key) <= _APNS_LIMIT and key.isascii() and key.isprintable() and key == key.strip() != "":
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def topic(key: str) -> str:
    """Return the key for the header Topic: 32 characters of URL-safe base64, always a hash.

    The push service can read a topic, as it can read no message. https://www.rfc-editor.org/rfc/rfc8030#section-5.4
    """
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()[:24]).decode()
