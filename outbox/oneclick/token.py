"""token: who unsubscribes from what, until when, in a few characters that only we can write, and only we can read.

A URL ends up in the logs of servers and proxies, so the address in it is encrypted. The standard library has no cipher;
it has HMAC-SHA256, which is a pseudorandom function, and of one of those SIV makes deterministic authenticated
encryption (Rogaway and Shrimpton, 2006; RFC 5297 does it with AES): the tag is the function of all that is said, and
what is said is hidden under the function of the tag, in counter mode (NIST SP 800-108). There is no nonce that could
come twice, and every attempt to send one email says the same.

    token = base64url(version, 1 byte | tag, 16 bytes | hidden text)
    text  = day, 2 bytes | length of channel, 1 byte | channel | length of topic, 2 bytes | topic | recipient
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from outbox.errors import ConfigError, ExpiredToken, InvalidToken
from outbox.messages import OptOut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.config import Config

_VERSION = b"\x01"
_TAG = 16  # bytes: 2^-128 is the chance of a guess
_BLOCK = 32
_HEAD = len(_VERSION) + _TAG
_LONGEST = 4_000  # characters: nothing that we have written is longer, and nothing longer is worth a look
_EPOCH = date(1970, 1, 1)
_MONTH = 31 * 86_400.0 + 12_345.0  # seconds: nobody schedules an email ahead by just that
_UNDO = b"undo"
_UNDO_TIME = 3_600  # seconds


class Keys:
    """The secrets of a configuration: the first signs, and all of them are good to read with."""

    __slots__ = ("pairs",)

    def __init__(self, secrets: Sequence[str]) -> None:
        """Take secrets in text form.

        Raises:
            ConfigError: there is none.
        """
        if not secrets:
            raise ConfigError(["unsubscribe.secret is missing: `outbox unsubscribe secret` makes one"])
        self.pairs = tuple((_derived(secret, b"tag"), _derived(secret, b"text")) for secret in secrets)

    @classmethod
    def of(cls, config: Config) -> Keys:
        """Return those of a configuration; raises as `Keys`."""
        return cls([secret.get_secret_value() for secret in config.unsubscribe.secret])

    def __repr__(self) -> str:
        """Show how many there are, and none of them."""
        return f"Keys({len(self.pairs)})"


def seal(opt_out: OptOut, keys: Keys) -> str:
    """Return the token of an opt-out, in characters that need no escape in a URL; the same one each time."""
    channel, topic = opt_out.channel.encode(), opt_out.topic.encode()
    day = (opt_out.last_day - _EPOCH).days.to_bytes(2, "big")
    sizes = len(channel).to_bytes(1, "big"), len(topic).to_bytes(2, "big")
    text = b"".join((day, sizes[0], channel, sizes[1], topic, opt_out.recipient.encode()))
    for_tag, for_text = keys.pairs[0]
    tag = _tag(for_tag, text)
    return urlsafe_b64encode(_VERSION + tag + _hidden(for_text, tag, text)).rstrip(b"=").decode()


def read(token: str, keys: Keys, today: date | None = None) -> OptOut:
    """Return what a token says. `today` is the day in UTC; without it, this machine's.

    Raises:
        InvalidToken: none of the keys has signed it, or it was changed.
        ExpiredToken: it was good once; its `opt_out` says for what.
    """
    opt_out = _parsed(_opened(token, keys))
    if (today or datetime.now(UTC).date()) > opt_out.last_day:
        raise ExpiredToken(opt_out)
    return opt_out


def last_day(lifetime: float, made: float, now: float) -> date:
    """Return the last day of a link that is good for `lifetime` seconds after `now` at least.

    Every attempt to send an email must say the same, or a provider with an idempotency key takes the second for another
    message. So it is counted from when the notification was `made` (both are seconds since 1970), in steps of a month.
    """
    months = max(now - made, 0.0) // _MONTH + 1
    return _EPOCH + timedelta(days=(made + months * _MONTH + lifetime) // 86_400)


def undo_permit(token: str, keys: Keys, now: float) -> str:
    """Return what lets whoever has just unsubscribed by a token take that back, for an hour."""
    until = str(int(now) + _UNDO_TIME)
    return f"{until}.{_permit(token, until, keys.pairs[0][0]).hex()}"


def permits_undo(permit: str, token: str, keys: Keys, now: float) -> bool:
    """Tell whether a permit is ours, for this token, and not over."""
    until, _, given = permit.partition(".")
    if not (permit.isascii() and until.isdecimal() and len(until) < _BLOCK and now <= int(until)):
        return False
    return any(hmac.compare_digest(_permit(token, until, pair[0]).hex(), given) for pair in keys.pairs)


def _opened(token: str, keys: Keys) -> bytes:
    """Return the text of a token that one of the keys has signed."""
    sealed = _decoded(token)
    if sealed[: len(_VERSION)] != _VERSION or len(sealed) < _HEAD:
        raise InvalidToken
    tag, hidden = sealed[len(_VERSION) : _HEAD], sealed[_HEAD:]
    for for_tag, for_text in keys.pairs:
        text = _hidden(for_text, tag, hidden)
        if hmac.compare_digest(_tag(for_tag, text), tag):
            return text
    raise InvalidToken


def _parsed(text: bytes) -> OptOut:
    channel_end = 3 + text[2]
    topic_at = channel_end + 2
    topic_end = topic_at + int.from_bytes(text[channel_end:topic_at], "big")
    return OptOut(
        channel=text[3:channel_end].decode(),
        topic=text[topic_at:topic_end].decode(),
        recipient=text[topic_end:].decode(),
        last_day=_EPOCH + timedelta(days=int.from_bytes(text[:2], "big")),
    )


def _decoded(token: str) -> bytes:
    """Decode a token. The bits that base64 leaves over at its end must be 0: one text has one token."""
    if not token.isascii() or len(token) > _LONGEST:
        raise InvalidToken
    try:
        sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise InvalidToken from None
    if urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:
        raise InvalidToken
    return sealed


def _derived(secret: str, purpose: bytes) -> bytes:
    return hmac.digest(secret.encode(), b"outbox unsubscribe 1 " + purpose, "sha256")


def _tag(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, _VERSION + text, "sha256")[:_TAG]


def _permit(token: str, until: str, key: bytes) -> bytes:
    # A tag begins with the version, which this does not.
    return hmac.digest(key, b"|".join((_UNDO, until.encode(), token.encode())), "sha256")[:_TAG]


def _hidden(key: bytes, tag: bytes, text: bytes) -> bytes:
    """Hide a text, or show a hidden one."""
    blocks = range(-(-len(text) // _BLOCK))
    stream = b"".join([hmac.digest(key, block.to_bytes(2, "big") + tag, "sha256") for block in blocks])
    mask = int.from_bytes(stream[: len(text)], "big")
    return (int.from_bytes(text, "big") ^ mask).to_bytes(len(text), "big")
