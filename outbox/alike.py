"""The JSON of many payloads that are alike, as those of one campaign are: written column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.payloads import SCALARS, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

_KINDS = SCALARS | {str}
_ESCAPED = bytes(range(0x20)) + b'"\\'  # RFC 8259 section 7


def all_as_json(values: Sequence[Any], limit: int) -> list[str] | None:
    """Return what `as_json` does of each, in less than half its time.

    None where it must look at each: the keys are not the same, or one of them is nested, large, empty or wrong.
    """
    if not {dict}.issuperset(map(type, values)) or len(set(map(tuple, values))) != 1 or not values[0]:
        return None
    try:
        texts = _by_columns(values, limit // 4)
        whole = "".join(texts)
        whole.encode()
    except (TypeError, ValueError):  # no JSON, or half a surrogate pair
        return None
    return None if "\\u0000" in whole or len(max(texts, key=len)) > limit // 4 else texts


def _by_columns(values: Sequence[dict[str, Any]], limit: int) -> list[str]:
    fields, columns = [], []
    for key, column in zip(values[0], zip(*map(dict.values, values), strict=True), strict=True):
        if type(key) is not str:
            raise TypeError
        form, texts = _written(column, limit)
        fields.append(f"{encode(key).replace('%', '%%')}:{form}")
        columns.append(texts)
    return list(map(f"{{{','.join(fields)}}}".__mod__, zip(*columns, strict=True)))


def _written(column: Sequence[Any], limit: int) -> tuple[str, Sequence[Any]]:
    """Return how each value of a column stands in a format, and the values. Raises TypeError for what is nested."""
    kinds = set(map(type, column))
    if kinds == {int}:
        return "%d", column
    if not kinds <= _KINDS:
        raise TypeError
    if kinds == {str} and len(max(column, key=len)) <= limit:
        whole = "".join(column).encode()
        if len(whole.translate(None, _ESCAPED)) == len(whole):
            return '"%s"', column
    return "%s", list(map(encode, column))
