"""Hours of the week, as they are written and by the clocks of any time zone, whatever is done to those."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.hours import Hours
from outbox.week import DAYS, WEEK, Spans, merged, others, parse_week

MINUTE = timedelta(minutes=1)
NIGHTS = Hours(parse_week("22:00-08:00").spans)
UNTIL_HALF_PAST_TWO = Hours(parse_week("01:00-02:30").spans)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def opens(hours: Hours, zone: str, moment: str) -> str:
    """When it is next open, by the clocks of the zone."""
    return f"{hours.opening(at(moment), ZoneInfo(zone)).astimezone(ZoneInfo(zone)):%a %m-%d %H:%M %z}"


def changes(hours: Hours, zone: str, moment: str, count: int) -> list[str]:
    """The next times at which it opens or closes, by the clocks of the zone."""
    found, until = [], at(moment)
    for _ in range(count):
        is_open, until = hours.stretch(until, ZoneInfo(zone))
        local = until.astimezone(ZoneInfo(zone))
        found.append(f"{'closes' if is_open else 'opens'} {local:%H:%M %z}")
    return found


def hours_of(text: str | list[str]) -> list[str]:
    """What was understood, each span with its day."""
    return [
        f"{DAYS[begin // 1440]} {begin // 60 % 24:02}:{begin % 60:02} {end - begin}m"
        for begin, end in parse_week(text).spans
    ]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("Mon 09:00-17:00", ["Mon 09:00 480m"]),
        ("mon-WED 9:00-10:00", ["Mon 09:00 60m", "Tue 09:00 60m", "Wed 09:00 60m"]),
        ("Monday, wednesday 9:00-10:00", ["Mon 09:00 60m", "Wed 09:00 60m"]),
        ("Sat,Sun 20:00-10:00", ["Mon 00:00 600m", "Sat 20:00 840m", "Sun 20:00 240m"]),
        ("Fri-Mon", ["Mon 00:00 1440m", "Fri 00:00 4320m"]),
        ("Mon 9:00-12:00, 13:00 - 17:00; Sat 10:00–14:00", ["Mon 09:00 180m", "Mon 13:00 240m", "Sat 10:00 240m"]),  # noqa: RUF001
        (["Tue 10:00-11:00", "Tue 10:30-12:00", "Tue 12:00-12:30;"], ["Tue 10:00 150m"]),
        ("Wed 22:00-24:00", ["Wed 22:00 120m"]),
    ],
)
def test_hours_are_written_as_people_write_them(text: str | list[str], spans: list[str]) -> None:
    assert hours_of(text) == spans


def test_without_days_hours_are_those_of_every_day() -> None:
    assert hours_of("12:00-13:00") == [f"{day} 12:00 60m" for day in DAYS]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty: write it like"),
        (7, 'is no text: write it like "22:00-08:00"'),
        ([7], 'is no text: write it like "22:00-08:00"'),
        ("22-8", "'22-8' in '22-8' is no range of hours: write it like 22:00-08:00"),
        ("22:00-08:00,", "'' in '22:00-08:00,' is no range of hours"),
        (
            "Mon 10:00-11:00, Sat 12:00-13:00",
            "'Sat 12:00-13:00' in .* is no range of hours: other days begin after a ;",
        ),
        ("25:00-01:00", "25:00 in '25:00-01:00' is no time of day"),
        ("10:60-11:00", "10:60 in '10:60-11:00' is no time of day"),
        ("08:00-24:01", "24:01 in '08:00-24:01' is no time of day"),
        ("24:00-01:00", "'24:00-01:00' begins at 24:00"),
        ("08:00-08:00", "ends where it begins: the whole day is 00:00-24:00"),
        ("Funday 10:00-11:00", "'Funday' is no day: they are Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
        ("Mon- 10:00-11:00", "'' is no day"),
        ("Mon,,Tue", "'' is no day"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(text: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_week(text)


def test_what_would_be_open_at_no_time_or_at_any_is_no_hours() -> None:
    for closed in (parse_week("Mon-Sun").spans, ()):
        with pytest.raises(ValueError, match="open"):
            Hours(closed)


def test_the_night_ends_at_eight_in_summer_and_in_winter_and_when_the_clocks_are_changed() -> None:
    assert opens(NIGHTS, "Europe/Berlin", "2026-07-01T23:00+02:00") == "Thu 07-02 08:00 +0200"
    assert opens(NIGHTS, "Europe/Berlin", "2026-01-01T23:00+01:00") == "Fri 01-02 08:00 +0100"
    assert opens(NIGHTS, "Europe/Berlin", "2026-03-28T23:00+01:00") == "Sun 03-29 08:00 +0200"
    assert opens(NIGHTS, "Europe/Berlin", "2026-10-24T23:00+02:00") == "Sun 10-25 08:00 +0100"
    assert opens(NIGHTS, "Europe/Berlin", "2026-07-01T12:00+02:00") == "Wed 07-01 12:00 +0200"


def test_what_opens_in_the_hour_that_is_left_out_in_spring_is_open_after_it() -> None:
    assert opens(UNTIL_HALF_PAST_TWO, "Europe/Berlin", "2026-03-29T01:10+01:00") == "Sun 03-29 03:00 +0200"


def test_what_opens_in_the_hour_that_is_repeated_in_autumn_opens_twice() -> None:
    assert changes(UNTIL_HALF_PAST_TWO, "Europe/Berlin", "2026-10-25T01:10+02:00", 4) == [
        "opens 02:30 +0200",
        "closes 02:00 +0100",
        "opens 02:30 +0100",
        "closes 01:00 +0100",
    ]


def test_where_clocks_are_changed_by_half_an_hour_so_are_the_hours() -> None:
    spring, autumn = "2026-10-04T01:30+10:30", "2026-04-05T01:00+11:00"
    assert opens(Hours(parse_week("01:00-02:15").spans), "Australia/Lord_Howe", spring) == "Sun 10-04 02:30 +1100"
    assert changes(Hours(parse_week("01:00-01:45").spans), "Australia/Lord_Howe", autumn, 3) == [
        "opens 01:45 +1100",
        "closes 01:30 +1030",
        "opens 01:45 +1030",
    ]


def test_a_day_that_a_country_left_out_is_waited_for_until_the_week_after() -> None:
    """Samoa went over the date line on Thursday, 29 December 2011, at midnight: there was no Friday."""
    fridays = Hours(others(parse_week("Fri 09:00-10:00").spans))
    assert opens(fridays, "Pacific/Apia", "2011-12-24T09:00-10:00") == "Fri 01-06 09:00 +1400"
    assert opens(NIGHTS, "Pacific/Apia", "2011-12-29T23:00-10:00") == "Sat 12-31 08:00 +1400"


_NAMES = (
    "UTC Europe/Berlin America/New_York Australia/Lord_Howe Pacific/Apia Africa/El_Aaiun America/Sao_Paulo "
    "Asia/Kathmandu Antarctica/Troll Asia/Pyongyang"
)
ZONES = st.sampled_from(_NAMES.split()).map(ZoneInfo)
CHANGED = [at(text) for text in ("2026-03-29T01:00Z", "2026-10-25T01:00Z", "2011-12-30T10:00Z", "2026-04-04T15:00Z")]
MOMENTS = st.one_of(
    st.sampled_from(CHANGED).flatmap(lambda moment: st.integers(-3_000, 3_000).map(lambda m: moment + m * MINUTE)),
    st.integers(0, 34 * 365 * 1440).map(lambda minutes: at("2000-01-01T00:00Z") + minutes * MINUTE),
)
MINUTES_OF_A_WEEK = st.integers(0, WEEK - 1)


@st.composite
def closed_spans(draw: st.DrawFn) -> Spans:
    pairs = draw(st.lists(st.tuples(MINUTES_OF_A_WEEK, st.integers(1, 2_000)), min_size=1, max_size=6))
    spans = merged((begin, min(begin + length, WEEK)) for begin, length in pairs)
    return spans if others(spans) else ((0, 60),)


def is_closed(spans: Spans, moment: datetime, zone: ZoneInfo) -> bool:
    local = moment.astimezone(zone)
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    return any(begin <= minute < end for begin, end in spans)


@given(closed_spans(), MOMENTS, ZONES)
@example(parse_week("01:00-02:30").spans, at("2026-10-25T00:10Z"), ZoneInfo("Europe/Berlin"))
def test_an_opening_is_open_and_no_minute_before_it_is(spans: Spans, moment: datetime, zone: ZoneInfo) -> None:
    opening = Hours(spans).opening(moment, zone)
    assert not is_closed(spans, opening, zone)
    while moment < opening:
        assert is_closed(spans, moment, zone)
        moment += MINUTE


@given(closed_spans(), MOMENTS, ZONES, st.integers(0, 20_000), st.integers(0, 59_999_999))
def test_who_comes_later_is_not_let_in_earlier(
    spans: Spans, moment: datetime, zone: ZoneInfo, minutes: int, microseconds: int
) -> None:
    hours = Hours(spans)
    later = moment + minutes * MINUTE + timedelta(microseconds=microseconds)
    assert moment <= hours.opening(moment, zone) <= hours.opening(later, zone)


@given(closed_spans(), MOMENTS, ZONES, st.integers(0, 5_000))
def test_the_time_that_it_is_open_is_what_the_minutes_say(
    spans: Spans, moment: datetime, zone: ZoneInfo, minutes: int
) -> None:
    until = moment + minutes * MINUTE
    counted = sum(not is_closed(spans, moment + number * MINUTE, zone) for number in range(minutes))
    assert Hours(spans).open_seconds(moment, until, zone, enough=1e9) == counted * 60


@given(closed_spans(), MOMENTS, ZONES, st.integers(0, 20_000))
def test_a_turn_comes_when_it_has_been_open_for_so_long(
    spans: Spans, moment: datetime, zone: ZoneInfo, seconds: int
) -> None:
    hours = Hours(spans)
    turn = hours.after_open(moment, seconds, zone)
    assert not is_closed(spans, turn, zone)
    assert hours.open_seconds(moment, turn, zone, enough=1e9) == seconds


@given(closed_spans())
def test_what_is_not_closed_is_the_rest_of_the_week(spans: Spans) -> None:
    assert merged([*spans, *others(spans)]) == ((0, WEEK),)
    assert others(others(spans)) == spans
