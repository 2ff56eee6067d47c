"""Emails of topics that people may unsubscribe from: their headers, their variable, and one click from end to end."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import psycopg
import pytest

import outbox
from outbox.channels import compose_for
from outbox.channels.email import compose, headers
from outbox.errors import ConfigError, Rejected
from outbox.messages import Email, Notification
from outbox.oneclick import Links, problems, read
from outbox.render import Templates
from outbox.unsubscribe import App
from outbox.worker import process
from tests.asgi_server import AsgiServer
from tests.email_by_api import sent
from tests.hands import enqueue, rows
from tests.providers.counterpart import KEY
from tests.recorder import drain
from tests.smtp_client import provider
from tests.smtp_server import SmtpServer
from tests.unsubscribing import ADA, KEYS, configured

if TYPE_CHECKING:
    from email.message import EmailMessage

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
PAYLOAD = {"subject": "Hi", "text": "Hello"}


def composed(topic: str | None = "news", config: dict[str, Any] | None = None, **given: Any) -> Email:
    notification = Notification(UUID(KEY), "email", ADA, topic=topic, **{"payload": PAYLOAD, **given})
    message = compose_for("email", configured(**(config or {})))(notification, Templates(Path()))
    assert isinstance(message, Email)
    return message


def parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def link(message: Email) -> str:
    (url,) = re.findall(r"^<(https://[^>]+)>", message.headers["List-Unsubscribe"])
    return str(url)


def test_a_topic_that_lets_people_unsubscribe_gives_its_emails_both_headers() -> None:
    message = composed()
    assert message.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message.headers["List-Unsubscribe"].startswith("<https://example.org/unsubscribe/")
    opt_out = read(link(message).rpartition("/")[2], KEYS)
    assert (opt_out.channel, opt_out.recipient, opt_out.topic) == ("email", ADA, "news")


@pytest.mark.parametrize("topic", [None, "receipts", "elsewhere"])
def test_another_topic_or_none_gives_none(topic: str | None) -> None:
    assert composed(topic).headers == {}


def test_every_attempt_says_the_same() -> None:
    assert composed() == composed()


def test_an_address_for_those_who_unsubscribe_by_mail_comes_second() -> None:
    message = composed(config={"mailto": "leave+me@example.org"})
    token = link(message).rpartition("/")[2]
    mailto = f"<mailto:leave+me@example.org?subject=unsubscribe%20{token}>"
    assert message.headers["List-Unsubscribe"].split(", ") == [f"<{link(message)}>", mailto]


def test_what_a_notification_says_itself_goes_before_ours() -> None:
    own = {"list-unsubscribe": "<https://example.com/leave>"}
    assert composed(headers=own).headers == own
    post = composed(headers={"LIST-UNSUBSCRIBE-POST": "List-Unsubscribe=One-Click", "X-Campaign": "7"}).headers
    assert sorted(post) == ["LIST-UNSUBSCRIBE-POST", "List-Unsubscribe", "X-Campaign"]


def test_the_longest_link_that_the_configuration_lets_through_fits_into_a_header() -> None:
    config = configured(url="https://example.org/" + "u" * 180, mailto="leave@example.org")
    topic = "ü" * 100
    config = config.model_copy(update={"topics": {topic: config.topics["news"]}})
    assert list(problems(config)) == []
    recipient = "a" * 64 + "@" + ".".join(["b" * 62] * 3)
    notification = Notification(UUID(KEY), "email", recipient, topic=topic, payload=PAYLOAD)
    message = compose(notification, Templates(Path()), Links(config))
    assert max(map(len, headers.extra_fields(message.headers).split("\r\n"))) <= 998


async def test_smtp_sends_the_link_in_one_piece() -> None:
    message = composed(config={"mailto": "leave@example.org"})
    async with SmtpServer() as server, provider(server.port) as smtp:
        await smtp.send(message, KEY)
    (accepted,) = server.accepted
    assert parsed(accepted.content)["List-Unsubscribe"] == message.headers["List-Unsubscribe"]
    assert parsed(accepted.content)["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert f"<{link(message)}>".encode() in accepted.content.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("name", ["mailgun", "postmark", "resend", "sendgrid", "ses"])
async def test_every_api_is_given_both_headers(name: str) -> None:
    message = composed()
    request = await sent(name, message)
    if name == "mailgun":
        form = dict(httpx.QueryParams(request.body.decode()))
        found = {field.removeprefix("h:"): value for field, value in form.items()}
    elif name == "ses":
        found = dict(parsed(base64.b64decode(request.json()["Content"]["Raw"]["Data"])))
    elif name == "postmark":
        found = {field["Name"]: field["Value"] for field in request.json()["Headers"]}
    else:
        found = request.json()["headers"]
    assert {name: found[name] for name in message.headers} == message.headers


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    files = {
        "news/subject.txt": "News",
        "news/body.txt": "Leave: {{ unsubscribe_url }}",
        "news/body.html": '<a href="{{ unsubscribe_url }}">Leave</a>',
        "shared/subject.txt": "Hi",
        "shared/body.txt": "{% include '_foot.txt' %}",
        "_foot.txt": "Bye{% if unsubscribe_url is defined %}: {{ unsubscribe_url }}{% endif %}",
        "strict/template.toml": '[variables]\nname = "string"\n',
        "strict/subject.txt": "{{ name }}",
        "strict/body.txt": "{{ unsubscribe_url }}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return Templates(tmp_path)


def templated(templates: Templates, template: str, topic: str = "news", **payload: Any) -> Email:
    notification = Notification(UUID(KEY), "email", ADA, template, topic=topic, payload=payload)
    return compose(notification, templates, Links(configured()))


def test_a_template_has_the_same_link_as_the_header(templates: Templates) -> None:
    message = templated(templates, "news")
    assert message.text == f"Leave: {link(message)}"
    assert message.html == f'<a href="{link(message)}">Leave</a>'
    strict = templated(templates, "strict", name="Ada")
    assert strict.text == link(strict)


def test_where_the_topic_has_none_the_variable_is_missing_unless_the_template_asks(templates: Templates) -> None:
    with pytest.raises(Rejected, match="unsubscribe_url"):
        templated(templates, "news", topic="receipts")
    assert templated(templates, "shared", topic="receipts").text == "Bye"
    assert templated(templates, "shared").text == f"Bye: {link(templated(templates, 'shared'))}"


def test_a_payload_that_has_a_link_of_its_own_keeps_it(templates: Templates) -> None:
    message = templated(templates, "news", unsubscribe_url="https://example.com/leave")
    assert message.text == "Leave: https://example.com/leave"
    assert link(message).startswith("https://example.org/")


def test_a_worker_does_not_start_without_what_links_are_made_of() -> None:
    for given, lacking in (({"url": None}, "unsubscribe.url is missing"), ({"secret": ()}, "unsubscribe.secret is")):
        with pytest.raises(ConfigError, match=lacking):
            process.routes(configured(smtp=25, **given), ["email"], lambda _: None)


async def test_one_click_on_the_mail_that_came_keeps_the_next_one_back(cloned_url: str, tmp_path: Path) -> None:
    """Worker, SMTP, mail program and web server, each as it is in life."""
    told: list[str] = []
    async with SmtpServer() as mail, AsgiServer(App(configured(cloned_url))) as web:
        config = configured(cloned_url, smtp=mail.port, url=web.url)
        config = config.model_copy(update={"templates": config.templates.model_copy(update={"path": tmp_path})})
        (tmp_path / "news").mkdir()
        (tmp_path / "news" / "subject.txt").write_text("News")
        (tmp_path / "news" / "body.txt").write_text("{{ unsubscribe_url }}")

        async def deliver() -> list[str]:
            await drain(cloned_url, *process.routes(config, ["email"], lambda _: None))
            return [recipient for each in mail.accepted for recipient in each.recipients]

        for person in (ADA, "bob@example.org"):
            enqueue(cloned_url, 1, recipient=person, topic="news", template="news", payload={})
        assert sorted(await deliver()) == [ADA, "bob@example.org"]
        of_ada = next(each for each in mail.accepted if each.recipients == [ADA])
        message = parsed(of_ada.content)
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        (url,) = re.findall(r"<(http://[^>]+)>", message["List-Unsubscribe"])
        assert message.get_content().strip() == url
        async with httpx.AsyncClient(follow_redirects=False) as program:
            told += [str((await program.get(url)).status_code)]  # by a scanner of links
            told += [str((await program.post(url, files={"List-Unsubscribe": (None, "One-Click")})).status_code)]
        for person in (ADA, "bob@example.org"):
            enqueue(cloned_url, 1, recipient=person, topic="news", template="news", payload={})
        enqueue(cloned_url, 1, recipient=ADA, topic="receipts", payload=PAYLOAD)
        assert sorted(await deliver()) == [ADA, ADA, "bob@example.org", "bob@example.org"]
    assert told == ["200", "200"]
    assert [method for method, _ in web.requests] == ["GET", "POST"]
    ended = "SELECT recipient, topic, last_error FROM outbox.status WHERE state = 'suppressed'"
    ((recipient, topic, why),) = rows(cloned_url, ended)
    assert (recipient, topic) == (ADA, "news")
    assert why.startswith("unsubscribed, topic news, since ")


async def test_a_digest_has_a_link_too(cloned_url: str, tmp_path: Path) -> None:
    (tmp_path / "likes").mkdir()
    (tmp_path / "likes" / "subject.txt").write_text("{{ count }} likes")
    (tmp_path / "likes" / "body.txt").write_text("{{ unsubscribe_url }}")
    with psycopg.connect(cloned_url) as conn:
        for who in ("Ada", "Grace"):
            outbox.enqueue(
                conn, channel="email", recipient=ADA, template="likes", topic="news", payload={"by": who},
                digest_key="likes", digest_window=timedelta(hours=1), digest_max_items=2,
            )  # fmt: skip
    async with SmtpServer() as mail:
        config = configured(cloned_url, smtp=mail.port)
        config = config.model_copy(update={"templates": config.templates.model_copy(update={"path": tmp_path})})
        await drain(cloned_url, *process.routes(config, ["email"], lambda _: None))
    (accepted,) = mail.accepted
    message = parsed(accepted.content)
    assert message["Subject"] == "2 likes"
    assert f"<{message.get_content().strip()}>" == message["List-Unsubscribe"]
