"""Tokens of links to unsubscribe: what goes in comes out, and nothing else does."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.errors import ConfigError, ExpiredToken, InvalidToken
from outbox.messages import OptOut
from outbox.oneclick import Keys, read, seal
from outbox.oneclick.token import last_day, permits_undo, undo_permit

FIRST, SECOND = "first-secret-of-thirty-two-letters-x", "second-secret-of-thirty-two-letters"
KEYS = Keys([FIRST])
DAY = date(2030, 1, 31)
ADA = OptOut("email", "ada@example.org", "weekly news", DAY)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
opt_outs = st.builds(
    OptOut,
    channel=st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True),
    recipient=texts,
    topic=texts,
    last_day=st.dates(date(1970, 1, 1), date(2149, 6, 6)),
)


@given(opt_outs)
def test_what_was_sealed_is_read_again_and_every_time_it_is_the_same(opt_out: OptOut) -> None:
    token = seal(opt_out, KEYS)
    assert set(token) <= set(ALPHABET)
    assert read(token, KEYS, today=opt_out.last_day) == opt_out
    assert seal(opt_out, Keys([FIRST, SECOND])) == token


@given(opt_outs, st.data())
def test_a_token_of_which_a_character_was_changed_is_refused(opt_out: OptOut, data: st.DataObject) -> None:
    token = seal(opt_out, KEYS)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from(ALPHABET.replace(token[at], "")))
    with pytest.raises(InvalidToken):
        read(token[:at] + other + token[at + 1 :], KEYS, today=opt_out.last_day)


def test_every_change_of_every_character_is_refused_also_of_the_bits_that_say_nothing() -> None:
    for recipient in (
        "a@example.org",
        "ab@example.org",
        "abc@example.org",
    ):  # base64 leaves 0, 2 and 4 bits over
        token = seal(OptOut("email", recipient, "news", DAY), KEYS)
        for at, was in enumerate(token):
            for other in ALPHABET.replace(was, ""):
                with pytest.raises(InvalidToken):
                    read(token[:at] + other + token[at + 1 :], KEYS, today=DAY)


@given(st.one_of(st.text(), st.text(ALPHABET), st.binary().map(lambda data: data.decode("latin-1"))))
@example("")
@example("AQ")
@example("A" * 10_000)
@example("AQ==")
@example("\ud800")
def test_what_we_have_not_written_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        read(token, KEYS)


@given(opt_outs, st.data())
def test_a_token_that_was_cut_or_made_longer_is_refused(opt_out: OptOut, data: st.DataObject) -> None:
    token = seal(opt_out, KEYS)
    cut = data.draw(st.integers(0, len(token) - 1))
    more = data.draw(st.text(ALPHABET, min_size=1, max_size=8))
    for forged in (token[:cut], token + more, token + "=", token + "\n", " " + token):
        with pytest.raises(InvalidToken):
            read(forged, KEYS, today=opt_out.last_day)


def test_guessing_does_not_help() -> None:
    token = seal(ADA, KEYS)
    for _ in range(20_000):
        forged = token[:2] + secrets.token_urlsafe(len(token))[: len(token) - 2]
        with pytest.raises(InvalidToken):
            read(forged, KEYS, today=DAY)


def test_it_is_good_until_the_end_of_its_last_day_and_then_says_what_it_was_for() -> None:
    token = seal(ADA, KEYS)
    assert read(token, KEYS, today=DAY) == ADA
    with pytest.raises(ExpiredToken, match=r"^the link was good until 2030-01-31$") as expired:
        read(token, KEYS, today=DAY + timedelta(days=1))
    assert expired.value.opt_out == ADA
    with pytest.raises(InvalidToken):  # and what was forged is never told that it is too late
        read(token[:-1] + ("A" if token[-1] != "A" else "B"), KEYS, today=DAY + timedelta(days=1))


def test_without_a_day_it_is_today() -> None:
    today = datetime.now(UTC).date()
    tomorrow = OptOut("email", "ada@example.org", "news", today + timedelta(days=1))
    assert read(seal(tomorrow, KEYS), KEYS) == tomorrow
    with pytest.raises(ExpiredToken):
        read(seal(OptOut("email", "ada@example.org", "news", today - timedelta(days=1)), KEYS), KEYS)


def test_the_first_secret_signs_and_all_of_them_read() -> None:
    old, rotated, new = Keys([FIRST]), Keys([SECOND, FIRST]), Keys([SECOND])
    before, after = seal(ADA, old), seal(ADA, rotated)
    assert read(before, rotated, today=DAY) == read(after, rotated, today=DAY) == ADA
    assert read(after, new, today=DAY) == ADA
    with pytest.raises(InvalidToken):
        read(before, new, today=DAY)


def test_a_token_for_one_topic_says_nothing_about_another() -> None:
    tokens = {seal(OptOut("email", "ada@example.org", topic, DAY), KEYS) for topic in ("news", "offers")}
    assert {read(token, KEYS, today=DAY).topic for token in tokens} == {"news", "offers"}
    heads = {token[:30] for token in tokens}
    mixed = {head + token[30:] for head in heads for token in tokens} - tokens
    for token in mixed:
        with pytest.raises(InvalidToken):
            read(token, KEYS, today=DAY)


def test_where_one_field_ends_and_the_next_begins_cannot_be_confused() -> None:
    assert (
        len({seal(OptOut(*parts, DAY), KEYS) for parts in (("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"))}) == 3
    )


def test_the_address_is_not_to_be_read_off_a_token() -> None:
    sealed = urlsafe_b64decode(seal(ADA, KEYS) + "==")
    for part in (b"ada", b"example", b"org", b"weekly", b"news", b"email"):
        assert part not in sealed
    other = urlsafe_b64decode(seal(OptOut("email", "bob@example.org", "weekly news", DAY), KEYS) + "==")
    same = sum(one == another for one, another in zip(sealed[1:], other[1:], strict=True))
    assert same < 8  # of 50, by chance: what has no key sees nothing in common


def test_without_a_secret_there_are_no_keys_and_keys_show_none() -> None:
    with pytest.raises(ConfigError, match=r"unsubscribe\.secret is missing"):
        Keys([])
    assert FIRST not in repr(Keys([FIRST, SECOND]))
    assert "ada" not in repr(ADA)


@given(
    lifetime=st.floats(30 * 86_400, 3_650 * 86_400),
    made=st.floats(1.7e9, 2.5e9),
    waited=st.floats(0, 400 * 86_400),
    again=st.floats(0, 3 * 86_400),
)
def test_a_link_is_good_for_its_lifetime_at_least_and_a_month_longer_at_most(
    lifetime: float, made: float, waited: float, again: float
) -> None:
    day = last_day(lifetime, made, made + waited)
    end = datetime.combine(day + timedelta(days=1), datetime.min.time(), UTC).timestamp()
    assert 0 <= end - (made + waited) - lifetime <= 33 * 86_400
    assert last_day(lifetime, made, made + waited + again) >= day


def test_every_attempt_within_a_month_says_the_same() -> None:
    made, day = 1.8e9, 86_400
    assert {last_day(90 * day, made, made + waited) for waited in (0, 1, day, 3 * day, 30 * day, 31 * day)} == {
        last_day(90 * day, made, made - 5)  # a clock of ours that is behind the database's
    }


def test_a_permit_to_undo_is_good_for_an_hour_and_for_its_token() -> None:
    token, now = seal(ADA, KEYS), 1.8e9
    permit = undo_permit(token, KEYS, now)
    assert permits_undo(permit, token, KEYS, now + 3_599)
    assert permits_undo(permit, token, Keys([SECOND, FIRST]), now)
    assert not permits_undo(permit, token, KEYS, now + 3_601)
    assert not permits_undo(permit, token + "A", KEYS, now)
    assert not permits_undo(permit, token, Keys([SECOND]), now)
    later = str(int(permit.partition(".")[0]) + 1)
    for forged in ("", ".", "1", permit[:-1], f"{later}.{permit.partition('.')[2]}", f"{later}.ö", "²." + "0" * 32):
        assert not permits_undo(forged, token, KEYS, now)
