"""amending: the statements by which a migration changes functions that earlier ones made, and changes them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def amendments(
    machinery: str, changes: Mapping[str, Sequence[tuple[str, str]]], *, back: bool = False
) -> Iterator[str]:
    """Yield the statements, in order.

    `machinery` is `migrations/sql/amend.sql`. `changes` has, for each function of the schema, what it said before and
    what it says afterwards, place by place; with `back`, the latter becomes the former again, the last place first.
    """
    yield machinery
    for function, pairs in changes.items():
        places = [(after, before) for before, after in reversed(pairs)] if back else pairs
        said = ", ".join(f"[$pair${was}$pair$, $pair${will_be}$pair$]" for was, will_be in places)
        yield f"SELECT pg_temp.amend('{function}', ARRAY[{said}])"
    yield "DROP FUNCTION pg_temp.amend"
