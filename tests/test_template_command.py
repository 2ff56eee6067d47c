"""`outbox template`: what there is, what it says, and whether it works."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

import pytest

from tests.command_line import run, run_on_a_terminal, run_process

if TYPE_CHECKING:
    from typer.testing import Result

FILES = {
    "outbox.toml": '[channels.email]\nproviders = ["console"]\n[channels.sms]\nproviders = ["console"]\n',
    "templates/welcome/template.toml": (
        'channel = "email"\ntopic = "account"\nexpires_in = "2d"\n[variables]\nname = "string"\n'
    ),
    "templates/welcome/subject.txt": "Welcome, {{ name }}",
    "templates/welcome/body.html": '{% extends "_l/base.html" %}{% block main %}<p>Hello {{ name }}{% endblock %}',
    "templates/welcome/pt-BR/subject.txt": "Olá, {{ name }}",
    "templates/welcome/sample.json": '{"name": "Ada"}',
    "templates/code/sms.txt": "Your code is {{ code }}",
    "templates/_l/base.html": "<body>{% block main %}{% endblock %}</body>",
}


class Project:
    """A folder with a configuration and templates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write(FILES)

    def write(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)

    def run(self, *arguments: object, given: str | None = None) -> Result:
        return run("", "template", *arguments, "--config", self.folder / "outbox.toml", given=given)

    def json(self, *arguments: object) -> Any:
        return json.loads(self.run(*arguments, "--json").stdout)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_list_shows_what_there_is(project: Project) -> None:
    lines = project.run("list").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["TEMPLATE", "code", "welcome"]
    assert "email" in lines[2]
    assert "en, pt-BR" in lines[2]
    assert [document["name"] for document in project.json("list")] == ["code", "welcome"]


def test_list_has_a_table_on_a_terminal(project: Project) -> None:
    code, seen = run_on_a_terminal("", "template", "list", "--config", project.folder / "outbox.toml")
    assert code == 0
    assert "━" in seen or "─" in seen


def test_show_tells_all_of_one(project: Project) -> None:
    shown = project.run("show", "welcome").stdout
    for fact in ("account", "2d", "body.html, subject.txt", "_l/base.html", "sample.json"):
        assert fact in shown
    document = project.json("show", "welcome")
    assert document["expires_in_seconds"] == 172_800
    assert len(document["source"]) == 32


def test_a_template_that_is_not_there_is_named_with_the_nearest(project: Project) -> None:
    for command in ("show", "render"):
        result = project.run(command, "welcom")
        assert result.exit_code == 1
        assert "there is no template welcom; did you mean welcome?" in result.stderr


def test_render_prints_what_would_be_sent_with_the_sample(project: Project) -> None:
    result = project.run("render", "welcome", "--locale", "pt-BR")
    assert result.exit_code == 0
    assert result.stdout == "subject.txt\nOlá, Ada\n\nbody.html\n<body><p>Hello Ada</body>\n\nbody.txt\nHello Ada\n\n"


def test_render_takes_a_payload_from_a_file_from_standard_input_or_as_it_is(project: Project) -> None:
    project.write({"bob.json": '{"name": "Bob"}'})
    ways = [(project.folder / "bob.json", None), (f"@{project.folder / 'bob.json'}", None), ("-", '{"name": "Bob"}')]
    for given, typed in [*ways, ('{"name": "Bob"}', None)]:
        result = project.run("render", "welcome", "--payload", given, "--part", "subject.txt", given=typed)
        assert result.stdout == "Welcome, Bob"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("none.json", "--payload: none.json cannot be read: No such file or directory"),
        ("{'name': 1}", "--payload: it is not JSON: "),
        ("-", '--payload: it must be a JSON object, such as {"name": "Ada"}'),
    ],
)
def test_a_payload_that_cannot_be_read_is_a_mistake_in_the_arguments(
    project: Project, given: str, problem: str
) -> None:
    result = project.run("render", "welcome", "--payload", given, given="[1]")
    assert result.exit_code == 2
    assert problem in result.stderr


def test_a_part_that_is_not_there_is_a_mistake_in_the_arguments(project: Project) -> None:
    result = project.run("render", "code", "--payload", '{"code": "1"}', "--part", "body.html")
    assert result.exit_code == 2
    assert "--part: there is no body.html; it has body.txt" in result.stderr


