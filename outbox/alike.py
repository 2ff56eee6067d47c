"""The JSON of many payloads that are alike, as those of one campaign are: written column by column."""

from __future__ import annotations

from operator import length_hint
from typing import TYPE_CHECKING, Any

from outbox.payloads import SCALARS, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = SCALARS | {str}
_MOST_KEYS = 100
_LONGEST = 1_000  # characters: a longer text costs less by itself than copied once more, to be looked at with others
_ESCAPED = bytes(range(0x20)) + b'"\\'  # RFC 8259 section 7


def all_as_json(values: Sequence[Any], limit: int) -> list[str] | None:
    """Return what `as_json` does of each, in less than half its time.

    None where it must look at each: the keys are not the same, or one of them is nested, long, empty or wrong.
    """
    if not {dict}.issuperset(map(type, values)) or not 0 < len(values[0]) <= _MOST_KEYS:
        return None
    if len(set(map(tuple, values))) != 1:
        return None
    try:
        texts = _by_columns(values)
        whole = "".join(texts)
        whole.encode()
    except (TypeError, ValueError):  # no JSON, too long, or half a surrogate pair
        return None
    return None if "\\u0000" in whole or len(max(texts, key=len)) > limit // 4 else texts


def _by_columns(values: Sequence[dict[str, Any]]) -> list[str]:
    fields, columns = [], []
    for key, column in zip(values[0], zip(*map(dict.values, values), strict=True), strict=True):
        if type(key) is not str or len(key) > _LONGEST:
            raise TypeError
        form, texts = _written(column)
        fields.append(f"{encode(key).replace('%', '%%')}:{form}")
        columns.append(texts)
    return list(map(f"{{{','.join(fields)}}}".__mod__, zip(*columns, strict=True)))


def _written(column: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """Return how each value of a column stands in a format, and the values.

    Raises TypeError for what is nested, and ValueError for what is too long or no JSON.
    """
    kinds = set(map(type, column))
    if kinds == {int}:
        return "%d", column
    if not kinds <= _KINDS:
        raise TypeError
    if str in kinds and max(map(length_hint, column)) > _LONGEST:
        raise ValueError
    if kinds == {str}:
        whole = "".join(column).encode()
        if len(whole.translate(None, _ESCAPED)) == len(whole):
            return '"%s"', column
    return "%s", list(map(encode, column))
