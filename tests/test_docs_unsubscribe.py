"""What docs/unsubscribe.md says is so."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from outbox import config, errors
from outbox.check import check
from outbox.oneclick import sample
from outbox.render import Templates
from outbox.unsubscribe.asgi import LONGEST_BODY
from tests.asgi_server import AsgiServer
from tests.command_line import run
from tests.hands import enqueue, rows
from tests.test_docs import ROOT, blocks
from tests.unsubscribing import SECRET, expired_token, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PAGE = "docs/unsubscribe.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloned_url: str) -> config.Config:
    """The configuration on the page, as it is found by `config.load()`."""
    file = tmp_path / "outbox.toml"
    file.write_text("".join(blocks(PAGE, "toml")) + '[channels.email]\nproviders = ["console"]\n')
    monkeypatch.setenv("OUTBOX_CONFIG", str(file))
    monkeypatch.setenv("OUTBOX_DATABASE_URL", cloned_url)
    monkeypatch.setenv("OUTBOX_UNSUBSCRIBE_SECRET", SECRET)
    return config.load()


@pytest.fixture
def program(settings: config.Config, cloned_url: str) -> dict[str, Any]:
    """The names that the examples on the page have made, one after the other."""
    assert settings.unsubscribable == ("news",)

    @asynccontextmanager
    async def connection() -> AsyncIterator[psycopg.AsyncConnection]:
        async with await psycopg.AsyncConnection.connect(cloned_url) as conn:
            yield conn

    names: dict[str, Any] = {"pool": SimpleNamespace(connection=connection)}
    for example in blocks(PAGE, "python")[:-1]:
        exec(example, names)  # noqa: S102 - our own page
    return names


def test_the_configuration_is_right_and_the_variable_is_there(settings: config.Config, tmp_path: Path) -> None:
    assert check(settings) == []
    (tmp_path / "foot").mkdir()
    (tmp_path / "foot" / "body.html").write_text(*blocks(PAGE, "jinja"))
    templates = Templates(tmp_path)
    shown = templates.render("foot", {}, beside=sample(settings, "news"))["body.html"]
    assert shown == '<p><a href="https://example.org/unsubscribe/sample">Unsubscribe</a></p>'
    assert templates.render("foot", {})["body.html"] == ""


async def test_the_application_answers_as_the_table_says(program: dict[str, Any], cloned_url: str) -> None:
    answers: list[int] = []

    async def django(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()[:0]})

    program["django_application"] = django
    async with AsgiServer(program["application"]) as server, httpx.AsyncClient(base_url=server.url) as client:
        for method, given in (
            ("GET", {}),
            ("HEAD", {}),
            ("POST", {"data": ONE_CLICK}),
            ("POST", {"data": ONE_CLICK}),
            ("POST", {}),
            ("POST", {"content": b"x" * (LONGEST_BODY + 1)}),
            ("PUT", {}),
        ):
            answers.append((await client.request(method, f"/{token()}", **given)).status_code)
        answers += [(await client.get(f"/{which}")).status_code for which in ("AX3", expired_token())]
        assert (await client.get(server.url.removesuffix("/unsubscribe") + "/elsewhere")).status_code == 204
        page = await client.get(f"/{token()}", headers={"accept-language": "nl"})
    assert answers == [200, 200, 200, 200, 400, 413, 405, 404, 410]
    assert {str(answer) for answer in answers} | {"503"} == set(
        re.findall(r"(?<![\d.])[245]\d\d(?=[: ,.]| \|)", table())
    )
    assert "Vous ne recevrez plus « Weekly news » à l&#x27;adresse a•••@example.org." in page.text
    assert f"{LONGEST_BODY // 1024} KiB" in table()
    assert rows(cloned_url, "SELECT recipient, topic, reason, source FROM outbox.suppressions") == [
        ("ada@example.org", "news", "unsubscribed", "one-click")
    ]


def table() -> str:
    return TEXT.partition("| request | answer |")[2].partition("\n\n")[0]


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (token(), "news a•••@example.org new 2 will not be sent\n"),
        (expired_token(), "too old\n"),
        ("AX3", "not ours\n"),
    ],
    ids=["good", "expired", "forged"],
)
def test_the_functions_act_in_ones_own_transaction(
    program: dict[str, Any], cloned_url: str, capsys: pytest.CaptureFixture[str], which: str, said: str
) -> None:
    enqueue(cloned_url, 2, recipient="ada@example.org", topic="news")
    with psycopg.connect(cloned_url) as conn:
        exec(blocks(PAGE, "python")[-1], {**program, "conn": conn, "token": which})  # noqa: S102 - our own page
        assert conn.info.transaction_status != psycopg.pq.TransactionStatus.INERROR
    assert capsys.readouterr().out == said


def test_the_command_makes_a_link_that_the_other_reads(settings: config.Config, cloned_url: str) -> None:
    (line,) = "".join(blocks(PAGE, "bash")).splitlines()
    made = run(cloned_url, *line.split()[1:], "--config", settings.source)
    assert "topic       news" in run(cloned_url, "unsubscribe", "read", made.stdout, "--config", settings.source).stdout


def test_the_page_names_the_errors_and_limits_that_there_are() -> None:
    assert errors.ExpiredToken.__name__ in TEXT
    assert errors.InvalidToken.__name__ in TEXT
    assert 60 <= len(token()) <= 80
    assert config.UnsubscribeConfig().lifetime == 365 * 86_400  # "a year"
