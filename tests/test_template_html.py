"""HTML as mail programs want it: CSS where it applies, MJML, and a text beside it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.channels.email import compose
from outbox.errors import Rejected
from outbox.messages import Email, Notification
from outbox.render import Templates
from outbox.render.plain_text import plain_text

if TYPE_CHECKING:
    from pathlib import Path

STYLED = "<style>p { color: red } p:hover { color: blue } @media print { p { color: black } }</style><p>Hello</p>"
MJML = (
    "<mjml><mj-body><mj-section><mj-column><mj-text>Dear {{ name }}</mj-text></mj-column></mj-section></mj-body></mjml>"
)


def email(folder: Path, files: dict[str, str], locale: str | None = None, **payload: Any) -> Email:
    for name, text in ({"t/subject.txt": "Hello"} | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    key = UUID("019ab1f0-3c00-7000-8000-0123456789ab")
    asked = Notification(key, "email", "ada@example.org", template="t", payload=payload, locale=locale)
    return compose(asked, Templates(folder))


def html(folder: Path, files: dict[str, str], **payload: Any) -> str:
    return email(folder, files, **payload).html or ""


def test_css_goes_to_where_it_applies_and_what_cannot_stays(tmp_path: Path) -> None:
    made = html(tmp_path, {"t/body.html": STYLED})
    assert '<p style="color: red;">Hello</p>' in made
    assert "p:hover { color: blue; }" in made
    assert "@media print" in made


def test_html_without_a_style_is_sent_as_it_is(tmp_path: Path) -> None:
    assert html(tmp_path, {"t/body.html": "<P>Hello<BR>"}) == "<P>Hello<BR>"


def test_a_template_may_keep_its_css_as_it_is(tmp_path: Path) -> None:
    assert html(tmp_path, {"t/body.html": STYLED, "t/template.toml": "inline_css = false"}) == STYLED


def test_nothing_is_fetched_for_css(tmp_path: Path) -> None:
    linked = (
        f'<link rel="stylesheet" href="file://{tmp_path}/x.css"><style>@import "file://{tmp_path}/x.css";</style><p>'
    )
    (tmp_path / "x.css").write_text("p { color: green }")
    assert "green" not in html(tmp_path, {"t/body.html": linked})


def test_mjml_becomes_html_and_what_is_put_into_it_is_escaped(tmp_path: Path) -> None:
    made = html(tmp_path, {"t/body.mjml": MJML}, name="<mj-raw>A & B")
    assert made.lower().startswith("<!doctype html>")
    assert "Dear &lt;mj-raw&gt;A &amp; B" in made
    assert "<mj-" not in made


def test_html_and_mjml_stand_in_for_each_other_by_locale(tmp_path: Path) -> None:
    files = {"t/body.mjml": MJML, "t/pt/body.html": "<p>Caro {{ name }}"}
    assert email(tmp_path, files, locale="pt", name="Ada").html == "<p>Caro Ada"
    assert "Dear Ada" in str(email(tmp_path, files, locale="de", name="Ada").html)


def test_what_is_no_mjml_is_refused_without_quoting_it(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as refused:
        html(tmp_path, {"t/body.mjml": "<mjml><mj-body>{{ name | safe }}"}, name="<hunter2")
    assert refused.value.detail.startswith("template t: body.html: it is no MJML")
    assert "hunter2" not in refused.value.detail


def test_mjml_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret.mjml").write_text("<mj-text>secret</mj-text>")
    include = f'<mjml><mj-body><mj-include path="{tmp_path}/secret.mjml" /></mj-body></mjml>'
    with pytest.raises(Rejected, match="it is no MJML"):
        html(tmp_path, {"t/body.mjml": include})


def test_without_the_library_for_mjml_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mjml", None)
    with pytest.raises(Rejected, match=r"MJML needs a library: install outbox\[mjml\]"):
        html(tmp_path, {"t/body.mjml": MJML}, name="Ada")
    assert Templates(tmp_path).check() == [
        f"{tmp_path}/t/body.mjml: MJML needs a library: install outbox[mjml]",
    ]


def test_a_text_is_made_of_the_html_where_there_is_none(tmp_path: Path) -> None:
    made = email(
        tmp_path, {"t/body.html": "<p>Dear {{ name }},</p><p><a href='https://x.example/'>here</a>"}, name="A & B"
    )
    assert made.text == "Dear A & B,\n\nhere (https://x.example/)"
    assert email(tmp_path, {"t/pt/body.txt": "Caro"}, locale="pt", name="x").text == "Caro"


def test_a_template_may_want_no_text_made(tmp_path: Path) -> None:
    files = {"t/body.html": "<p>Hello", "t/template.toml": "text_from_html = false"}
    assert email(tmp_path, files).text is None


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("Hello", "Hello"),
        ("", ""),
        ("<p>one</p>\n\n  <p>two\n three</p>", "one\n\ntwo three"),
        ("a<br>b<br/>c<br><br>d", "a\nb\nc\n\nd"),
        ("<h1>Title</h1>text<h2>Next</h2>", "Title\n\ntext\n\nNext"),
        ("a <b>b</b>, <i>c</i>!", "a b, c!"),
        ("<div>a<div>b</div></div><div>c</div>", "a\nb\nc"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("<ol><li><p>one</p></li><li>two<ul><li>in</li></ul></li></ol>after", "1. one\n\n2. two\n  - in\n\nafter"),
        ("<table><tr><td>Tea</td><td>3 &euro;</td></tr><tr><th>x<td>y</table>", "Tea  3 €\nx  y"),
        ('<a href="https://x.example">Go</a>.', "Go (https://x.example)."),
        ('<a href="https://x.example/">https://x.example</a>', "https://x.example"),
        ('<a href="mailto:a@x.example">a@x.example</a>', "a@x.example"),
        ('<a href="#top">Up</a> <a>nowhere</a>', "Up nowhere"),
        ('<a href="https://x.example"><img alt="Logo" src="l.png"></a>', "Logo (https://x.example)"),
        ("<a href='https://x.example'><img src='l.png'></a>", "https://x.example"),
        ("a<hr>b", "a\n\n---\n\nb"),
        ("<head><title>no</title></head><style>no</style><script>no()</script><!-- no -->yes", "yes"),
        ('<div style="display:none">no<b>no<br>no</div>yes', "yes"),
        ("<p hidden>no</p>yes", "yes"),
        ("a&nbsp;b&#8203;&zwnj;c &amp; &lt;d&gt;", "a bc & <d>"),
        ("</p></ul></a>stray", "stray"),
    ],
)
def test_what_is_seen_of_html_becomes_text(html: str, text: str) -> None:
    assert plain_text(html) == text


@given(st.lists(st.sampled_from(["<p>", "</p>", "<ul>", "<li>", "</ul>", "<a href=x>", "</a>", "<td>", "<br", ">", " a", "&", "<!--", "<div hidden>", "</div>", "\n"])))  # fmt: skip # noqa: E501
def test_any_html_becomes_some_text(pieces: list[str]) -> None:
    assert plain_text("".join(pieces)).strip() == plain_text("".join(pieces))


@given(st.lists(st.text("abc ", min_size=1).filter(str.strip), min_size=1))
def test_no_word_is_lost_and_no_paragraph_runs_into_the_next(paragraphs: list[str]) -> None:
    made = plain_text("".join(f"<p>{paragraph}</p>" for paragraph in paragraphs))
    assert made.split("\n\n") == [" ".join(paragraph.split()) for paragraph in paragraphs]
