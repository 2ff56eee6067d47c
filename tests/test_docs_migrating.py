"""The pages about migrating in do what they say, there and back."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from outbox.importing.mapping import load
from tests.command_line import run
from tests.hands import rows
from tests.migrating.celery_shop import Shop
from tests.migrating.pgqueuer_shop import shop as pgqueuer_shop
from tests.migrating.post_office_project import project
from tests.migrating.procrastinate_shop import shop as procrastinate_shop
from tests.test_docs import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ["README", "procrastinate", "pgqueuer", "django-post-office", "celery"]
ADA = {"email": "ada@example.org", "name": "Ada"}
WAITING = "SELECT count(*) FROM outbox.queue"


def page(name: str) -> str:
    return f"docs/migrating/{name}.md"


def commands(name: str) -> list[list[str]]:
    """The commands of a page; blocks within a list are indented."""
    found = re.findall(r"^ *outbox (.*)$", "\n".join(indented(name, "bash")), re.MULTILINE)
    return [shlex.split(line) for line in found]


def indented(name: str, language: str) -> list[str]:

    text = (ROOT / page(name)).read_text(encoding="utf-8")
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_mapping(name: str, folder: Path, *, again: bool = False) -> None:
    (text,) = blocks(page(name), "toml")
    media = text.replace("/srv/shop/media", str(folder))
    (folder / "mapping.toml").write_text(f"round = 2\n{media}" if again else media)


def go_there_and_back(url: str, name: str, folder: Path, count: int, words: list[str]) -> None:
    """Run the page's commands, go back as it says, and come again in the second round."""
    for line in commands(name):
        done = run(url, *line)
        assert done.exit_code in {0, 1}, (line, done.stderr)
    assert done.exit_code == 0, done.stdout
    assert rows(url, WAITING) == [(count,)]
    (back,) = blocks(page(name), "sql")
    rows(url, back)
    assert rows(url, WAITING) == [(0,)]
    again = json.loads(run(url, *words, "--json").stdout)
    assert sum(each["count"] for each in again["left"]) + again["existing"] == count
    write_mapping(name, folder, again=True)
    assert json.loads(run(url, *words, "--json").stdout)["imported"] == count


@pytest.mark.parametrize("name", PAGES)
def test_the_mapping_of_the_page_has_no_mistake(name: str, folder: Path) -> None:
    write_mapping(name, folder)
    assert load(folder / "mapping.toml").round == 1


def test_the_overview_does_what_it_says(cloned_url: str, folder: Path) -> None:
    receipt: dict[str, Any] = {"customer": ADA, "trace_id": "7"}
    with procrastinate_shop(cloned_url) as shop:
        app = shop["app"]
        app.configure_task("shop.tasks.send_receipt", priority=100).defer(**receipt)
        app.configure_task("shop.tasks.draw_invoice", queue="mail").defer(order=7)
        app.configure_task("shop.tasks.cleanup").defer()
    write_mapping("README", folder)
    for line in commands("README"):
        done = run(cloned_url, *(line[: line.index(">")] if ">" in line else line))
        assert done.exit_code == 0, (line, done.stderr)
    stored = "SELECT channel, recipient, priority, topic, payload FROM outbox.notifications ORDER BY id"
    assert rows(cloned_url, stored) == [
        ("email", "ada@example.org", 0, "orders", {"person": ADA, "legacy": True}),
        ("invoice", "invoice", 5, None, {"order": 7}),
    ]


def test_the_page_about_procrastinate_goes_there_and_back(cloned_url: str, folder: Path) -> None:
    with procrastinate_shop(cloned_url) as shop:
        shop["app"].configure_task("shop.tasks.welcome").defer(**ADA)
        shop["app"].configure_task("shop.tasks.draw_invoice").defer(order=7)
    write_mapping("procrastinate", folder)
    go_there_and_back(cloned_url, "procrastinate", folder, 2, commands("procrastinate")[-1])


async def test_the_page_about_pgqueuer_goes_there_and_back(cloned_url: str, folder: Path) -> None:
    async with pgqueuer_shop(cloned_url) as queries:
        await queries.enqueue(["welcome", "thumbnail"], [json.dumps(ADA).encode(), b"\xff"], [0, 0])
    write_mapping("pgqueuer", folder)
    go_there_and_back(cloned_url, "pgqueuer", folder, 2, commands("pgqueuer")[-1])


def test_the_page_about_post_office_goes_there_and_back(cloned_url: str, folder: Path) -> None:
    project(
        cloned_url,
        folder,
        'EmailTemplate.objects.create(name="welcome", subject="Welcome {{ name }}", content="Hello {{ name }}")\n'
        'mail.send("ada@example.org", template="welcome", context={"name": "Ada"}, render_on_delivery=True)\n'
        'mail.send("eve@example.org", subject="a", message="b", backend="ses", headers={"Message-ID": "<x@y>"})\n'
        'mail.send("kim@example.org", subject="a", message="b", attachments={"a.txt": ContentFile(b"the file")})\n',
    )
    write_mapping("django-post-office", folder)
    go_there_and_back(cloned_url, "django-post-office", folder, 3, commands("django-post-office")[-1])


def test_the_page_about_celery_goes_there_and_back(cloned_url: str, folder: Path) -> None:
    shop = Shop(folder)
    shop.welcome.delay("ada@example.org", name="Ada")
    shop.app.send_task("shop.tasks.draw_invoice", [7])
    (folder / "messages.jsonl").write_text(shop.messages())
    write_mapping("celery", folder)
    go_there_and_back(cloned_url, "celery", folder, 2, commands("celery")[-1])
    keys = rows(
        cloned_url, "SELECT count(*) FROM outbox.notifications WHERE idempotency_key ~ '^celery:[0-9a-f-]+:round-2$'"
    )
    assert keys == [(2,)]
