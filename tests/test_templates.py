"""Templates of a source: one file for a channel, what a template says of itself, and reloading without a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from outbox.channels import chat, inapp, push, sms
from outbox.channels.email import compose as compose_email
from outbox.errors import Rejected
from outbox.events import ChoreFailed
from outbox.messages import Notification
from outbox.render import Templates
from outbox.template_events import TemplatesChanged, TemplatesRefused
from outbox.templates import Folder, Layers
from outbox.templates.package import Package
from outbox.worker import reloading
from outbox.worker.reloading import reload_templates
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from outbox.events import Event

ALL_PARTS = {
    "shipped/subject.txt": "Shipped, {{ name }}",
    "shipped/body.txt": "Dear {{ name }}",
    "shipped/body.html": "<p>Dear {{ name }}, {{ only_in_html }}</p>",
    "shipped/sms.txt": "On its way, {{ name }}",
    "shipped/push.txt": "\n{{ name }}'s order\n\nIt is on its way.\nSee you!\n",
}


def write(folder: Path, files: dict[str, str]) -> Templates:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Templates(folder)


def notification(channel: str, template: str = "shipped", recipient: str = "x", **changes: Any) -> Notification:
    key = UUID("019ab1f0-3c00-7000-8000-0123456789ab")
    given = {"template": template, "payload": {"name": "Ada"}, **changes}
    return Notification(id=key, channel=channel, recipient=recipient, **given)


def test_one_file_is_the_whole_message_on_its_channel(tmp_path: Path) -> None:
    templates = write(tmp_path, ALL_PARTS)
    assert sms.compose(notification("sms", recipient="+14155550100"), templates).text == "On its way, Ada"
    pushed = push.compose(notification("push"), templates)
    assert (pushed.title, pushed.body) == ("Ada's order", "It is on its way.\nSee you!")


def test_without_a_file_of_its_own_a_channel_takes_the_parts_that_it_wants_and_no_others(tmp_path: Path) -> None:
    templates = write(tmp_path, ALL_PARTS)
    shown = inapp.compose(notification("inapp"), templates)
    assert (shown.title, shown.body) == ("Shipped, Ada", "Dear Ada")
    assert chat.compose(notification("chat"), templates).text == "Dear Ada"
    with pytest.raises(Rejected, match="only_in_html"):
        compose_email(notification("email", recipient="ada@example.org"), templates)


def test_a_file_of_its_own_in_any_locale_comes_before_the_parts(tmp_path: Path) -> None:
    templates = write(tmp_path, ALL_PARTS | {"shipped/pt/body.txt": "Caro {{ name }}", "shipped/pt/chat.txt": "Olá"})
    assert sms.compose(notification("sms", recipient="+14155550100", locale="pt"), templates).text == "On its way, Ada"
    assert chat.compose(notification("chat", locale="pt-BR"), templates).text == "Olá"


def test_a_template_that_says_which_channels_it_is_for_is_for_no_others(tmp_path: Path) -> None:
    templates = write(tmp_path, ALL_PARTS | {"shipped/template.toml": 'channels = ["email", "push"]'})
    push.compose(notification("push"), templates)
    with pytest.raises(Rejected, match="template shipped: it is for email and push, not for sms"):
        sms.compose(notification("sms", recipient="+14155550100"), templates)


def test_a_payload_that_is_not_what_the_template_wants_is_rejected_before_it_is_rendered(tmp_path: Path) -> None:
    variables = '[variables]\nname = "string"\n[variables.order]\nitems = [{ price = "decimal" }]\n'
    templates = write(tmp_path, {"t/body.txt": "{{ name }}", "t/template.toml": variables})
    payload = {"name": "Ada", "order": {"items": [{"price": "3.50"}, {"price": "hunter2"}]}}
    wanted = (
        'template t: payload.order.items[1].price must be a number, or one as a string such as "3.50", not this string'
    )
    with pytest.raises(Rejected) as refused:
        templates.render("t", payload)
    assert refused.value.detail == wanted
    with pytest.raises(Rejected, match=r"template t: payload\.name is missing; it must be a string"):
        templates.render("t", {"order": {"items": []}})
    assert templates.render("t", {"name": "Ada", "order": {"items": []}}) == {"body.txt": "Ada"}


def test_a_wrong_template_toml_rejects_what_is_to_be_sent_and_is_found_by_check(tmp_path: Path) -> None:
    templates = write(tmp_path, {"t/body.txt": "x", "t/template.toml": 'chanel = "email"\nexpires_in = "soon"\n'})
    with pytest.raises(Rejected, match=r"t/template\.toml: chanel is not a known key; did you mean channel\?"):
        templates.render("t", {})
    assert [problem.removeprefix(f"{tmp_path}/t/") for problem in templates.check()] == [
        "template.toml: chanel is not a known key; did you mean channel?",
        "template.toml: expires_in 'soon' is not a duration: write it like 250ms, 30s, 5m, 1h30m or 2d",
    ]


def test_a_changed_template_is_taken_by_a_refresh(tmp_path: Path) -> None:
    templates = write(tmp_path, {"t/body.txt": "old", "u/body.txt": "kept"})
    assert templates.render("t", {})["body.txt"] == "old"
    assert templates.refresh() is None
    write(tmp_path, {"t/body.txt": "new one"})
    assert templates.render("t", {})["body.txt"] == "old"
    assert templates.refresh() == []
    assert templates.render("t", {})["body.txt"] == "new one"
    (tmp_path / "u" / "body.txt").unlink()
    assert templates.refresh() == []
    assert templates.names() == ["t"]


def test_a_new_template_is_found_when_it_is_first_asked_for(tmp_path: Path) -> None:
    templates = write(tmp_path, {"t/body.txt": "old"})
    assert templates.render("t", {}) == {"body.txt": "old"}
    write(tmp_path, {"u/body.txt": "added"})
    assert templates.render("u", {}) == {"body.txt": "added"}


@pytest.mark.parametrize(
    "change",
    [
        {"t/body.txt": "new {% if %}", "u/body.txt": "new"},
        {"t/template.toml": "topic = 7", "u/body.txt": "new"},
        {"u/body.txt": "new {% include 'v/body.txt' %}", "v/body.txt": "{{"},
    ],
)
def test_a_change_with_a_mistake_in_it_is_not_taken_until_it_is_mended(tmp_path: Path, change: dict[str, str]) -> None:
    templates = write(tmp_path, {"t/body.txt": "old", "u/body.txt": "old"})
    assert templates.render("u", {}) == {"body.txt": "old"}
    write(tmp_path, change)
    (problem,) = templates.refresh() or []
    assert problem.startswith(("t/body.txt, line 1: ", "t/template.toml: topic is 7", "v/body.txt, line 1: "))
    assert templates.refresh() is None
    assert templates.render("u", {}) == templates.render("t", {}) == {"body.txt": "old"}
    write(tmp_path, {"t/body.txt": "mended", "t/template.toml": "", "v/body.txt": "", "u/body.txt": "mended"})
    assert templates.refresh() == []
    assert templates.render("u", {}) == templates.render("t", {}) == {"body.txt": "mended"}


def test_a_change_that_is_still_being_made_is_not_taken_before_it_comes_to_rest(tmp_path: Path) -> None:
    templates = write(tmp_path, {"t/body.txt": "old", "t/subject.txt": "old"})
    assert templates.render("t", {})["body.txt"] == "old"
    assert templates.refresh_at_rest() is templates.refresh_at_rest() is None
    for half in ("new", "newer"):
        write(tmp_path, {"t/body.txt": half})
        assert templates.refresh_at_rest() is None
        assert templates.render("t", {})["body.txt"] == "old"
    assert templates.refresh_at_rest() == []
    assert templates.render("t", {})["body.txt"] == "newer"


def test_a_folder_that_goes_away_takes_no_template_with_it(tmp_path: Path) -> None:
    templates = write(tmp_path / "templates", {"t/body.txt": "kept"})
    assert templates.render("t", {}) == {"body.txt": "kept"}
    (tmp_path / "templates").rename(tmp_path / "elsewhere")
    assert templates.refresh() == [f"{tmp_path}/templates: there is no such folder of templates"]
    assert templates.render("t", {}) == {"body.txt": "kept"}
    (tmp_path / "elsewhere").rename(tmp_path / "templates")
    assert templates.refresh() == []


def test_a_mistake_that_was_there_from_the_start_holds_no_change_up(tmp_path: Path) -> None:
    templates = write(tmp_path, {"t/body.txt": "{% if %}", "u/body.txt": "old"})
    assert templates.render("u", {}) == {"body.txt": "old"}
    write(tmp_path, {"t/body.txt": "\n\n{% if %}", "u/body.txt": "newer"})
    assert templates.refresh() == []
    assert templates.render("u", {}) == {"body.txt": "newer"}


def test_a_folder_whose_links_lead_back_to_it_comes_to_an_end(tmp_path: Path) -> None:
    templates = write(tmp_path, {"t/body.txt": "x"})
    (tmp_path / "t" / "again").symlink_to(tmp_path)
    assert "t/body.txt" in Folder(tmp_path).files()
    assert templates.render("t", {}) == {"body.txt": "x"}


def test_of_several_sources_the_first_that_has_a_file_gives_it(tmp_path: Path) -> None:
    ours, theirs = Folder(tmp_path / "ours"), Folder(tmp_path / "theirs")
    write(theirs.path, {"t/subject.txt": "theirs", "t/body.txt": "{% include '_foot.txt' %}", "_foot.txt": "theirs"})
    write(ours.path, {"_foot.txt": "ours", "u/body.txt": "{% if %}"})
    templates = Templates(Layers([ours, theirs]))
    assert templates.render("t", {}) == {"subject.txt": "theirs", "body.txt": "ours"}
    (problem,) = templates.check()
    assert problem.startswith(f"{ours.path}/u/body.txt, line 1: ")


def test_templates_of_a_package_are_read_without_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "acme_mail", {"__init__.py": "", "code.py": "", "mails/t/body.txt": "packed"})
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Templates(Package("acme_mail:mails")).render("t", {}) == {"body.txt": "packed"}
    assert Package("acme_mail").files().keys() == {"mails/t/body.txt"}
    with pytest.raises(ValueError, match="there is no package acme_male"):
        Package("acme_male")
    with pytest.raises(ValueError, match="the package acme_mail has no folder males"):
        Package("acme_mail:males")


async def test_a_worker_waits_for_a_source_that_cannot_be_read_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "_PAUSE", 0.001)
    told: list[Event] = []
    templates = write(tmp_path, {"t/body.txt": "x"})
    read = templates.load

    def load() -> object:
        if len(told) < 3:
            raise OSError("hunter2")
        return read()

    monkeypatch.setattr(templates, "load", load)
    await reloading.load_templates(templates, asyncio.get_running_loop().create_future(), told.append)
    assert told == [ChoreFailed("load_templates", "OSError")] * 3


async def test_a_worker_takes_changes_without_a_restart_and_says_what_it_did_not_take(tmp_path: Path) -> None:
    templates = write(tmp_path, {"t/body.txt": "old"})
    templates.render("t", {})
    told: list[Event] = []
    changes = [{"t/body.txt": "newer"}, {"t/body.txt": "{% broken"}, {"t/body.txt": "newest of all"}]
    write(tmp_path, changes.pop(0))

    def hear(event: Event) -> None:
        told.append(event)
        if not changes:
            raise asyncio.CancelledError
        write(tmp_path, changes.pop(0))

    with pytest.raises(asyncio.CancelledError):
        await reload_templates(templates, 0.001, hear)
    assert [type(event) for event in told] == [TemplatesChanged, TemplatesRefused, TemplatesChanged]
    assert templates.render("t", {}) == {"body.txt": "newest of all"}


def test_a_worker_process_sends_what_a_template_says_by_now(tmp_path: Path, cloned_url: str) -> None:
    write(tmp_path / "templates", {"t/subject.txt": "Hello", "t/body.txt": "{{ name }}"})
    with Fleet(tmp_path, cloned_url) as fleet:
        fleet.start()
        enqueue(cloned_url, template="t", payload={"name": "Ada"})
        wait_until(lambda: states(cloned_url) == ["sent"], timeout=30)
        write(tmp_path / "templates", {"t/body.txt": "{{ nobody_gave_this }}"})
        wait_until(lambda: "templates have changed; there is 1 now" in fleet.log(), timeout=30)
        enqueue(cloned_url, template="t", payload={"name": "Ada"})
        wait_until(lambda: states(cloned_url) == ["dead", "sent"], timeout=30)


def states(url: str) -> list[str]:
    return [state for (state,) in rows(url, "SELECT state FROM outbox.status ORDER BY state")]
