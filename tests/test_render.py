"""Rendering: folders, locales, what is refused, and that no payload ends up in an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.errors import Rejected
from outbox.render import Templates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "templates"
    path.mkdir()
    return path


def write(folder: Path, **files: str) -> Templates:
    """Write `welcome/body.txt` and the like, given as welcome__body_txt, or whole paths with `**{…}`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Templates(folder)


def body(folder: Path, text: str, variables: Mapping[str, Any] | None = None) -> str:
    return write(folder, **{"t/body.txt": text}).render("t", variables or {})["body.txt"]


def refusal(folder: Path, text: str, variables: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(Rejected) as refused:
        body(folder, text, variables)
    return refused.value.detail


def test_a_template_renders_the_files_that_it_has(folder: Path) -> None:
    templates = write(
        folder,
        **{
            "welcome/subject.txt": "Hello {{ name }}\n",
            "welcome/body.html": "<p>{{ name }}</p>",
            "welcome/notes.md": "x",
        },
    )
    assert templates.render("welcome", {"name": "Ann"}) == {"subject.txt": "Hello Ann", "body.html": "<p>Ann</p>"}


def test_only_html_is_escaped(folder: Path) -> None:
    files = dict.fromkeys(("t/subject.txt", "t/body.txt", "t/body.html"), "{{ name }}")
    assert write(folder, **files).render("t", {"name": "<b> & 'co'"}) == {
        "subject.txt": "<b> & 'co'",
        "body.txt": "<b> & 'co'",
        "body.html": "&lt;b&gt; &amp; &#39;co&#39;",
    }


def test_a_subject_comes_out_as_one_line(folder: Path) -> None:
    templates = write(folder, **{"t/subject.txt": "{% if true %}\n  Hello\n{% endif %}\n  {{ name }}\n\n"})
    hostile = "Ann\r\nBcc: everyone@example.org\u2028x"
    assert templates.render("t", {"name": hostile}) == {"subject.txt": "Hello Ann Bcc: everyone@example.org x"}


def test_tags_on_a_line_of_their_own_leave_no_empty_lines(folder: Path) -> None:
    assert body(folder, "a\n  {% for i in [1, 2] %}\n{{ i }}\n  {% endfor %}\nb\n") == "a\n1\n2\nb"


def test_a_layout_is_shared_by_templates(folder: Path) -> None:
    templates = write(
        folder,
        **{
            "_layouts/base.html": "<html>{% block main %}{% endblock %}{% include '_layouts/foot.html' %}</html>",
            "_layouts/foot.html": "<i>{{ name }}</i>",
            "a/b/body.html": "{% extends '_layouts/base.html' %}{% block main %}{{ name }}{% endblock %}",
        },
    )
    assert templates.render("a/b", {"name": "<"}) == {"body.html": "<html>&lt;<i>&lt;</i></html>"}


@pytest.mark.parametrize(
    ("locale", "subject", "text"),
    [
        (None, "base", "base"),
        ("", "base", "base"),
        ("pt", "pt", "pt"),
        ("pt-BR", "pt-BR", "pt"),
        ("pt_br", "pt-BR", "pt"),
        ("pt-BR-x-old", "pt-BR", "pt"),
        ("pt-PT", "pt", "pt"),
        ("zh_Hant", "zh", "base"),
        ("fr", "base", "base"),
        ("../secret", "base", "base"),
        ("C", "base", "base"),
    ],
)
def test_a_locale_falls_back_file_by_file(folder: Path, locale: str | None, subject: str, text: str) -> None:
    templates = write(
        folder,
        **{
            "t/subject.txt": "base",
            "t/body.txt": "base",
            "t/pt/subject.txt": "pt",
            "t/pt/body.txt": "pt",
            "t/pt-BR/subject.txt": "pt-BR",
            "t/zh_Hant/subject.txt": "zh",
        },
    )
    assert templates.render("t", {}, locale=locale) == {"subject.txt": subject, "body.txt": text}


def test_a_key_of_the_payload_wins_over_a_method_of_the_same_name(folder: Path) -> None:
    text = "{% for item in order.items %}{{ item }}{% endfor %}{{ order.get('total') }}"
    assert body(folder, text, {"order": {"items": ["a", "b"], "total": 3}}) == "ab3"


def test_a_missing_variable_is_named_with_its_place(folder: Path) -> None:
    expected = "template t: t/body.txt, line 2: {!r} is missing from the payload"
    assert refusal(folder, "Dear\n{{ name }}") == expected.format("name")
    assert refusal(folder, "Dear\n{{ user.name }}", {"user": {}}) == expected.format("user.name")
    assert refusal(folder, "Dear\n{{ user.name.first }}", {"user": {}}) == expected.format("user.name")
    assert refusal(folder, "Dear\n{{ user['name'] }}", {"user": {}}) == expected.format("name")
    assert refusal(folder, "Dear\n{% if name %}x{% endif %}") == expected.format("name")
    assert refusal(folder, "Dear\n{{ name | upper }}") == expected.format("name")
    assert refusal(folder, "Dear\n{{ items[7] }}", {"items": []}) == expected.format("7")


def test_a_variable_may_be_optional_if_the_template_says_so(folder: Path) -> None:
    assert body(folder, "{{ name | default('you') }}{% if nick is defined %}{{ nick }}{% endif %}") == "you"


def test_a_variable_missing_in_an_included_file_is_found_there(folder: Path) -> None:
    write(folder, **{"_parts/foot.txt": "\n{{ company }}"})
    expected = "template t: _parts/foot.txt, line 2: 'company' is missing from the payload"
    assert refusal(folder, "{% include '_parts/foot.txt' %}") == expected


def test_a_missing_template_is_named_with_the_nearest(folder: Path) -> None:
    templates = write(folder, **{"welcome/body.txt": "x", "orders/paid/body.txt": "x", "empty/readme.md": "x"})
    for name, expected in {
        "welcom": "there is no template welcom; did you mean welcome?",
        "orders/payd": "there is no template orders/payd; did you mean paid?",
        "q/r/s": "there is no template q/r/s",
        "empty": "template empty: it has none of subject.txt, body.txt, body.html",
    }.items():
        with pytest.raises(Rejected) as refused:
            templates.render(name, {})
        assert refused.value.detail == expected


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../t", "t/../../etc", "/etc", "t//u", "t/", "a b", "t\0", "t\n", "é", "x" * 201]
)
def test_a_name_that_could_leave_the_folder_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(Rejected, match="is not a template's name"):
        write(folder, **{"t/body.txt": "x"}).render(name, {})


