"""What counts as an email address: what people have, and nothing that could be more than one address."""

from __future__ import annotations

import unicodedata
from email.utils import parseaddr

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.addresses import check_email
from outbox.channels.email.mailbox import Mailbox, parse_mailbox, wire_address

ACCEPTED = [
    "ada@example.org",
    "Ada.Lovelace@Mail.Example.ORG",
    "ada+news@example.org",
    "o'brien@example.org",
    "_ada_@example.org",
    "!#$%&'*+-/?=^_`{|}~@example.org",
    "1@1.com",
    "ada@localhost",
    "ada@relay",
    "ada@mail.test",
    "ada@printer.local",
    "ada@a-b--c.example",
    "ada@xn--bcher-kva.example",
    "ada@bücher.example",
    "jörg@bücher.example",
    "用户@例子.公司",
    "अजय@डाटा.भारत",
    "чебурашка@ящик.рф",
    f"{'a' * 64}@example.org",
    f"{'é' * 32}@example.org",
    f"ada@{'b' * 63}.example",
    f"ada@{'.'.join(['b' * 49] * 5)}",
]

REFUSED = [
    ("", "looks like"),
    ("ada", "looks like"),
    ("@", "looks like"),
    ("ada@", "looks like"),
    ("@example.org", "looks like"),
    ("ada@@example.org", "exactly one @"),
    ("ada@relay@example.org", "exactly one @"),
    (".ada@example.org", "dots"),
    ("ada.@example.org", "dots"),
    ("a..da@example.org", "dots"),
    ("ada@.example.org", "dots"),
    ("ada@example.org.", "dots"),
    ("ada@example..org", "dots"),
    ("ada@-example.org", "not a domain"),
    ("ada@example-.org", "not a domain"),
    ("ada@exam_ple.org", "not a domain"),
    ("ada@127.0.0.1", "not a domain"),
    ("ada@2130706433", "not a domain"),
    (f"ada@{'b' * 64}.example", "not a domain"),
    ("ada@[127.0.0.1]", r"U\+005B"),
    ('"ada"@example.org', r"U\+0022"),
    ("ada(the countess)@example.org", r"U\+0028"),
    ("ada lovelace@example.org", r"U\+0020"),
    ("Ada <ada@example.org>", r"U\+0020"),
    ("<ada@example.org>", r"U\+003C"),
    ("ada@example.org, grace@example.org", r"U\+002C"),
    ("ada@example.org>", r"U\+003E"),
    ("ada@example.org SIZE=1", r"U\+0020"),
    ("ada\\@example.org", r"U\+005C"),
    ("mailto:ada@example.org", r"U\+003A"),
    ("ada@example.org\r\n", r"U\+000D"),
    ("ada@example.org\n", r"U\+000A"),
    ("ada\x00@example.org", r"U\+0000"),
    ("ada\x7f@example.org", r"U\+007F"),
    ("ada\x85@example.org", r"U\+0085"),
    ("ada\xa0@example.org", r"U\+00A0"),
    ("ada\u200b@example.org", r"U\+200B"),
    ("ada\u2028@example.org", r"U\+2028"),
    ("ada\u202e@example.org", r"U\+202E"),
    ("ada@exa\u200dmple.org", r"U\+200D"),
    ("ada\uff20example.org", r"U\+FF20"),
    ("ada@example\u3002org", r"U\+3002"),
    ("\ud83d@example.org", r"U\+D83D"),
    ("=?utf-8?q?ada?=@example.org", "=\\?"),
    (f"{'a' * 65}@example.org", "more than 64 octets"),
    (f"{'é' * 33}@example.org", "more than 64 octets"),
    (f"ada@{'.'.join(['b' * 50] * 5)}", "254 octets"),
    (f"ada@{'é' * 126}", "254 octets"),
    ("a" * 1_000_000, "254 octets"),
]


@pytest.mark.parametrize("address", ACCEPTED, ids=ascii)
def test_an_address_that_people_have_is_accepted(address: str) -> None:
    check_email(address)


@pytest.mark.parametrize(("address", "problem"), REFUSED, ids=lambda text: ascii(text)[:40])
def test_anything_else_is_refused_with_a_reason(address: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        check_email(address)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "address", ["grace.hopper@@navy.example", "grace.hopper@navy_", "grace.hopper", "grace. hopper@a"]
)
def test_a_refusal_does_not_repeat_the_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"address|domain") as raised:
        check_email(address)
    assert "hopper" not in str(raised.value)


def test_no_invisible_character_of_unicode_is_accepted() -> None:
    invisible = {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
    for code in range(0x110000):
        character = chr(code)
        if unicodedata.category(character) in invisible:
            for address in (f"a{character}a@example.org", f"ada@exam{character}ple.org"):
                with pytest.raises(ValueError, match="address"):
                    check_email(address)


@given(st.text(max_size=30), st.text(max_size=30))
@example("a;b", "example.org")
def test_what_is_accepted_is_one_address_to_everybody(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    try:
        check_email(address)
    except ValueError:
        return
    assert parseaddr(address) == ("", address)
    assert parseaddr(f"Name <{address}>") == ("Name", address)


@given(st.text(max_size=20), st.text(max_size=30))
@example("a\u037eb", "example.org")
@example("ada", "example\u2024org")
@example("ada", "x²y.example")
@example("é", "é.localhost")
def test_what_goes_on_the_wire_is_an_address_again_with_an_ascii_domain(local: str, domain: str) -> None:
    try:
        wire = wire_address(f"{local}@{domain}")
    except ValueError:
        return
    check_email(wire)
    assert wire.rpartition("@")[2].isascii()
    assert wire.rpartition("@")[0] == unicodedata.normalize("NFC", local)
    assert wire_address(wire) == wire


@pytest.mark.parametrize("address", ["ada@xn--a.example", "ada@❤.example", "ada@\u0301a.example", f"a@{'é' * 62}.de"])
def test_a_domain_that_the_dns_cannot_hold_is_refused(address: str) -> None:
    check_email(address)
    with pytest.raises(ValueError, match=r"cannot be encoded|not a domain"):
        wire_address(address)


@pytest.mark.parametrize(
    ("text", "mailbox"),
    [
        ("hello@example.org", Mailbox("", "hello@example.org")),
        ("<hello@example.org>", Mailbox("", "hello@example.org")),
        ("Example <hello@example.org>", Mailbox("Example", "hello@example.org")),
        ('"Example, Inc." <hello@example.org>', Mailbox("Example, Inc.", "hello@example.org")),
        ('"Say \\"hello\\"" <hello@example.org>', Mailbox('Say "hello"', "hello@example.org")),
        ("Zoë Größe <zoe@größe.example>", Mailbox("Zoë Größe", "zoe@xn--gre-6ka8i.example")),
    ],
)
def test_a_sender_is_a_name_and_an_address(text: str, mailbox: Mailbox) -> None:
    assert parse_mailbox(text) == mailbox


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Example",
        "Example <>",
        "Example <hello@example.org> <evil@example.net>",
        "Example <hello@example.org>, evil@example.net",
        "Example\r\nBcc: evil@example.net <hello@example.org>",
        '"Exam\nple" <hello@example.org>',
        "Exam\x00ple <hello@example.org>",
        "Example <hello@example.org\r\n>",
        "hello@example.org\n",
    ],
    ids=ascii,
)
def test_anything_else_is_no_sender(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|display name"):
        parse_mailbox(text)
