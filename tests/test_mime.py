"""An email as bytes: whatever was written comes out of the standard library's parser as it went in."""

from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.headerregistry import Address
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outbox.channels.email import mime
from outbox.channels.email.headers import unstructured
from outbox.errors import Rejected
from outbox.messages import Email

if TYPE_CHECKING:
    from email.message import EmailMessage

DATE = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
MESSAGE_ID = "019ab1f0-3c00-7000-8000-0123456789ab@example.org"
SENDER = "Example <hello@example.org>"

bodies = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.text("ab =.-\t\r\n\x00é漢😀", max_size=300))
lines = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300)
names = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters='<>"\\'), max_size=9)


def build(message: Email, sender: str = SENDER) -> bytes:
    return mime.build(message, sender=sender, message_id=MESSAGE_ID, date=DATE)


def parsed(data: bytes) -> EmailMessage:
    """The message as the standard library reads it, after checking what every message of ours must be."""
    assert data.endswith(b"\r\n")
    assert data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n")
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    message = message_from_bytes(data, policy=policy.default)
    for part in message.walk():
        assert not part.defects
        for value in part.values():
            assert not value.defects
    for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"):
        assert len(message.get_all(name, [])) == 1
    return message


def newlines(text: str) -> str:
    text = re.sub(r"\r\n|\r", "\n", text)
    return text if text.endswith("\n") else f"{text}\n"


def content(part: EmailMessage) -> str:
    """The text of a part: what get_content() returns, which would leave a body in 7 bits its CRLFs."""
    return newlines(part.get_content())


@given(subject=lines, text=st.none() | bodies, html=st.none() | bodies)
@example(subject="", text="", html="")
@example(subject=" leading and  double ", text="a\r\rb\r\n\n", html=None)
@example(subject="=?utf-8?q?not_encoded?=", text="=?utf-8?q?not_encoded?=", html="=3D")
@example(subject="x" * 10_000, text="x" * 10_000, html="é" * 10_000)
@example(subject="é" * 10_000, text="x" * 998, html="x" * 999)
@example(subject="a " * 5_000 + "a", text="trailing \nspace\t\n", html="From here\n.\n..\n")
@example(subject="a\u200fb", text="\x0b\x0c\x1c\x85\u2028", html="\x00")
def test_any_message_parses_back_to_what_it_was(subject: str, text: str | None, html: str | None) -> None:
    message = Email("ada@example.com", subject, text, html)
    if text is None and html is None:
        with pytest.raises(Rejected, match="neither"):
            build(message)
        return
    data = build(message)
    assert data.isascii()
    found = parsed(data)
    assert found["subject"] == subject
    assert found["from"].addresses == (Address("Example", "hello", "example.org"),)
    assert found["to"].addresses == (Address("", "ada", "example.com"),)
    assert found["date"].datetime == DATE
    assert found["message-id"] == f"<{MESSAGE_ID}>"
    parts = list(found.iter_parts()) if found.is_multipart() else [found]
    expected = [("text/plain", text), ("text/html", html)]
    assert [(part.get_content_type(), content(cast("EmailMessage", part))) for part in parts] == [
        (kind, newlines(body)) for kind, body in expected if body is not None
    ]


@given(name=names)
@example(name="Example, Inc.")
@example(name="=?utf-8?q?x?=")
@example(name="Zoë, Größe & Söhne (GmbH)")
@example(name="Dr. Ada")
@example(name=" 0  ¡")
def test_any_display_name_parses_back_to_what_it_was(name: str) -> None:
    sender = f'"{name}" <hello@example.org>'
    found = parsed(build(Email("ada@example.com", "Hello", "Hello"), sender))
    assert found["from"].addresses == (Address(re.sub(" +", " ", name).strip(), "hello", "example.org"),)


def test_a_long_display_name_is_folded_between_whole_characters() -> None:
    name = "Gesellschaft für schöne Grüße " * 20
    data = build(Email("ada@example.com", "Hello", "Hello"), f"{name} <hello@example.org>")
    head = data.partition(b"\r\nTo:")[0].decode()
    assert all(len(line) <= 76 for line in head.split("\r\n"))
    assert str(make_header(decode_header(head))) == f"From: {name.strip()} <hello@example.org>"


@given(value=lines)
def test_any_free_text_in_a_header_of_yours_parses_back_to_what_it_was(value: str) -> None:
    found = parsed(build(Email("ada@example.com", "Hello", "Hello", headers={"X-Campaign": value})))
    assert found["x-campaign"] == value.strip(" ")


def test_the_same_message_is_the_same_bytes() -> None:
    message = Email("ada@example.com", "Hällo", "Hello", "<p>Hello")
    assert build(message) == build(message)


def test_the_text_comes_before_the_html() -> None:
    """RFC 2046 section 5.1.4: the last part is the one preferred."""
    found = parsed(build(Email("ada@example.com", "Hello", "Hello", "<p>Hello")))
    assert found.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Hello Ada\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("a\x00b", "quoted-printable"),
        ("Grüße an alle, die dies lesen\n", "quoted-printable"),
        ("Привет, мир\n", "base64"),
        ("漢字", "base64"),
    ],
)
def test_a_body_goes_in_the_plainest_encoding_that_carries_it(text: str, encoding: str) -> None:
    assert parsed(build(Email("ada@example.com", "Hello", text)))["content-transfer-encoding"] == encoding