@given(name=st.text(), locale=st.text() | st.none())
def test_no_name_and_no_locale_does_anything_but_render_or_be_rejected(
    name: str, locale: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    templates = Templates(tmp_path_factory.getbasetemp() / "none")
    with pytest.raises(Rejected):
        templates.render(name, {}, locale=locale)


@pytest.mark.parametrize("include", ["../secret.txt", "/etc/passwd", "t/../../secret.txt"])
def test_an_include_does_not_leave_the_folder(folder: Path, include: str) -> None:
    (folder.parent / "secret.txt").write_text("secret")
    assert refusal(folder, f"{{% include '{include}' %}}") == f"template t: t/body.txt, line 1: there is no {include}"


def test_a_syntax_error_is_named_with_its_place(folder: Path) -> None:
    assert refusal(folder, "\n{% if %}").startswith("template t: t/body.txt, line 2: Expected an expression")
    assert refusal(folder, "{{ 1 | shout }}") == "template t: t/body.txt, line 1: No filter named 'shout'."
    write(folder, **{"_parts/x.txt": "\n{{"})
    assert refusal(folder, "{% include '_parts/x.txt' %}").startswith("template t: _parts/x.txt, line 2: ")


def test_a_file_that_is_not_utf_8_is_refused(folder: Path) -> None:
    templates = write(folder, **{"t/body.txt": ""})
    (folder / "t/body.txt").write_bytes(b"caf\xe9")
    with pytest.raises(Rejected, match=r"template t: t/body\.txt: it is not UTF-8"):
        templates.render("t", {})
    assert templates.check() == [f"{folder}/t/body.txt: it is not UTF-8"]


def test_templates_are_listed_without_locales_and_shared_folders(folder: Path) -> None:
    templates = write(
        folder,
        **{
            "welcome/body.txt": "",
            "welcome/pt-BR/body.txt": "",
            "welcome/again/body.txt": "",
            "orders/paid/body.html": "",
            "de/body.txt": "",
            "_layouts/body.html": "",
            "_layouts/mail/body.html": "",
            ".hidden/body.txt": "",
            "images/logo.png": "",
        },
    )
    assert templates.names() == ["de", "orders/paid", "welcome", "welcome/again"]
    assert templates.check() == []


def test_templates_mounted_by_links_are_found(folder: Path) -> None:
    write(folder, **{"..data/welcome/body.txt": "x"})
    (folder / "welcome").symlink_to("..data/welcome")
    templates = Templates(folder)
    assert templates.names() == ["welcome"]
    assert templates.render("welcome", {}) == {"body.txt": "x"}


def test_check_finds_what_is_wrong_without_rendering(folder: Path) -> None:
    templates = write(
        folder,
        **{
            "good/body.txt": "{{ never_given }}{% include name_in_payload %}{% include 'none.txt' ignore missing %}",
            "good/de/body.txt": "{% include ['none.txt', '_parts/foot.txt'] %}",
            "bad/subject.txt": "{{ 1 | shout }}",
            "bad/body.txt": "\n{% include 'nowhere.txt' %}{% import '../out.txt' as x %}",
            "bad/de/body.txt": "{% if %}",
            "half/subject.txt": "only a subject",
            "typo/body.htm": "",
            "_parts/foot.txt": "{% endfor %}",
        },
    )
    found = [problem.removeprefix(f"{folder}/") for problem in templates.check()]

    hint = "it has no body.txt and no body.html; if it holds what others include, begin its name with _"
    assert found == [
        "_parts/foot.txt, line 1: Encountered unknown tag 'endfor'.",
        f"bad/body.txt, line 2: there is no nowhere.txt in {folder}",
        f"bad/body.txt, line 2: there is no ../out.txt in {folder}",
        "bad/subject.txt, line 1: No filter named 'shout'.",
        "bad/de/body.txt, line 1: Expected an expression, got 'end of statement block'",
        f"half: {hint}",
        "typo/body.htm: a template has no such file; did you mean body.html?",
    ]


def test_check_names_the_file_that_a_misspelt_one_stands_for(folder: Path) -> None:
    files = ("t/subjct.txt", "t/subject.html", "t/de/boddy.txt", "t/body.txt", "t/foot.html", "_parts/bodies.txt")
    templates = write(folder, **dict.fromkeys(files, ""))
    assert templates.check() == [
        f"{folder}/t/subjct.txt: a template has no such file; did you mean subject.txt?",
        f"{folder}/t/subject.html: a template has no such file; did you mean subject.txt?",
        f"{folder}/t/de/boddy.txt: a template has no such file; did you mean body.txt?",
    ]


def test_check_wants_a_subject_where_all_are_emails(folder: Path) -> None:
    templates = write(folder, **{"t/body.txt": "", "t/de/subject.txt": "", "u/body.txt": "", "u/subject.txt": ""})
    assert templates.check() == []
    assert templates.check(all_emails=True) == [f"{folder}/t: it has no subject.txt, and every email needs a subject"]


def test_check_says_when_the_folder_is_not_there(tmp_path: Path) -> None:
    assert Templates(tmp_path / "none").check() == [f"{tmp_path}/none: there is no such folder of templates"]
    assert Templates(tmp_path / "none").names() == []
