"""What Amazon's services share: whose endpoint, whose credentials, and that finding those holds nothing else up."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.credentials import ReadOnlyCredentials

from outbox import channels, errors
from outbox.channels import load_provider
from outbox.channels.aws import CODES, AwsSettings, SignedClient, refusal
from outbox.channels.http import Answer
from outbox.messages import Sms
from tests.providers import aws
from tests.providers.server import HttpServer, Reply, Request, Silence
from tests.providers.sms_sns import refused
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.providers.server import Act

STATIC_KEY, STATIC_SECRET = "AKIDSTATIC", "static-secret"
STATIC = ReadOnlyCredentials(STATIC_KEY, STATIC_SECRET, None)
FIRST = ReadOnlyCredentials("AKIDFIRST", "first-secret", "first-token")
NOBODY = "http://127.0.0.1:9/"


class Settings(AwsSettings):
    host = "email"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing of this machine's own is found: no environment, no files, no metadata."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", STATIC_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", STATIC_SECRET)


@asynccontextmanager
async def client(url: str, **given: Any) -> AsyncIterator[SignedClient]:
    settings = Settings.model_validate({"region": aws.REGION, "url": url, "timeout": 5, **given})
    signed = SignedClient(settings, "ses")
    try:
        yield signed
    finally:
        await signed.aclose()


async def signer(*candidates: ReadOnlyCredentials, **given: Any) -> ReadOnlyCredentials | None:
    """Return whose credentials sign a request that is sent with these settings."""
    async with HttpServer(lambda _: Reply()) as server, client(server.url, **given) as signed:
        assert (await signed.request("POST", "/a/b", b"{}", "application/json")).is_accepted
        (request,) = server.requests
    return next((each for each in candidates if aws.is_signed(request, "ses", each)), None)


async def failure(**given: Any) -> errors.DeliveryError:
    """Return what a request raises before anything is sent."""
    async with HttpServer(lambda _: Reply()) as server, client(server.url, **given) as signed:
        with pytest.raises(errors.DeliveryError) as caught:
            await signed.request("GET", "/")
        assert server.requests == []
    return caught.value


def issued(by: ReadOnlyCredentials, seconds: float) -> Reply:
    """Answer as the metadata of a container does: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/."""
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    body = {"AccessKeyId": by.access_key, "SecretAccessKey": by.secret_key, "Token": by.token}
    return Reply(200, body | {"Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ")})


@asynccontextmanager
async def container(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Request], Act]) -> AsyncIterator[HttpServer]:
    async with HttpServer(answer) as metadata:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata.url}/role")
        yield metadata


@asynccontextmanager
async def sts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reply: Reply) -> AsyncIterator[HttpServer]:
    """A service account of Kubernetes, whose role STS issues credentials for."""
    (tmp_path / "token").write_text("the service account's token", encoding="utf-8")
    async with HttpServer(lambda _: reply) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mailer")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        yield server


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-1", "email.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "email.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "email.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "email.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_the_region_says_where_the_service_is(region: str, host: str) -> None:
    assert Settings.model_validate({"region": region}).url == f"https://{host}"


def test_a_url_of_ones_own_is_kept() -> None:
    assert Settings(region="eu-west-1", url="https://vpce.example.org").url == "https://vpce.example.org"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "providers.ses.region is missing"),
        ({"region": "Ireland"}, "providers.ses.region String should match"),
        ({"access_key_id": "a"}, "access_key_id and secret_access_key go together"),
        ({"session_token": "t"}, "session_token goes with access_key_id"),
        ({"access_key_id": "a", "secret_access_key": "s", "profile": "p"}, "two ways to say the same"),
    ],
)
def test_settings_that_contradict_one_another_are_refused_in_one_sentence(given: dict[str, str], problem: str) -> None:
    region = {} if "ses.region" in problem else {"region": "eu-west-1"}
    with pytest.raises(errors.ConfigError) as caught:
        load_provider("email", "ses", {"sender": "a@example.org", **region, **given})
    (only,) = caught.value.problems
    assert problem in only


def test_without_the_extra_the_problem_is_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.delattr(channels, "aws")
    for ours in ("outbox.channels.aws", "outbox.channels.email.ses"):
        monkeypatch.delitem(sys.modules, ours, raising=False)
    with pytest.raises(errors.ConfigError) as caught:
        load_provider("email", "ses", {})
    assert caught.value.problems == ("providers.ses: the module botocore cannot be imported: install outbox[aws]",)


@pytest.mark.usefixtures("environment")
async def test_the_credentials_of_the_settings_come_first() -> None:
    given = {name: value for name, value in aws.SETTINGS.items() if name != "region"}
    assert await signer(STATIC, aws.CREDENTIALS, **given) == aws.CREDENTIALS


@pytest.mark.usefixtures("environment")
async def test_the_environment_has_credentials() -> None:
    assert await signer(STATIC) == STATIC


async def test_a_profile_has_credentials(bare: Path) -> None:
    lines = f"[mailer]\naws_access_key_id = {STATIC_KEY}\naws_secret_access_key = {STATIC_SECRET}\n"
    (bare / "credentials").write_text(lines, encoding="utf-8")
    assert await signer(STATIC, profile="mailer") == STATIC


async def test_a_profile_that_is_not_there_is_named() -> None:
    error = await failure(profile="mialer")
    assert type(error) is errors.Misconfigured
    assert "mialer" in error.detail


async def test_without_credentials_nothing_is_sent() -> None:
    assert type(await failure()) is errors.Misconfigured


async def test_a_container_has_credentials_which_are_fetched_once_for_all_and_hold_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The metadata are served by this very loop: were it blocked, they would never come."""
    async with (
        container(monkeypatch, lambda _: issued(aws.CREDENTIALS, 3600)) as metadata,
        HttpServer(lambda request: Reply() if aws.is_signed(request, "ses") else Reply(403)) as server,
        client(server.url) as signed,
    ):
        answers = await asyncio.gather(*(signed.request("GET", "/") for _ in range(10)))
        answers.append(await signed.request("GET", "/"))
    assert [answer.status for answer in answers] == [200] * 11
    assert len(metadata.requests) == 1