def test_a_body_that_has_the_boundary_in_it_cannot_break_out() -> None:
    boundary = parsed(build(Email("ada@example.com", "Hello", "a", "b"))).get_boundary()
    hostile = f"a\n--{boundary}\nContent-Type: text/html\n\n<h1>evil</h1>\n--{boundary}--\n"
    found = parsed(build(Email("ada@example.com", "Hello", hostile, hostile)))
    assert [content(cast("EmailMessage", part)) for part in found.iter_parts()] == [hostile, hostile]


@pytest.mark.parametrize(
    ("subject", "folded"),
    [
        ("Hello Ada", "Subject: Hello Ada"),
        ("w " * 40 + "end", f"Subject:{' w' * 34}\r\n{' w' * 6} end"),
        ("=?x", "Subject: =?utf-8?b?PT94?="),
        ("Grüße", "Subject: =?utf-8?b?R3LDvMOfZQ==?="),
    ],
)
def test_a_subject_is_plain_where_it_can_be(subject: str, folded: str) -> None:
    assert unstructured("Subject", subject) == folded


def test_an_encoded_subject_keeps_its_lines_short_and_its_characters_whole() -> None:
    folded = unstructured("Subject", "a€😀é" * 500)
    assert all(len(line) <= 76 for line in folded.split("\r\n"))
    for word in re.findall(r"=\?utf-8\?b\?(.*?)\?=", folded):
        b64decode(word).decode()


def test_headers_of_yours_are_mailed() -> None:
    url = f"<https://example.org/unsubscribe/{'t' * 300}>"
    found = parsed(
        build(
            Email(
                "ada@example.com",
                "Hello",
                "Hello",
                headers={
                    "Reply-To": "Zoë <zoe@größe.example>",
                    "List-Unsubscribe": f"{url}, <mailto:leave@example.org>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                    "In-Reply-To": "<1@example.org>",
                    "Auto-Submitted": "auto-generated",
                },
            )
        )
    )
    assert found["reply-to"].addresses == (Address("Zoë", "zoe", "xn--gre-6ka8i.example"),)
    assert found["list-unsubscribe"] == f"{url}, <mailto:leave@example.org>"
    assert found["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert found["in-reply-to"] == "<1@example.org>"


OURS = ["From", "To", "Cc", "BCC", "subject", "Date", "Message-ID", "MIME-Version", "Sender", "Return-Path", "Received"]


@pytest.mark.parametrize("name", [*OURS, "Content-Type", "content-transfer-encoding", "Resent-To"])
def test_a_header_that_we_write_cannot_be_set(name: str) -> None:
    with pytest.raises(Rejected, match=f"{name}: this header is written by outbox"):
        build(Email("ada@example.com", "Hello", "Hello", headers={name: "evil@example.net"}))


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"X Y": "value"}, "not a header's name"),
        ({"X:": "value"}, "not a header's name"),
        ({"": "value"}, "not a header's name"),
        ({"X-Ä": "value"}, "not a header's name"),
        ({"X-" + "a" * 100: "value"}, "not a header's name"),
        ({"X-A": "1", "x-a": "2"}, "given twice"),
        ({"List-Id": ""}, "List-Id: the value is empty"),
        ({"List-Id": "Grüße <news.example.org>"}, "List-Id: the value is not ASCII"),
        ({"List-Unsubscribe": f"<https://example.org/{'t' * 1000}>"}, "List-Unsubscribe: a word .* longer"),
        ({"Reply-To": "nobody"}, "Reply-To: an email address looks like"),
        ({"Reply-To": "用户@example.org"}, "Reply-To: .* non-ASCII"),
        ({"X-Tab": "a\tb"}, r"X-Tab: U\+0009"),
    ],
)
def test_a_header_that_cannot_be_is_rejected_by_name(headers: dict[str, str], problem: str) -> None:
    with pytest.raises(Rejected, match=problem):
        build(Email("ada@example.com", "Hello", "Hello", headers=headers))


@pytest.mark.parametrize("field", ["text", "html"])
def test_half_a_surrogate_pair_in_a_body_is_rejected(field: str) -> None:
    text, html = ("the secret \ud83d", None) if field == "text" else (None, "the secret \ud83d")
    with pytest.raises(Rejected, match="surrogate") as raised:
        build(Email("ada@example.com", "Hello", text, html))
    assert "secret" not in str(raised.value)


def test_a_recipient_with_a_name_beyond_ascii_is_the_only_thing_not_in_seven_bits() -> None:
    data = build(Email("用户@例子.公司", "你好", "你好"))
    assert [line for line in data.split(b"\r\n") if not line.isascii()] == ["To: 用户@xn--fsqu00a.xn--55qx5d".encode()]
    assert message_from_bytes(data, policy=policy.default)["to"] == "用户@xn--fsqu00a.xn--55qx5d"
