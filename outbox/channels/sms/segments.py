"""How many parts a text goes out in, which is what it costs: GSM-7 if its alphabet has every character, else UCS-2.

One part holds 140 octets. A text that needs several gives 6 octets of each to a header by which the phone joins them.
A character stays in one part, so the count may be higher than the division of the length.

The alphabet: 3GPP TS 23.038, sections 6.2.1 and 6.2.1.1, https://www.3gpp.org/dynareport/23038.htm.
The header and the splitting: 3GPP TS 23.040, section 9.2.3.24, https://www.3gpp.org/dynareport/23040.htm.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")  # an escape and another septet each
_BEYOND_UTF16 = 0xFFFF  # a character after it is a pair of surrogates


class Encoding(StrEnum):
    """How a text is encoded."""

    GSM7 = "GSM-7"
    UCS2 = "UCS-2"

    @property
    def alone(self) -> int:
        """The units of a text that is one part."""
        return 160 if self is Encoding.GSM7 else 70

    @property
    def joined(self) -> int:
        """The units of each part of several."""
        return 153 if self is Encoding.GSM7 else 67


class Parts(NamedTuple):
    """What a text takes: `units` are septets in GSM-7, UTF-16 code units in UCS-2."""

    encoding: Encoding
    units: int
    parts: int


def count_parts(text: str) -> Parts:
    """Return what a text takes on its way to a phone; an empty one takes one part."""
    encoding = encoding_of(text)
    return Parts(encoding, sum(_units(character, encoding) for character in text), len(pack(text)))


def encoding_of(text: str) -> Encoding:
    """Return GSM-7 if its alphabet has every character of the text."""
    return Encoding.GSM7 if _BASIC.union(_EXTENSION).issuperset(text) else Encoding.UCS2


def pack(text: str) -> list[str]:
    """Return the text of each part. None is longer than it may be, and no character stands on a boundary."""
    encoding = encoding_of(text)
    if sum(_units(character, encoding) for character in text) <= encoding.alone:
        return [text]
    return list(_filled(text, encoding))


def _filled(text: str, encoding: Encoding) -> Iterator[str]:
    begin, units = 0, 0
    for end, character in enumerate(text):
        size = _units(character, encoding)
        if units + size > encoding.joined:
            yield text[begin:end]
            begin, units = end, 0
        units += size
    yield text[begin:]


def _units(character: str, encoding: Encoding) -> int:
    if encoding is Encoding.GSM7:
        return 2 if character in _EXTENSION else 1
    return 2 if ord(character) > _BEYOND_UTF16 else 1