@asynccontextmanager
async def renewing(
    monkeypatch: pytest.MonkeyPatch, replies: list[Reply]
) -> AsyncIterator[tuple[HttpServer, SignedClient]]:
    """A client whose credentials are these, one after the other, and the server that it asks."""
    async with (
        container(monkeypatch, lambda _: replies.pop(0)),
        HttpServer(lambda _: Reply()) as server,
        client(server.url) as signed,
    ):
        yield server, signed


async def test_credentials_are_renewed_before_they_run_out_and_nobody_waits_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("outbox.channels.aws.RENEWAL_PAUSE", 0.0)
    replies = [issued(FIRST, 14 * 60), issued(FIRST, 14 * 60), issued(aws.CREDENTIALS, 3600)]
    async with renewing(monkeypatch, replies) as (server, signed):
        await signed.request("GET", "/")
        await signed.request("GET", "/")
        assert [aws.is_signed(request, "ses", FIRST) for request in server.requests] == [True, True]
        deadline = time.monotonic() + 10
        while not aws.is_signed(server.requests[-1], "ses") and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            await signed.request("GET", "/")
    assert aws.is_signed(server.requests[-1], "ses", aws.CREDENTIALS)
    assert replies == []


async def test_credentials_that_have_less_than_ten_minutes_are_renewed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = [issued(FIRST, 9 * 60), issued(FIRST, 9 * 60), issued(aws.CREDENTIALS, 3600)]
    async with renewing(monkeypatch, replies) as (server, signed):
        await signed.request("GET", "/")
        await signed.request("GET", "/")
    assert aws.is_signed(server.requests[0], "ses", FIRST)
    assert aws.is_signed(server.requests[1], "ses", aws.CREDENTIALS)


