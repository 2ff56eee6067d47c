"""A payload, or headers, as JSON: what is too large, too deep or no JSON is refused before it is written."""

from __future__ import annotations

import json.encoder
import re
from gc import is_tracked
from operator import length_hint
from typing import TYPE_CHECKING, Any

from outbox.errors import InvalidNotification

if TYPE_CHECKING:
    from collections.abc import Callable

NESTING_LIMIT = 100

_TOO_DEEP = f"is not JSON that others can read: it is nested deeper than {NESTING_LIMIT}"
_CONTAINERS = (dict, list, tuple)
SCALARS = frozenset((int, float, bool, type(None)))
# A NUL as json.dumps writes it; an even number of backslashes before it makes it the text "\u0000" instead.
_JSON_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _encoder() -> Callable[[Any], str]:
    """Return what writes JSON. Without a look at what holds itself: that is too deep, and found out by its depth.

    The encoder of the standard library makes a C object for each call, which takes as long as a small payload.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
    if make is None:  # another Python than CPython
        return encoder.encode
    no = False  # neither sorted keys, nor skipped ones, nor NaN
    pieces = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", no, no, no)
    return lambda value: "".join(pieces(value, 0))


encode = _encoder()


def as_json(field: str, value: Any, limit: int) -> str:
    """Return the JSON of an object, of `limit` bytes at most.

    Raises:
        InvalidNotification: it is no object, no JSON, too large or too deep; or PostgreSQL could not store it.
    """
    if not isinstance(value, dict) and not hasattr(value, "keys"):
        raise InvalidNotification(field, f"must be a JSON object (a dict), not {type(value).__name__}")
    text = ""
    try:
        value = value if isinstance(value, dict) else dict(value)
        # The collector of garbage tracks no dict of texts and numbers alone: the quickest sign that nothing is nested.
        nested = is_tracked(value)
        room = _room_left(limit, value) if nested else limit - 4 * len(value) - sum(map(length_hint, value.values()))
        if room >= 0:
            text = encode(value)
            room = limit - (len(text) if text.isascii() else len(text.encode()))
        if "[" in text and not nested:  # nor does it track every tuple
            _room_left(limit, value)
    except UnicodeEncodeError:
        raise InvalidNotification(field, "contains half a surrogate pair, which is no character") from None
    except RecursionError:
        raise InvalidNotification(field, _TOO_DEEP) from None
    except (TypeError, ValueError) as error:
        raise InvalidNotification(field, f"is not JSON: {error}") from None
    if room < 0:
        problem = f"is at least {limit - room:,} bytes of JSON; at most {limit:,} are taken (store it, and send a link)"
        raise InvalidNotification(field, problem)
    if "\\u0000" in text and _JSON_NUL.search(text):
        raise InvalidNotification(field, "contains a NUL character, which PostgreSQL cannot store")
    return text


def _room_left(room: int, value: Any, depth: int = NESTING_LIMIT) -> int:
    """Return what is left of `room` bytes beside the JSON of `value`, counted low; stop as soon as nothing is left.

    Raises RecursionError, as the encoder does, for what is nested too deeply.
    """
    if not depth:
        raise RecursionError
    room -= 2 * len(value)
    if isinstance(value, dict):
        room -= 2 * len(value)
        value = value.values()
    for inner in value:
        kind = type(inner)
        if kind is str:
            room -= len(inner)
        elif kind not in SCALARS and isinstance(inner, _CONTAINERS):
            room = _room_left(room, inner, depth - 1)
        if room < 0:
            break
    return room
