"""What is to be enqueued from a query, checked and put into the form that the statements take."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import arrays
from outbox.errors import InvalidFanOut
from outbox.queue.declared import check_topic
from outbox.queue.query import DEFAULTS, Finding, as_json, check_defaults, refuse_query, tidy
from outbox.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.steps import Steps

FIELDS = (*DEFAULTS, "run_at", "expires_at", "idempotency_key", "time_zone")
"""The fields that can be the same for each, of which the idempotency key begins the key of each."""
ON_INVALID = ("refuse", "skip")

# It is looked at and not run. What it finds its tables by here, it will find them by when it is run: those of the
# session's own come first, as they do everywhere.
CHECK = """
SELECT CAST(array_to_json(c.columns) AS text), c.search_path, c.problem, c.code
FROM outbox.check_schedule(CAST(:query AS text), CAST(CAST(:defaults AS text) AS jsonb), current_setting('TimeZone'),
                           array_prepend('pg_temp', CAST(current_schemas(false) AS text[])),
                           CAST(:parameters AS text[])) c
"""

_HALF = re.compile("[\ud800-\udfff]")
_LONGEST_PREFIX = 200
_LONGEST_INTEGER = 63
# Strings, quoted names, comments and casts, in which a colon is no parameter's; and what is one. In a slice, such as
# a[1:n], it is none either.
_PARAMETER = re.compile(
    r"""(?i:\bE)'(?:[^'\\]|\\.|'')*' | '[^']*' | "[^"]*" | \$((?:[A-Za-z_]\w*)?)\$.*?\$\1\$ | --[^\n]* | /\*.*?\*/ | ::
    | (?<![\w\[\])]):(?P<name>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)
# In the order in which they are asked for: a bool is an int, and a datetime a date.
_TYPES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "bigint"),
    (float, "double precision"),
    (Decimal, "numeric"),
    (datetime, "timestamptz"),
    (date, "date"),
    (time, "time"),
    (timedelta, "interval"),
    (UUID, "uuid"),
    (dict, "jsonb"),
    (str, "text"),
)


@dataclass(frozen=True, slots=True)
class Selected:
    """What became of the rows that a query returned, as counts: `selected` is the sum of the others."""

    selected: int
    enqueued: int
    suppressed: int
    """Their recipient must not be contacted."""
    unwanted: int
    """Their recipient does not want the topic."""
    duplicates: int
    """Another row before them is for the same recipient."""
    existing: int
    """Their idempotency key was used before, whatever for."""
    invalid: int
    """They could be no notification, and were skipped."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A query, its parameters as texts, and what is the same for each of its rows."""

    written: str
    """The query as it was written."""
    query: str
    """The query with $1[1] and so on for what is named in it."""
    parameters: list[str | None]
    defaults: dict[str, Any]
    skip_invalid: bool

    @classmethod
    def of(
        cls, query: str, parameters: Mapping[str, Any] | None, defaults: Mapping[str, Any], *, on_invalid: str
    ) -> Selection:
        """Check what was given.

        Raises:
            InvalidFanOut: naming the argument, what was wrong, and what would be right.
        """
        if on_invalid not in ON_INVALID:
            raise InvalidFanOut("on_invalid", f"{on_invalid!r} is neither refuse nor skip")
        written = tidy(query, InvalidFanOut)
        numbered, values = _numbered(written, parameters or {})
        prefix = defaults.get("idempotency_key")
        if isinstance(prefix, str) and len(prefix) > _LONGEST_PREFIX:
            raise InvalidFanOut("idempotency_key", f"begins the key of each: at most {_LONGEST_PREFIX} characters")
        return cls(written, numbered, values, check_defaults(defaults, FIELDS, InvalidFanOut), on_invalid == "skip")

    @property
    def content(self) -> str:
        """A digest of all of it."""
        whole = json.dumps([self.query, self.parameters, self.defaults], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()

    def check(self) -> Steps[dict[str, Any]]:
        """Look at the query, and return the statements' parameters.

        Raises:
            InvalidFanOut: it is not one SELECT, or returns what is no field of a notification.
        """
        of_columns = {name: value for name, value in self.defaults.items() if name not in {"delay", "expires_in"}}
        asked: dict[str, Any] = {"query": self.query, "parameters": self.parameters, "defaults": as_json(of_columns)}
        ((columns, search_path, problem, code),) = yield CHECK, asked
        found = None if columns is None else json.loads(columns)
        refuse_query(self.written, Finding(found, problem, code), self.defaults, InvalidFanOut)
        yield from check_topic(self.defaults, found or (), InvalidFanOut)
        told = {"columns": found, "search_path": search_path, "skip_invalid": str(self.skip_invalid).lower()}
        return asked | told | {"defaults": as_json(self.defaults)}

    def refuse_rows(self, selected: int, invalid: int, problems: str | None, examples: str | None) -> None:
        """Say that some rows could be no notification, unless they are to be skipped. Raises InvalidFanOut."""
        if not invalid or self.skip_invalid:
            return
        why = "; ".join(f"{number:,}: {problem}" for problem, number in json.loads(problems or "{}").items())
        raise InvalidFanOut(
            "query",
            f"{invalid:,} of {selected:,} rows can be no notification, and none was enqueued ({why}); "
            "on_invalid='skip' leaves them out",
            [(recipient, problem) for recipient, problem in json.loads(examples or "[]")],
        )


def _numbered(query: str, parameters: Mapping[str, Any]) -> tuple[str, list[str | None]]:
    """Return the query with $1[1] and so on for what is named in it, and the values as texts, in that order."""
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0]
        if name not in parameters:
            raise InvalidFanOut("parameters", f"the query has :{name}, which is not given; {nearest(name, parameters)}")
        if name not in names:
            names.append(name)
        return _typed(name, parameters[name], names.index(name) + 1)

    numbered = _PARAMETER.sub(replace, query)
    for name in parameters:
        if name not in names:
            raise InvalidFanOut("parameters", f"{name}: the query has no :{name}")
    return numbered, [_as_text(name, parameters[name]) for name in names]


def _typed(name: str, value: Any, number: int) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple | set | frozenset):
        kinds = {_type(name, each) for each in value if each is not None}
        if len(kinds) > 1:
            raise InvalidFanOut("parameters", f"{name}: a list of {', '.join(sorted(kinds))} is none of one type")
        return f"CAST($1[{number}] AS {kinds.pop()}[])" if kinds else "'{}'"
    return f"CAST($1[{number}] AS {_type(name, value)})"


def _type(name: str, value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return "numeric"
    if isinstance(value, datetime) and value.utcoffset() is None:
        return "timestamp"
    for kind, found in _TYPES:
        if isinstance(value, kind):
            return found
    raise InvalidFanOut("parameters", f"{name}: a {type(value).__name__} is none that can be passed; give its text")


def _as_text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list | tuple | set | frozenset):
        return arrays.texts([_as_text(name, each) for each in value])
    if isinstance(value, timedelta):
        return f"{value.days * 86_400 + value.seconds}.{value.microseconds:06} seconds"
    if isinstance(value, date | time):
        return value.isoformat()
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    if "\0" in text or (not text.isascii() and _HALF.search(text)):
        raise InvalidFanOut("parameters", f"{name}: contains a NUL or half a surrogate pair, which is no text")
    return text
