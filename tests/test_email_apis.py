"""What the contract of all providers does not say of those for email over HTTP."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from outbox import errors
from outbox.channels import load_provider
from outbox.channels.email.api import parts
from outbox.messages import Attachment, Email
from tests.providers.counterpart import KEY
from tests.providers.server import Act, HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

ACCEPTED = Reply(200, b"{}")
HELLO = Email("grace@example.net", "Hello", "Hello, Grace.")


@asynccontextmanager
async def provider_at(name: str, *acts: Act, **settings: Any) -> AsyncIterator[tuple[Any, HttpServer]]:
    """Open a provider of email; its API does these acts, and then accepts whatever comes."""
    given: Mapping[str, Any] = import_module(f"tests.providers.email_{name}").COUNTERPART.settings
    async with HttpServer(lambda _: ACCEPTED) as server:
        server.script.extend(acts)
        provider = load_provider("email", name, {**given, "url": server.url, **settings})
        yield provider, server
        await provider.aclose()


async def refusal(name: str, reply: Reply) -> errors.DeliveryError:
    """Return what sending raises when the API answers so."""
    async with provider_at(name, reply) as (provider, _):
        with pytest.raises(errors.DeliveryError) as caught:
            await provider.send(HELLO, KEY)
    return caught.value


def test_a_header_that_is_not_ascii_goes_to_an_api_encoded_and_in_one_line() -> None:
    campaign = "Frühling für alle, die ihn nicht erwarten können, und für die anderen auch"
    email = Email("grace@example.net", "Hello", "Hello.", headers={"X-Campaign": campaign, "X-Plain": " as it is "})
    fields = parts(email, KEY, "shop@example.org", megabytes=10).headers
    assert fields["X-Plain"] == "as it is"
    assert fields["X-Campaign"].isascii()
    assert fields["X-Campaign"].isprintable()
    assert str(make_header(decode_header(fields["X-Campaign"]))) == campaign


async def test_sendgrid_in_the_sandbox_is_told_so_and_takes_a_200_without_an_id() -> None:
    async with provider_at("sendgrid", sandbox=True) as (provider, server):
        assert (await provider.send(HELLO, KEY)).provider_message_id is None
    assert server.requests[0].json()["mail_settings"] == {"sandbox_mode": {"enable": True}}


async def test_sendgrid_gets_no_part_that_is_empty() -> None:
    async with provider_at("sendgrid") as (provider, server):
        await provider.send(HELLO._replace(text="", html="<p>Hello.</p>"), KEY)
    assert server.requests[0].json()["content"] == [{"type": "text/html", "value": "<p>Hello.</p>"}]


async def test_the_rate_limit_of_sendgrid_ends_at_a_moment() -> None:
    error = await refusal("sendgrid", Reply(429, headers={"X-RateLimit-Reset": f"{time.time() + 30:.0f}"}))
    assert isinstance(error, errors.Throttled)
    assert error.retry_after == pytest.approx(30, abs=2)


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"])
async def test_every_form_of_a_date_that_http_has_is_in_utc_wherever_the_worker_is(form: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7."""
    error = await refusal(
        "postmark", Reply(429, headers={"Retry-After": f"{datetime.now(UTC) + timedelta(minutes=1):{form}}"})
    )
    assert isinstance(error, errors.Throttled)
    assert error.retry_after == pytest.approx(60, abs=5)


async def test_a_key_of_sendgrid_that_may_not_send_is_misconfigured() -> None:
    async with provider_at("sendgrid", Reply(200, {"scopes": ["stats.read"]})) as (provider, _):
        with pytest.raises(errors.Misconfigured, match=r"lacks the scope mail\.send"):
            await provider.probe()


async def test_mailgun_in_the_sandbox_is_told_so() -> None:
    async with provider_at("mailgun", sandbox=True) as (provider, server):
        await provider.send(HELLO, KEY)
    assert server.requests[0].form()["o:testmode"] == "yes"


async def test_a_probe_of_mailgun_fails_where_the_url_or_the_domain_is_wrong() -> None:
    greeting, unknown = Reply(200, b"Mailgun Magnificent API"), Reply(404, {"message": "Domain not found: mg"})
    async with provider_at("mailgun", greeting, unknown) as (provider, _):
        with pytest.raises(errors.Misconfigured, match="the url leads to no endpoint"):
            await provider.probe()
        with pytest.raises(errors.Temporary, match="Domain not found"):
            await provider.probe()


def test_the_domain_of_mailgun_is_no_way_to_another_path() -> None:
    given = {"api_key": "key-1", "sender": "shop@example.org", "domain": "mg.example.org/../x"}
    with pytest.raises(errors.ConfigError, match="domain"):
        load_provider("email", "mailgun", given)


async def test_a_key_of_resend_that_may_only_send_is_a_good_one() -> None:
    restricted = Reply(401, {"statusCode": 401, "name": "restricted_api_key", "message": "only to send emails"})
    async with provider_at("resend", restricted) as (provider, _):
        await provider.probe()


async def test_a_key_of_resend_that_is_none_fails_the_probe_though_it_looks_like_a_wrong_field() -> None:
    invalid = Reply(400, {"statusCode": 400, "name": "validation_error", "message": "API key is invalid"})
    async with provider_at("resend", invalid) as (provider, _):
        with pytest.raises(errors.Misconfigured):
            await provider.probe()


async def test_resend_gets_the_same_key_with_every_attempt_and_remembers_it_for_a_day() -> None:
    async with provider_at("resend", Reply(500)) as (provider, server):
        with pytest.raises(errors.Ambiguous):
            await provider.send(HELLO, KEY)
        await provider.send(HELLO, KEY)
        assert provider.key_lifetime == 24 * 3600
    assert [request.headers["idempotency-key"] for request in server.requests] == [KEY, KEY]


@pytest.mark.parametrize(
    ("name", "megabytes"), [("mailgun", 25), ("postmark", 10), ("resend", 40), ("sendgrid", 30), ("ses", 40)]
)
async def test_what_is_larger_than_the_provider_takes_is_rejected_before_it_is_asked(name: str, megabytes: int) -> None:
    film = Attachment("film.mp4", b"x" * (megabytes * 1_000_000), "video/mp4")
    async with provider_at(name) as (provider, server):
        with pytest.raises(errors.Rejected, match=rf"MB, and this provider takes {megabytes} MB at most") as refused:
            await provider.send(HELLO._replace(attachments=(film,)), KEY)
    assert refused.value.code is None
    assert server.requests == []
