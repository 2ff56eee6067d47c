"""formats: dates, numbers and money as a language writes them, for templates; by Babel, with `outbox[locales]`."""

from __future__ import annotations

import functools
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from jinja2 import Undefined, pass_context

from outbox.sandbox import Unfit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from babel import Locale
    from jinja2.runtime import Context

    from outbox.sandbox import Sandbox

NAMES = ("date", "time", "datetime", "relative_time", "number", "percent", "money")
_DIGITS = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_LARGEST = 1e15
_WIDE_SPACES = str.maketrans("\u00a0\u202f", "  ")


def add_to(sandbox: Sandbox) -> None:
    """Give a sandbox these filters, if Babel is installed; it says which language they are to speak."""
    if find_spec("babel") is None:
        return
    for name in NAMES:
        sandbox.filters[name] = _filter(globals()[f"_{name}"], sandbox)


def hint(message: str) -> str:
    """Return a message about an unknown filter, with what to install if it is one of these."""
    name = re.search(r"No filter named '(\w+)'", message)
    return f"{message[:-1]}: install outbox[locales]" if name and name[1] in NAMES else message


def _filter(write: Callable[..., str], sandbox: Sandbox) -> Callable[..., str]:
    @pass_context  # or that of a constant would be written once for all, when the template is compiled
    def written(context: Context, value: Any, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, Undefined):
            str(value)  # raises, with the name of what is missing
        text = write(value, *args, locale=_locale(sandbox.language), **kwargs)
        # A space that keeps a number in one line costs a text message 90 of its 160 characters.
        return text if context.eval_ctx.autoescape else text.translate(_WIDE_SPACES)

    return written


@functools.lru_cache
def _locale(language: str) -> Locale:
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - an extra

    parts = language.replace("_", "-").split("-")
    while parts:
        try:
            return Locale.parse("-".join(parts), sep="-")
        except (UnknownLocaleError, ValueError):
            parts.pop()
    return Locale("en")


def _date(value: Any, format: str = "medium", timezone: str | None = None, *, locale: Locale) -> str:  # noqa: A002
    from babel import dates  # noqa: PLC0415

    moment = _moment("date", value, timezone)
    return dates.format_date(moment, _pattern("date", format), locale)


def _time(value: Any, format: str = "short", timezone: str | None = None, *, locale: Locale) -> str:  # noqa: A002
    from babel import dates  # noqa: PLC0415

    moment = _as_datetime(_moment("time", value, timezone))
    return dates.format_time(moment, _pattern("time", format), moment.tzinfo or UTC, locale)


def _datetime(value: Any, format: str = "medium", timezone: str | None = None, *, locale: Locale) -> str:  # noqa: A002
    from babel import dates  # noqa: PLC0415

    moment = _as_datetime(_moment("datetime", value, timezone))
    return dates.format_datetime(moment, _pattern("datetime", format), moment.tzinfo or UTC, locale)


def _relative_time(value: Any, *, locale: Locale) -> str:
    from babel import dates  # noqa: PLC0415

    moment = _as_datetime(_moment("relative_time", value, None))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return dates.format_timedelta(moment - datetime.now(UTC), add_direction=True, locale=locale)


def _number(value: Any, *, locale: Locale) -> str:
    from babel import numbers  # noqa: PLC0415

    return numbers.format_decimal(_decimal("number", value), locale=locale)


def _percent(value: Any, *, locale: Locale) -> str:
    from babel import numbers  # noqa: PLC0415

    return numbers.format_percent(_decimal("percent", value), locale=locale)


def _money(value: Any, currency: Any, *, locale: Locale) -> str:
    from babel import numbers  # noqa: PLC0415

    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        raise Unfit('the filter money wants a currency in three capitals, such as money("EUR")')
    return numbers.format_currency(_decimal("money", value), currency, locale=locale)


def _pattern(name: str, wanted: Any) -> Any:
    if isinstance(wanted, str) and wanted.isprintable():
        return wanted
    raise Unfit(f"the filter {name} wants a format such as short, medium, long, full, or a pattern such as d MMMM")


def _moment(name: str, value: Any, timezone: Any) -> date | datetime:
    """Read a date, or a moment, as JSON has it: in ISO 8601, or in seconds since 1970."""
    zone = _zone(name, timezone)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, zone or UTC)
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if zone is not None and moment.tzinfo is not None:
                return moment.astimezone(zone)
            return moment
    except (ValueError, OverflowError, OSError):
        pass
    raise Unfit(f"the filter {name} wants a date or a moment in ISO 8601, or seconds since 1970")


def _as_datetime(moment: date | datetime) -> datetime:
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time())


def _zone(name: str, timezone: Any) -> tzinfo | None:
    if timezone is None:
        return None
    from babel.dates import get_timezone  # noqa: PLC0415

    try:
        return get_timezone(timezone) if isinstance(timezone, str) else _no_zone(name)
    except (LookupError, ValueError):
        return _no_zone(name)


def _no_zone(name: str) -> tzinfo:
    raise Unfit(f'the filter {name} wants the name of a time zone, such as timezone="Europe/Lisbon"')


def _decimal(name: str, value: Any) -> Decimal:
    """Read a number, or one as a text: what has over 15 digits is none, as no sum of money has."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return Decimal(str(value))
    raise Unfit(f'the filter {name} wants a number, or one as a text such as "3.50"')
