"""When schedules come due: every occurrence once and in order, also where clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.occurrences import NAMES, Occurrences

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next ones, by the clocks of the zone."""
    found = Occurrences(cron, zone).upcoming(at(after), count)
    return [moment.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M %z") for moment in found]


def test_mondays_at_nine_are_at_nine_in_summer_and_in_winter() -> None:
    assert local("0 9 * * MON", "Europe/Berlin", "2026-10-18T00:00Z", 3) == [
        "10-19 09:00 +0200",
        "10-26 09:00 +0100",
        "11-02 09:00 +0100",
    ]


def test_what_falls_into_the_hour_that_is_left_out_in_spring_comes_once_at_its_end() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", 3) == [
        "03-28 02:30 +0100",
        "03-29 03:00 +0200",
        "03-30 02:30 +0200",
    ]
    assert local("0,20,40 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2) == [
        "03-29 03:00 +0200",
        "03-30 02:00 +0200",
    ]
    assert local("0 0 * * *", "Asia/Beirut", "2026-03-28T00:00Z", 2) == ["03-29 01:00 +0300", "03-30 00:00 +0300"]


def test_what_falls_into_the_hour_that_is_repeated_in_autumn_comes_once_the_first_time() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", 2) == ["10-25 02:30 +0200", "10-26 02:30 +0100"]


def test_who_asks_within_the_repeated_hour_is_not_given_what_was_in_the_first() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10+01:00", 1) == ["10-26 02:30 +0100"]
    assert Occurrences("30 2 * * *", "Europe/Berlin").latest(
        at("2026-10-24T02:30+02:00"), at("2026-10-25T02:10+01:00")
    ) == at("2026-10-25T02:30+02:00")


def test_every_half_hour_is_every_half_hour_also_when_the_clocks_are_changed() -> None:
    autumn = Occurrences("*/30 * * * *", "Europe/Berlin").upcoming(at("2026-10-24T23:45Z"), 8)
    spring = Occurrences("*/30 * * * *", "Europe/Berlin").upcoming(at("2026-03-28T23:45Z"), 8)
    for found in (autumn, spring):
        assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=30)}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_its_expression(name: str) -> None:
    after = at("2026-01-15T10:30Z")
    assert Occurrences(name.upper()).upcoming(after, 3) == Occurrences(NAMES[name]).upcoming(after, 3)


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("61 * * * *", "the minute '61' is none: it takes 0 to 59"),
        ("0 24 * * *", "the hour '24' is none: it takes 0 to 23"),
        ("0 9 0 * *", "the day-of-month '0' is none"),
        ("0 9 31 2 *", "the day-of-month '31' is none"),
        ("0 9 * JANUARY *", "the month 'JANUARY' is none: it takes 1 to 12, or JAN to DEC"),
        ("0 9 * * MONDAY", "the day-of-week 'MONDAY' is none"),
        ("0 9 * * ²L", "the day-of-week '²L' is none"),
        ("0 9 * *", "has 4 fields, and takes five: minute hour day-of-month month day-of-week"),
        ("0 0 9 * * *", "has 6 fields, and takes five"),
        ("", "has 0 fields"),
        ("@reboot", "'@reboot' is none of @yearly"),
        ("0 0 */20 * 1L", "never comes due"),
        ("0 " * 200, "is longer than 255 characters"),
    ],
)
def test_what_is_no_expression_is_refused_by_its_field(cron: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem.replace("*", r"\*")):
        Occurrences(cron)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("../../etc/passwd", "such as Europe/Berlin"),
        ("", "such as Europe/Berlin"),
        ("Europe", "no time zone"),
    ],
)
def test_what_is_no_time_zone_is_refused(zone: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint.replace("?", r"\?")):
        Occurrences("@daily", zone)


