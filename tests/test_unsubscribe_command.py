"""`[unsubscribe]` and `outbox unsubscribe`: a secret, links by hand, and every mistake with what would be right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from outbox.config import load, survey
from tests.command_line import run, run_on_a_terminal
from tests.unsubscribing import SECRET, expired_token

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

RIGHT = f"""
[channels.email]
providers = ["console"]
[topics.news]
unsubscribe = true
[unsubscribe]
url = "https://example.org/unsubscribe/"
secret = "{SECRET}"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "outbox.toml"
    path.write_text(RIGHT)
    return path


def unsubscribe(file: Path, *arguments: object) -> Result:
    return run("", "unsubscribe", *arguments, "--config", file)


def problems(file: Path, text: str, **environ: str) -> list[str]:
    file.write_text(text)
    return [problem.removeprefix(f"{file}: ") for problem in survey(file, environ=environ)[1]]


def test_a_secret_is_long_and_new_each_time_and_good_enough_for_the_configuration(file: Path) -> None:
    first, second = (run("", "unsubscribe", "secret").stdout.strip() for _ in range(2))
    assert (len(first), first != second) == (43, True)
    assert problems(file, RIGHT.replace(SECRET, first)) == []


def test_a_link_made_by_hand_can_be_read(file: Path) -> None:
    made = unsubscribe(file, "link", "--recipient", "ada@example.org", "--topic", "news")
    link = made.stdout.strip()
    assert link.startswith("https://example.org/unsubscribe/")
    assert link.count("//") == 1
    for given in (link, link.rpartition("/")[2]):
        said = json.loads(unsubscribe(file, "read", given, "--json").stdout)
        assert {name: said[name] for name in ("channel", "recipient", "topic", "expired")} == {
            "channel": "email", "recipient": "ada@example.org", "topic": "news", "expired": False,
        }  # fmt: skip
    assert "good until" in unsubscribe(file, "read", link).stdout


def test_a_link_is_one_line_on_a_narrow_terminal(file: Path) -> None:
    arguments = ("unsubscribe", "link", "--recipient", f"{'a' * 60}@example.org", "--topic", "news", "--config", file)
    _, seen = run_on_a_terminal("", *arguments, columns=40)
    assert len(seen.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("link", "--recipient", "ada@example.org", "--topic", "new"), 2, "--topic: new offers no link; did you mean"),
        (("link", "--recipient", "ada", "--topic", "news"), 2, "--recipient: "),
        (("read", "https://example.org/unsubscribe/AQ"), 1, "this is not the token of a link of ours"),
    ],
)
def test_a_mistake_is_told(file: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = unsubscribe(file, *arguments)
    assert result.exit_code == code
    assert words in result.stderr


def test_a_link_that_has_run_out_is_read_and_told(file: Path) -> None:
    result = unsubscribe(file, "read", expired_token(), "--json")
    assert (result.exit_code, json.loads(result.stdout)["expired"]) == (1, True)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ("unsubscribe = true", "unsubscribe = true\ntransactional = true", "topics.news.unsubscribe: a transactional"),
        ("unsubscribe = true", "unsubscribe = 7", "topics.news.unsubscribe is 7; it must be true or false"),
        ("unsubscribe = true", 'title = ""', "topics.news.title"),
        ("https://example.org/unsubscribe/", "http://example.org/u", "unsubscribe.url: it must begin with https://"),
        ("https://example.org/unsubscribe/", "example.org", "unsubscribe.url: it must be a URL such as"),
        ("https://example.org/unsubscribe/", "https://a:b@example.org", "it must be a URL without a user"),
        ("https://example.org/unsubscribe/", "https://example.org/?u", "it must be a URL without a query"),
        ("https://example.org/unsubscribe/", "https://example.org/<x>", "unsubscribe.url: it must be a URL such as"),
        ("https://example.org/unsubscribe/", "https://e.org/" + "x" * 200, "has room for 200 of them"),
        (SECRET, "short", "unsubscribe.secret: a secret has at least 32 characters"),
        (SECRET, "x y" * 20, "unsubscribe.secret: a secret has a space"),
        ("url =", "ulr =", "unsubscribe.ulr is not a known key; did you mean url?"),
        ("url =", 'mailto = "leave"\nurl =', "unsubscribe.mailto: "),
        ("url =", 'lifetime = "29d"\nurl =', "unsubscribe.lifetime "),
    ],
)
def test_a_wrong_configuration_is_told_without_a_secret_in_it(file: Path, was: str, now: str, said: str) -> None:
    (only,) = problems(file, RIGHT.replace(was, now))
    assert said in only
    assert SECRET not in only


@pytest.mark.parametrize("url", ["http://localhost:8000/u", "http://127.0.0.1/u", "http://[::1]:8000", "https://e.org"])
def test_loopback_does_without_tls(file: Path, url: str) -> None:
    assert problems(file, RIGHT.replace("https://example.org/unsubscribe/", url)) == []


def test_secrets_are_rotated_by_the_environment_as_well(file: Path) -> None:
    new = "n" * 40
    config = load(file, environ={"OUTBOX_UNSUBSCRIBE_SECRET": f"{new},{SECRET}"})
    assert [secret.get_secret_value() for secret in config.unsubscribe.secret] == [new, SECRET]
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ('url = "https://example.org/unsubscribe/"', "unsubscribe.url is missing, and news cannot do without"),
        (f'secret = "{SECRET}"', "unsubscribe.secret is missing, and news cannot do without"),
    ],
)
def test_check_finds_what_the_links_lack_and_other_commands_do_without(file: Path, gone: str, said: str) -> None:
    file.write_text(RIGHT.replace(gone, ""))
    result = run("", "check", "--config", file)
    assert result.exit_code == 1
    assert said in result.stderr
    assert load(file, environ={}).unsubscribable == ("news",)


def test_check_finds_a_topic_that_is_too_long_for_a_header(file: Path) -> None:
    file.write_text(RIGHT.replace("topics.news", f'topics."{"ü" * 101}"'))
    assert "it has 202 bytes; a link to unsubscribe takes 200 at most" in run("", "check", "--config", file).stderr


def test_check_says_where_the_links_lead(file: Path) -> None:
    result = run("", "check", "--config", file)
    assert result.exit_code == 0
    assert "✓ unsubscribe: news, by links to https://example.org/unsubscribe\n" in result.stdout


@pytest.mark.parametrize(
    ("manifest", "right"), [("", True), ('topic = "news"\n', True), ('topic = "receipts"\n', False)]
)
def test_templates_are_tried_with_a_sample_of_a_link(file: Path, manifest: str, *, right: bool) -> None:
    texts = {"template.toml": manifest, "subject.txt": "Hi", "body.txt": "{{ unsubscribe_url }}", "sample.json": "{}"}
    folder = file.parent / "templates" / "weekly"
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text)

    def template(*arguments: Any) -> Result:
        return run("", "template", *arguments, "--config", file)

    assert template("check").exit_code == (0 if right else 1)
    shown = template("render", "weekly", "--part", "body.txt")
    if right:
        assert shown.stdout == "https://example.org/unsubscribe/sample"
    else:
        assert "unsubscribe_url" in shown.stderr
    file.write_text('[channels.email]\nproviders = ["console"]\n')
    assert template("check").exit_code == 1
