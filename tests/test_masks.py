from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.masks import LEFT_OUT, mask, without_recipients


@pytest.mark.parametrize(
    ("recipient", "masked"),
    [
        ("ada@example.org", "a***@example.org"),
        ("+4915112345123", "+49…123"),
        ("https://user:secret@hooks.example.org/in/token?key=1", "https://hooks.example.org/…"),
        ("user:4211", "…211"),
        ("u:42", "***"),
        ("dGhpcyBpcyBhIHRva2Vu" * 3, "…2Vu"),
        ("@ada", "***"),
    ],
)
def test_who_knows_it_recognises_it(recipient: str, masked: str) -> None:
    assert mask(recipient) == masked


@given(st.emails(), st.text("abc ,.;:<>'\"()", max_size=10), st.text("abc ,.;:<>'\"()", max_size=10))
def test_no_address_stays_in_what_is_said(address: str, before: str, after: str) -> None:
    local = address.rpartition("@")[0]
    said = without_recipients(f"{before} <{address}> {after}")
    assert f"{local}@" not in said
    assert LEFT_OUT in said


@given(st.from_regex(r"\+[1-9][0-9]{7,14}", fullmatch=True))
def test_no_number_stays_in_what_is_said(number: str) -> None:
    assert number[-6:] not in without_recipients(f"'{number}' is not a mobile number")


@pytest.mark.parametrize(
    "words",
    ["550 5.1.1 unknown user", "400 21211", "held for 30 s", "01980000-0000-7000-8000-000000000000", "12:30:04", ""],
)
def test_codes_and_ids_stay(words: str) -> None:
    assert without_recipients(words) == words


def test_a_url_and_a_token_are_left_out() -> None:
    assert without_recipients("POST https://hooks.example.org/in/s3cret refused") == "POST … refused"
    assert without_recipients(f"the token {'a1b2' * 16} is not registered") == "the token … is not registered"