def test_the_latest_of_a_year_of_minutes_is_found_without_going_through_them() -> None:
    steps = 0

    class Counting(Occurrences):
        def after(self, moment: datetime):  # type: ignore[no-untyped-def]  # noqa: ANN202
            nonlocal steps
            for occurrence in super().after(moment):
                steps += 1
                yield occurrence

    minutely = Counting("* * * * *", "Europe/Berlin")
    assert minutely.latest(at("2025-01-01T00:00Z"), at("2026-01-01T00:00:30Z")) == at("2026-01-01T00:00Z")
    assert steps < 5_000


def test_the_latest_is_never_before_the_first() -> None:
    weekly = Occurrences("0 9 * * MON", "Europe/Berlin")
    monday = at("2026-01-05T08:00Z")
    assert weekly.latest(monday, monday) == monday
    assert weekly.latest(monday, monday + timedelta(days=6)) == monday
    assert weekly.latest(monday, monday + timedelta(days=7)) == monday + timedelta(days=7)


ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Beirut",
        "America/Sao_Paulo",
        "Asia/Kolkata",
    ]
)
MOMENTS = st.datetimes(datetime(2017, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


def numbers(lowest: int, highest: int, last: int | None = None) -> st.SearchStrategy[tuple[str, set[int]]]:
    """A field, and the numbers that it stands for; none above `highest` is named, where there are some up to `last`."""
    every = set(range(lowest, (last or highest) + 1))
    one = st.integers(lowest, highest)
    return st.one_of(
        st.just(("*", every)),
        one.map(lambda number: (str(number), {number})),
        st.sets(one, min_size=2, max_size=4).map(lambda some: (",".join(map(str, some)), some)),
        st.tuples(one, one).map(lambda two: (f"{min(two)}-{max(two)}", set(range(min(two), max(two) + 1)))),
        st.integers(2, 20).map(lambda step: (f"*/{step}", set(sorted(every)[::step]))),
    )


CRONS = st.tuples(numbers(0, 59), numbers(0, 23), numbers(1, 28, 31), numbers(1, 12), numbers(0, 6))


@given(fields=CRONS, zone=ZONES, after=MOMENTS)
def test_occurrences_are_strictly_later_and_match_the_expression(
    fields: tuple[tuple[str, set[int]], ...], zone: str, after: datetime
) -> None:
    cron = " ".join(text for text, _ in fields)
    minutes, hours, days, months, weekdays = (values for _, values in fields)
    both = fields[2][0].startswith("*") or fields[4][0].startswith("*")
    moment = after
    for occurrence in Occurrences(cron, zone).upcoming(after, 5):
        assert occurrence > moment
        moment = occurrence
        clock = occurrence.astimezone(ZoneInfo(zone))
        if clock.utcoffset() != (clock - timedelta(days=1)).utcoffset():
            continue  # the clocks were changed, and a time of day may have been left out
        assert (clock.minute in minutes, clock.hour in hours, clock.month in months) == (True, True, True)
        asked = clock.day in days, clock.isoweekday() % 7 in weekdays
        assert all(asked) if both else any(asked)
        assert clock.second == clock.microsecond == 0


@given(fields=CRONS, zone=ZONES, after=MOMENTS)
def test_it_does_not_matter_where_one_begins_to_count(
    fields: tuple[tuple[str, set[int]], ...], zone: str, after: datetime
) -> None:
    """A worker goes from one to the next, and another may have come in between."""
    occurrences = Occurrences(" ".join(text for text, _ in fields), zone)
    chain = [after]
    for _ in range(4):
        chain.append(occurrences.first_after(chain[-1]))
    assert chain[1:] == occurrences.upcoming(after, 4)
    assert [occurrences.latest(chain[1], until) for until in chain[1:]] == chain[1:]


@given(cron=st.text(alphabet="0123456789*/-,LW#@AMONSU ²\u0660", max_size=24))
def test_any_text_is_an_expression_or_is_refused(cron: str) -> None:
    try:
        Occurrences(cron)
    except ValueError:
        return