def test_what_cannot_be_rendered_is_told_with_the_place(project: Project) -> None:
    result = project.run("render", "code")
    assert result.exit_code == 1
    assert "code/sms.txt, line 1: 'code' is missing from the payload" in result.stderr
    result = project.run("render", "welcome", "--payload", "{}")
    assert "payload.name is missing; it must be a string" in result.stderr


def test_render_as_json_has_the_digests_of_what_is_sent_and_of_its_source(project: Project) -> None:
    first, again, other = (
        project.json("render", "welcome", "--payload", json.dumps({"name": name})) for name in ("Ada", "Ada", "Bob")
    )
    assert first == again
    assert first["parts"]["body.txt"] == "Hello Ada"
    assert first["content"] != other["content"]
    assert first["source"] == other["source"] == project.json("show", "welcome")["source"]
    project.write({"templates/_l/base.html": "<body class=new>{% block main %}{% endblock %}</body>"})
    assert project.json("show", "welcome")["source"] != first["source"]


def test_open_shows_the_html_in_the_browser(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    assert project.run("render", "welcome", "--open").exit_code == 0
    (url,) = opened
    assert Path(unquote(urlparse(url).path)).read_text(encoding="utf-8") == "<body><p>Hello Ada</body>"
    result = project.run("render", "code", "--payload", '{"code": "1"}', "--open")
    assert result.exit_code == 1
    assert "it has no HTML to show" in result.stderr


def test_check_renders_all_with_their_samples(project: Project) -> None:
    result = project.run("check")
    assert result.exit_code == 0
    assert result.stdout == "✓ 2 templates, 2 renderings: all is well\n"
    assert "without a sample.json, nothing but the syntax was looked at: code" in result.stderr
    assert project.json("check") == {
        "templates": ["code", "welcome"],
        "rendered": 2,
        "without_samples": ["code"],
        "problems": [],
    }


def test_check_finds_every_mistake_at_once_and_each_once(project: Project) -> None:
    project.write(
        {
            "templates/welcome/pt-BR/subject.txt": "Olá, {{ nome }}",
            "templates/code/sms.txt": "{% if %}",
            "templates/code/sample.json": "{}",
            "templates/odd/body.txt": "x",
            "templates/odd/sample-1.json": "[]",
            "templates/odd/sample-2.json": "{}",
            "templates/bad/template.toml": "topik = 1",
            "templates/bad/body.txt": "x",
        }
    )
    result = project.run("check")
    assert result.exit_code == 1
    folder = project.folder / "templates"
    missing = "welcome/pt-BR/subject.txt, line 1: 'nome' is missing from the payload"
    assert [line.removeprefix("error: ") for line in result.stderr.splitlines()] == [
        f"{folder}/code/sms.txt, line 1: Expected an expression, got 'end of statement block'",
        f"{folder}/bad/template.toml: topik is not a known key; did you mean topic?",
        "odd/sample-1.json: it must be a JSON object, such as {}",
        f"welcome/sample.json: template welcome: {missing} (in pt-BR)",
    ]
    assert project.run("check", "--json").exit_code == 1


def test_an_email_without_a_subject_is_found_by_rendering(project: Project) -> None:
    project.write(
        {
            "templates/mute/body.txt": "x",
            "templates/mute/sample.json": "{}",
            "templates/mute/template.toml": 'channels = ["email", "sms", "push"]',
        }
    )
    assert project.json("check")["problems"] == [
        "mute/sample.json: template mute: subject.txt is missing, and every email needs a subject"
    ]


def test_without_a_folder_of_templates_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text("")
    for arguments in (["list"], ["check"], ["show", "x"], ["render", "x"]):
        result = run("", "template", *arguments, "--config", tmp_path / "outbox.toml")
        assert result.exit_code == 2
        assert "there is no such folder of templates" in result.stderr


def test_the_help_has_an_example_of_each(project: Project) -> None:
    for command in ("list", "show", "render", "check"):
        assert f"Example: outbox template {command}" in project.run(command, "--help").stdout


def test_it_works_in_a_pipe(project: Project) -> None:
    done = run_process("", "template", "list", "--config", project.folder / "outbox.toml")
    assert done.returncode == 0
    assert done.stdout.startswith("TEMPLATE  CHANNELS")
