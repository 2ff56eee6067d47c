"""When a cron expression comes due: its occurrences in a time zone, each once, whatever is done to the clocks there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from outbox.zones import zone

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_RANGES = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, or L for the last",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), or SUN to SAT",
}
_LONGEST = 255
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# More than any clock was ever set back or forward by: a zone may change the side of the date line.
_MARGIN = timedelta(hours=26)


class Occurrences:
    """Those of one expression (`0 9 * * MON`, or `@daily`) by the clocks of one time zone (`Europe/Berlin`).

    As Debian's cron has them: what falls into the hour that is left out in spring comes once, at its end; what falls
    into the hour that is repeated in autumn comes once, the first time. What begins with a `*` (minutes or hours) is
    not about a time of day, and comes in every hour that there is. They are in UTC.
    """

    def __init__(self, cron: str, time_zone: str = "UTC") -> None:
        """Read both.

        Raises:
            ValueError: naming the field that is wrong, or the zone, and what would be right.
        """
        self._zone = zone(time_zone)
        self._cron = _checked(cron)
        if next(self.after(_EPOCH + timedelta(days=20_000)), None) is None:
            raise ValueError(f"{cron!r} never comes due: no day is all that it asks for")

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield those later than a moment, in order, for as long as there are any within fifty years of the last."""
        # Of the two hours in autumn, cronsim gives the first also to whoever stands in the second.
        for found in CronSim(self._cron, moment.astimezone(self._zone)):
            occurrence = found.astimezone(UTC)
            if occurrence > moment:
                yield occurrence
                moment = occurrence

    @property
    def words(self) -> str:
        """What the expression says, in words: `At 09:00 on Monday`."""
        return CronSim(self._cron, _EPOCH).explain()

    def first_after(self, moment: datetime) -> datetime:
        """Return the first one later than a moment.

        Raises:
            ValueError: there is none within fifty years.
        """
        found = next(self.after(moment), None)
        if found is None:
            raise ValueError(f"{self._cron!r} does not come due again")
        return found

    def upcoming(self, moment: datetime, count: int) -> list[datetime]:
        """Return the first `count` ones later than a moment."""
        return list(islice(self.after(moment), count))

    def latest(self, since: datetime, until: datetime) -> datetime:
        """Return the last one that is not later than `until`; `since` is one, and the earliest to return.

        Backwards first, so that a year of minutes is not gone through; then forwards, because where clocks are changed
        the two ways do not meet the same ones.
        """
        back = next(CronSim(self._cron, (until - _MARGIN).astimezone(self._zone), reverse=True), None)
        begin = since if back is None else max(since, back.astimezone(UTC) - _MARGIN)
        latest = since
        for occurrence in self.after(begin):
            if occurrence > until:
                break
            latest = occurrence
        return latest


def _checked(cron: str) -> str:
    """Return the five fields, `@daily` and its like spelled out."""
    if len(cron) > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST} characters")
    written = cron.strip()
    if written.startswith("@"):
        if written.lower() not in NAMES:
            raise ValueError(f"{written!r} is none of {', '.join(NAMES)}")
        return NAMES[written.lower()]
    fields = written.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"{cron!r} has {len(fields)} fields, and takes five: {' '.join(_FIELDS)}, such as 0 9 * * MON; or @daily"
        )
    try:
        CronSim(" ".join(fields), _EPOCH)
    except CronSimError as error:
        name = str(error).removeprefix("Bad ")
        if name not in _FIELDS:
            raise ValueError(f"{cron!r}: {error}") from None
        field = fields[_FIELDS.index(name)]
        raise ValueError(
            f"the {name} {field!r} is none: it takes {_RANGES[name]}; also *, lists, ranges, */2"
        ) from None
    return " ".join(fields)
