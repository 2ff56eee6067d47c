"""How many parts a text takes, and what stands in each."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.channels.sms.segments import Encoding, count_parts, pack

GSM7, UCS2 = Encoding.GSM7, Encoding.UCS2
EXTENSION = "\f^{}\\[~]|€"
EMOJI = "\N{GRINNING FACE}"

gsm7 = st.text(st.sampled_from("aZ0 @é\nΩ" + EXTENSION))
any_text = st.one_of(
    gsm7,
    st.text(st.sampled_from("aé{ж漢" + EMOJI)),
    st.builds(lambda text, times: text * times, st.text(max_size=4), st.integers(0, 200)),
)


def units(text: str, encoding: Encoding) -> int:
    """Count in another way than the module does."""
    if encoding is UCS2:
        return len(text.encode("utf-16-le", "surrogatepass")) // 2
    return len(text) + sum(text.count(character) for character in EXTENSION)


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("", (GSM7, 0, 1)),
        ("a" * 160, (GSM7, 160, 1)),
        ("a" * 161, (GSM7, 161, 2)),
        ("a" * 306, (GSM7, 306, 2)),
        ("a" * 307, (GSM7, 307, 3)),
        ("{" * 80, (GSM7, 160, 1)),
        ("a" * 159 + "€", (GSM7, 161, 2)),
        ("ж" * 70, (UCS2, 70, 1)),
        ("ж" * 71, (UCS2, 71, 2)),
        ("ж" * 134, (UCS2, 134, 2)),
        ("ж" * 135, (UCS2, 135, 3)),
        (EMOJI * 35, (UCS2, 70, 1)),
        (EMOJI * 36, (UCS2, 72, 2)),
        ("a" * 159 + "`", (UCS2, 160, 3)),
    ],
)
def test_a_text_takes_as_many_parts_as_the_standard_says(text: str, counted: tuple[Encoding, int, int]) -> None:
    assert count_parts(text) == counted


def test_a_character_of_two_septets_stays_whole_though_that_costs_a_part() -> None:
    text = "a" * 152 + "{" + "a" * 152  # 306 septets, which is twice 153
    assert [len(part) for part in pack(text)] == [152, 152, 1]
    assert count_parts(text) == (GSM7, 306, 3)


def test_a_pair_of_surrogates_stays_whole_though_that_costs_a_part() -> None:
    text = "a" * 66 + EMOJI + "a" * 66  # 134 code units, which is twice 67
    assert [len(part) for part in pack(text)] == [66, 66, 1]
    assert count_parts(text) == (UCS2, 134, 3)


def test_the_alphabet_is_that_of_the_standard() -> None:
    characters = [chr(number) for number in range(0x10000) if not 0xD800 <= number < 0xE000]
    counted = {character: count_parts(character) for character in characters}
    in_gsm7 = {character for character, taken in counted.items() if taken.encoding is GSM7}
    assert len(in_gsm7) == 127 + 10, "128 septets, of which one is the escape, and the extension table"
    assert {character for character in in_gsm7 if counted[character].units == 2} == set(EXTENSION)
    assert in_gsm7 >= set("@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà\n\r")
    assert not in_gsm7 & set("`ç\t\x1b\N{NO-BREAK SPACE}’“”–—…ÀÁ")  # noqa: RUF001 - what word processors put in


@given(any_text)
def test_the_parts_joined_are_the_text(text: str) -> None:
    assert "".join(pack(text)) == text


@given(any_text)
def test_no_part_holds_more_than_it_can(text: str) -> None:
    encoding, _, count = count_parts(text)
    parts = pack(text)
    assert len(parts) == count
    limit = encoding.alone if count == 1 else encoding.joined
    assert all(units(part, encoding) <= limit for part in parts)


@given(any_text)
def test_no_character_straddles_a_boundary(text: str) -> None:
    encoding, total, _ = count_parts(text)
    assert sum(units(part, encoding) for part in pack(text)) == total == units(text, encoding)


@given(any_text)
def test_a_part_is_ended_only_by_what_does_not_fit_into_it(text: str) -> None:
    encoding, _, _ = count_parts(text)
    parts = pack(text)
    for part, following in pairwise(parts):
        assert units(part + following[0], encoding) > encoding.joined


@given(any_text, any_text)
def test_a_longer_text_takes_no_fewer_parts(text: str, more: str) -> None:
    assert count_parts(text).parts <= count_parts(text + more).parts
    assert count_parts(more).parts <= count_parts(text + more).parts


@given(gsm7)
def test_gsm7_is_never_the_dearer_encoding(text: str) -> None:
    assert count_parts(text).parts <= count_parts(text + "ж").parts


def test_the_page_counts_as_the_program_does() -> None:
    page = (Path(__file__).parents[1] / "docs" / "sms.md").read_text(encoding="utf-8")
    (program,) = [
        block
        for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if "count_parts" in block
    ]
    exec(program, {})  # noqa: S102 - our own page
