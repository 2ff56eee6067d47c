"""What the providers of text messages do beyond the contract: see tests/providers for that."""

from __future__ import annotations

from base64 import b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from outbox import errors
from outbox.channels import load_provider
from outbox.messages import Receipt, Sms
from tests.providers import sms_twilio, sms_vonage
from tests.providers.counterpart import KEY
from tests.providers.server import HttpServer, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY_SID = "SK" + "ab" * 16
SERVICE = "MG" + "cd" * 16
TWILIO = {"account_sid": sms_twilio.ACCOUNT, "auth_token": "t", "sender": "Acme"}
VONAGE = {"api_key": "abcd1234", "api_secret": "s", "sender": "+14155550100"}
GIVEN: dict[str, dict[str, Any]] = {"twilio": TWILIO, "vonage": VONAGE}


@asynccontextmanager
async def answering(name: str, reply: Reply, settings: dict[str, Any]) -> AsyncIterator[tuple[Any, HttpServer]]:
    async with HttpServer(lambda _: reply) as server:
        provider: Any = load_provider("sms", name, {**settings, "url": server.url})
        try:
            yield provider, server
        finally:
            await provider.aclose()


async def sent(name: str, message: Sms, settings: dict[str, Any] | None = None) -> dict[str, str]:
    """Return the form in which a message goes out."""
    async with answering(name, Reply(200), settings or GIVEN[name]) as (provider, server):
        await provider.send(message, KEY)
    return server.requests[0].form()


@pytest.mark.parametrize("name", GIVEN)
async def test_a_text_of_too_many_parts_is_refused_before_the_call(name: str) -> None:
    settings = {**GIVEN[name], "max_parts": 2}
    async with answering(name, Reply(200), settings) as (provider, server):
        await provider.send(Sms("+447700900001", "a" * 306), KEY)
        with pytest.raises(errors.Rejected) as caught:
            await provider.send(Sms("+447700900001", "a" * 307), KEY)
    assert len(server.requests) == 1
    assert caught.value.detail == "the text takes 3 parts (307 units of GSM-7); max_parts is 2"


@pytest.mark.parametrize(
    ("name", "field", "seconds", "said"),
    [
        ("twilio", "ValidityPeriod", 0.2, "1"),
        ("twilio", "ValidityPeriod", 86_400.0, "36000"),
        ("vonage", "ttl", 3.0, "20000"),
        ("vonage", "ttl", 864_000.0, "604800000"),
    ],
)
async def test_what_is_left_of_a_messages_life_is_said_within_the_providers_limits(
    name: str, field: str, seconds: float, said: str
) -> None:
    assert (await sent(name, Sms("+447700900001", "Hello", seconds)))[field] == said
    assert field not in await sent(name, Sms("+447700900001", "Hello"))


async def test_twilio_takes_a_key_of_the_account_instead_of_its_token() -> None:
    settings = {
        "account_sid": sms_twilio.ACCOUNT,
        "api_key_sid": KEY_SID,
        "api_key_secret": "s",
        "messaging_service_sid": SERVICE,
    }
    async with answering("twilio", Reply(201, {"sid": "SM1"}), settings) as (provider, server):
        assert await provider.send(Sms("+447700900001", "Hello"), KEY) == Receipt("SM1")
    assert server.requests[0].headers["authorization"] == "Basic " + b64encode(f"{KEY_SID}:s".encode()).decode()
    assert server.requests[0].path == sms_twilio.MESSAGES
    assert server.requests[0].form() == {"To": "+447700900001", "MessagingServiceSid": SERVICE, "Body": "Hello"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"auth_token": None}, "give either auth_token, or api_key_sid and api_key_secret"),
        ({"api_key_sid": KEY_SID, "api_key_secret": "s"}, "give either auth_token, or api_key_sid and api_key_secret"),
        ({"api_key_sid": KEY_SID}, "api_key_sid and api_key_secret go together"),
        ({"sender": None}, "give a sender or a messaging_service_sid"),
        ({"account_sid": "0123"}, "account_sid"),
        ({"callback_url": "https://user:password@example.org"}, "a URL of yours, without a password"),
        ({"url": "api.twilio.com"}, "providers.twilio.url: it must be a URL that begins with https://"),
    ],
)
def test_settings_of_twilio_that_do_not_fit_together_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        load_provider("sms", "twilio", {**TWILIO, **changes})
    assert problem in str(caught.value)
    assert "password@" not in str(caught.value)


async def test_test_credentials_of_twilio_pass_the_probe_which_they_may_not_make() -> None:
    refusal = Reply(403, {"code": 20008, "message": "Resource not accessible with Test Account Credentials"})
    async with answering("twilio", refusal, TWILIO) as (provider, _):
        await provider.probe()


async def test_vonage_is_told_when_the_alphabet_is_not_enough() -> None:
    form = await sent("vonage", Sms("+447700900001", "Привет"))
    assert (form["type"], form["text"]) == ("unicode", "Привет")
    assert (form["from"], form["to"]) == ("14155550100", "447700900001")
    assert (await sent("vonage", Sms("+447700900001", "€ {}")))["type"] == "text"


@pytest.mark.parametrize("statuses", [("0", "1"), ("1", "0"), ("0", "0", "9")])
async def test_what_vonage_took_in_part_is_accepted_for_another_attempt_would_repeat_it(
    statuses: tuple[str, ...],
) -> None:
    async with answering("vonage", sms_vonage.answered(*statuses), VONAGE) as (provider, _):
        receipt = await provider.send(Sms("+447700900001", "a" * 400), KEY)
    assert receipt == Receipt(f"0C00{statuses.index('0')}")


@pytest.mark.parametrize("messages", [[], [{}], ["junk"], [{"status": None}], [{"status": {}}], {"status": "4"}, "x"])
async def test_an_answer_of_vonage_that_refuses_no_part_is_an_acceptance(messages: object) -> None:
    async with answering("vonage", Reply(200, {"messages": messages}), VONAGE) as (provider, _):
        assert await provider.send(Sms("+447700900001", "Hello"), KEY) == Receipt(None)


@pytest.mark.parametrize(
    ("settings", "sender"),
    [({}, "Acme"), ({"sender": None, "messaging_service_sid": SERVICE}, SERVICE)],
    ids=["a number", "a service"],
)
async def test_stop_binds_the_sender_that_it_was_said_to(settings: dict[str, Any], sender: str) -> None:
    stop = Reply(400, {"code": 21610, "message": "Attempt to send to unsubscribed recipient", "status": 400})
    async with answering("twilio", stop, {**TWILIO, **settings}) as (provider, _):
        with pytest.raises(errors.Unreachable) as caught:
            await provider.send(Sms("+447700900001", "hello"), KEY)
        assert (caught.value.sender, caught.value.because) == (provider.sender, "stop")
        assert provider.sender == sender
