"""Chat: what becomes a message, and what its providers make of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from outbox.channels import load_provider
from outbox.channels.chat import compose
from outbox.errors import ConfigError, Rejected
from outbox.messages import Chat, Notification
from outbox.render import Templates
from tests.providers.chat_slack import PATH
from tests.providers.chat_telegram import TOKEN
from tests.providers.counterpart import KEY
from tests.providers.server import HttpServer, Reply

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    for name, file, text in (
        ("paid", "body.txt", "\nOrder {{ id }}\n  is paid.\n"),
        ("empty", "body.txt", "\n \n"),
        ("mailed", "body.html", "<p>"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(text)
    return Templates(tmp_path)


def notification(**changes: Any) -> Notification:
    return Notification(**{"id": UUID(KEY), "channel": "chat", "recipient": "4711", **changes})


def test_a_message_is_the_body_of_a_template_or_the_text_of_a_payload(templates: Templates) -> None:
    of_template = compose(notification(template="paid", payload={"id": 7}), templates)
    assert of_template._replace(digests=None) == Chat("4711", "Order 7\n  is paid.")
    assert compose(notification(payload={"text": " Hi & bye\n", "more": 1}), templates) == Chat("4711", " Hi & bye")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "payload: a text is missing"),
        ({"payload": {"text": 7}}, "payload: text must be text, not int"),
        ({"payload": {"text": " \n"}}, "payload: a text has nothing in it"),
        ({"template": "mailed"}, "template mailed: body.txt is missing"),
        ({"template": "empty"}, "template empty: body.txt has nothing in it"),
        ({"template": "nowhere"}, "nowhere"),
    ],
)
def test_what_is_no_message_is_rejected(templates: Templates, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(Rejected, match=problem):
        compose(notification(**given), templates)


async def sent(provider: str, text: str, to: str = "4711", **settings: Any) -> Any:
    """Return the JSON with which a text goes out."""
    async with HttpServer(lambda _: Reply(200, b"ok")) as server:
        where = {"slack": {"url": server.url + PATH}, "telegram": {"url": server.url, "token": TOKEN}}[provider]
        it = load_provider("chat", provider, {**where, **settings})
        try:
            await it.send(Chat(to, text), KEY)
        finally:
            await it.aclose()
    return server.requests[0].json()


async def test_slack_shows_a_text_as_it_is_unless_it_is_markup() -> None:
    assert await sent("slack", "<!channel> *a* & b") == {"text": "&lt;!channel&gt; *a* &amp; b", "mrkdwn": False}
    assert await sent("slack", "<!channel> *a* & b", markup=True) == {"text": "<!channel> *a* & b", "mrkdwn": True}


async def test_telegram_formats_and_is_silent_if_it_should() -> None:
    body = await sent("telegram", "<b>a</b>", parse_mode="HTML", silent=True)
    assert body == {"chat_id": 4711, "text": "<b>a</b>", "parse_mode": "HTML", "disable_notification": True}


@pytest.mark.parametrize(("to", "chat_id"), [("-1001234567890", -1001234567890), ("@news", "@news"), ("٣", "٣")])
async def test_a_chat_is_a_number_or_a_name(to: str, chat_id: int | str) -> None:
    assert (await sent("telegram", "a", to))["chat_id"] == chat_id


@pytest.mark.parametrize(("provider", "longest"), [("slack", 40_000), ("telegram", 4_096)])
async def test_a_text_that_would_be_cut_or_refused_is_rejected_before_it_goes_out(provider: str, longest: int) -> None:
    await sent(provider, "a" * longest)
    with pytest.raises(Rejected, match=str(longest)):
        await sent(provider, "a" * (longest + 1))


async def test_telegram_measures_a_formatted_text_itself() -> None:
    await sent("telegram", f"<b>{'a' * 4_096}</b>", parse_mode="HTML")


@pytest.mark.parametrize("token", ["", "ABC", "1:", "1:a/../b", "1:a b", "1:ä", "bot1:abc"])
def test_a_token_that_would_be_another_path_is_a_mistake(token: str) -> None:
    with pytest.raises(ConfigError, match="a bot's token") as caught:
        load_provider("chat", "telegram", {"token": token})
    assert len(token) < 4 or token not in str(caught.value)


@pytest.mark.parametrize("url", ["", "hooks.slack.com/T0/B0/secr3t", "https://hooks.slack.com/T0/B0/secr3t\n"])
def test_the_url_of_slack_is_checked_and_not_told(url: str) -> None:
    with pytest.raises(ConfigError, match="the webhook's URL") as caught:
        load_provider("chat", "slack", {"url": url})
    assert "secr3t" not in str(caught.value)