@pytest.mark.parametrize(("minutes", "sent"), [(14, True), (9, False)])
async def test_a_source_that_hangs_holds_nothing_up_while_the_credentials_in_hand_are_good(
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
    sent: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr("outbox.channels.aws.RENEWAL_PAUSE", 0.0)
    replies: list[Act] = [issued(FIRST, minutes * 60), issued(FIRST, minutes * 60)]
    async with (
        container(monkeypatch, lambda _: replies.pop(0) if replies else Silence()) as metadata,
        HttpServer(lambda _: Reply()) as server,
        client(server.url, timeout=2) as signed,
    ):
        await signed.request("GET", "/")
        found = await asyncio.gather(*(signed.request("GET", "/") for _ in range(5)), return_exceptions=True)
        await await_until(lambda: len(metadata.requests) == 3)
    assert [isinstance(each, Answer) for each in found] == [sent] * 5
    assert [isinstance(each, errors.Temporary) for each in found] == [not sent] * 5
    assert all(aws.is_signed(request, "ses", FIRST) for request in server.requests)


async def test_a_source_that_renews_nothing_is_not_asked_for_every_message(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        container(monkeypatch, lambda _: issued(FIRST, 14 * 60)) as metadata,
        HttpServer(lambda _: Reply()) as server,
        client(server.url) as signed,
    ):
        await signed.request("GET", "/")
        for _ in range(10):
            await signed.request("GET", "/")
            await asyncio.sleep(0.02)
    assert len(metadata.requests) <= 3


async def test_whatever_the_metadata_say_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    async with container(monkeypatch, lambda _: Reply(404, b"no role for hunter2")):
        error = await failure()
    assert type(error) is errors.Misconfigured
    assert "hunter2" not in str(error)


async def test_metadata_that_stay_silent_are_waited_for_no_longer_than_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with container(monkeypatch, lambda _: Silence()):
        error = await failure(timeout=0.2)
    assert type(error) is errors.Temporary
    assert error.detail == "no credentials within 0.2 s"


async def test_a_service_account_has_the_credentials_of_its_role(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reply = f"""<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
        <AccessKeyId>{aws.CREDENTIALS.access_key}</AccessKeyId><SecretAccessKey>{aws.SECRET}</SecretAccessKey>
        <SessionToken>{aws.TOKEN}</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>
        </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
    async with sts(monkeypatch, tmp_path, Reply(200, reply.encode())):
        assert await signer(aws.CREDENTIALS) == aws.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "code", "means"),
    [
        (403, "AccessDenied", errors.Misconfigured),
        (400, "Throttling", errors.Temporary),
        (503, "ServiceUnavailable", errors.Temporary),
    ],
)
async def test_a_role_that_is_not_given_is_held_against_us_unless_that_passes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, code: str, means: type[errors.DeliveryError]
) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    async with sts(monkeypatch, tmp_path, Reply(status, body.encode())):
        error = await failure()
    assert type(error) is means
    assert str(error) == f"{code}: no credentials: AssumeRoleWithWebIdentity was refused"


async def test_an_issuer_that_cannot_be_reached_is_temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with sts(monkeypatch, tmp_path, Reply()):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", NOBODY)
        error = await failure()
    assert type(error) is errors.Temporary


async def test_credentials_that_are_refused_are_looked_for_anew(bare: Path) -> None:
    def put(key: str) -> None:
        lines = f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {STATIC_SECRET}\n"
        (bare / "credentials").write_text(lines, encoding="utf-8")

    put("AKIDOLD")
    async with HttpServer(lambda _: Reply(403)) as server, client(server.url) as signed:
        await signed.request("GET", "/")
        put(STATIC_KEY)
        await signed.request("GET", "/")
    assert "AKIDOLD/" in server.requests[0].headers["authorization"]
    assert aws.is_signed(server.requests[1], "ses", STATIC)


async def test_another_secret_signs_otherwise() -> None:
    assert (
        await signer(aws.CREDENTIALS, access_key_id="AKIDEXAMPLE", secret_access_key="x", session_token=aws.TOKEN)
        is None
    )


async def test_a_proxys_path_is_signed_as_it_is_sent() -> None:
    async with HttpServer(lambda _: Reply()) as server, client(f"{server.url}/aws/", **aws.SETTINGS) as signed:
        await signed.request("GET", "/v2/email/account")
    (request,) = server.requests
    assert urlsplit(request.target).path == "/aws/v2/email/account"
    assert aws.is_signed(request, "ses")


@pytest.mark.parametrize(
    ("code", "message"), [("RequestExpired", "Request has expired."), ("InvalidSignatureException", aws.EXPIRED)]
)
def test_a_clock_that_is_wrong_is_named(code: str, message: str) -> None:
    answer = Answer(403, {}, json.dumps({"message": message}).encode())
    assert "clock" in refusal(answer, code, message, CODES).detail


async def test_a_paused_account_fails_the_probe() -> None:
    async with HttpServer(lambda _: Reply(200, {"SendingEnabled": False})) as server:
        provider: Any = load_provider("email", "ses", {**aws.SETTINGS, "sender": "a@example.org", "url": server.url})
        with pytest.raises(errors.Misconfigured, match="paused"):
            await provider.probe()
        await provider.aclose()


@pytest.mark.parametrize("sender_id", ["0123456", "Ada's Shop", "TwelveLetter"])
def test_a_sender_that_no_phone_could_show_is_refused(sender_id: str) -> None:
    with pytest.raises(errors.ConfigError, match="sender_id"):
        load_provider("sms", "sns", {"region": "eu-west-1", "sender_id": sender_id})


async def test_who_opts_out_refuses_the_account_in_its_region_and_nobody_else() -> None:
    async with HttpServer(lambda _: refused(400, "OptedOut", "opted out")) as server:
        provider = load_provider("sms", "sns", {**aws.SETTINGS, "url": server.url})
        with pytest.raises(errors.Unreachable) as caught:
            await provider.send(Sms("+447700900001", "hello"), "key")
        await provider.aclose()
    assert (caught.value.sender, caught.value.because) == ("sns eu-west-1", "stop")


async def test_half_a_character_is_no_text() -> None:
    provider = load_provider("sms", "sns", {**aws.SETTINGS, "url": NOBODY})
    with pytest.raises(errors.Rejected, match="surrogate"):
        await provider.send(Sms("+447700900001", "\ud83d"), "key")
    await provider.aclose()


async def test_entities_in_an_answer_are_read_and_none_is_ever_expanded() -> None:
    bomb = b"""<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>
        <ErrorResponse><Error><Code>InvalidParameter</Code><Message>&lt;&b;&gt;</Message></Error></ErrorResponse>"""
    async with HttpServer(lambda _: Reply(400, bomb)) as server:
        provider = load_provider("sms", "sns", {**aws.SETTINGS, "url": server.url})
        with pytest.raises(errors.Rejected) as caught:
            await provider.send(Sms("+447700900001", "hello"), "key")
        await provider.aclose()
    assert caught.value.detail == "<&b;>"
