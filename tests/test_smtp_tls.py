"""TLS and authentication: nothing is sent to a server that does not prove who it is, least of all a password."""

from __future__ import annotations

import logging
import ssl
import traceback
from typing import TYPE_CHECKING

import pytest
import trustme

from outbox.errors import DeliveryError, Misconfigured, Temporary
from outbox.messages import Email
from tests.smtp_client import KEY, email, provider
from tests.smtp_server import SmtpServer

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "correct horse battery staple"
LOGIN = {"username": "ada", "password": PASSWORD}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def served(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.parametrize("mechanisms", ["PLAIN LOGIN", "LOGIN", "CRAM-MD5"])
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_message_goes_out_encrypted_and_authenticated(
    authority: trustme.CA, ca_file: Path, tls: str, mechanisms: str
) -> None:
    async with (
        SmtpServer(
            context=served(authority),
            implicit_tls=tls == "implicit",
            credentials=("ada", PASSWORD),
            mechanisms=mechanisms,
        ) as server,
        provider(server.port, tls=tls, ca_file=ca_file, **LOGIN) as smtp,
    ):
        await smtp.send(email(), KEY)
    assert len(server.accepted) == 1
    expected = ["EHLO", "STARTTLS", "EHLO", "AUTH"] if tls == "starttls" else ["EHLO", "AUTH"]
    assert [line.split()[0].decode() for line in server.commands[: len(expected)]] == expected


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("fault", ["unknown authority", "wrong host"])
async def test_a_server_that_cannot_prove_its_name_hears_nothing(
    authority: trustme.CA, ca_file: Path, tls: str, fault: str
) -> None:
    context = served(trustme.CA()) if fault == "unknown authority" else served(authority, "other.test")
    async with (
        SmtpServer(context=context, implicit_tls=tls == "implicit", credentials=("ada", PASSWORD)) as server,
        provider(server.port, tls=tls, ca_file=ca_file, **LOGIN) as smtp,
    ):
        with pytest.raises(Misconfigured, match="certificate verify failed"):
            await smtp.send(email(), KEY)
    assert not server.said("AUTH")
    assert not server.said("MAIL")


async def test_starttls_that_is_not_offered_is_not_done_without(ca_file: Path) -> None:
    async with (
        SmtpServer(credentials=("ada", PASSWORD)) as server,
        provider(server.port, tls="starttls", ca_file=ca_file, **LOGIN) as smtp,
    ):
        with pytest.raises(Misconfigured, match="does not offer STARTTLS"):
            await smtp.send(email(), KEY)
    assert [line.split()[0] for line in server.commands] == [b"EHLO"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("454 4.7.0 TLS not available for now", Temporary),
        ("502 5.5.1 not implemented", Misconfigured),
        ("220 ready\r\n250 injected before the handshake", Temporary),
    ],
)
async def test_starttls_that_fails_is_not_done_without(
    authority: trustme.CA, ca_file: Path, reply: str, error: type[DeliveryError]
) -> None:
    async with (
        SmtpServer({"STARTTLS": reply}, context=served(authority), credentials=("ada", PASSWORD)) as server,
        provider(server.port, tls="starttls", ca_file=ca_file, timeout=1, **LOGIN) as smtp,
    ):
        if reply.startswith("220"):
            await smtp.send(email(), KEY)  # what was injected is thrown away, and the real answers are believed
            assert len(server.accepted) == 1
            return
        with pytest.raises(error):
            await smtp.send(email(), KEY)
    assert not server.said("AUTH")


async def test_a_plain_server_behind_implicit_tls_is_misconfigured(ca_file: Path) -> None:
    async with SmtpServer() as server, provider(server.port, tls="implicit", ca_file=ca_file) as smtp:
        with pytest.raises(Misconfigured, match="TLS"):
            await smtp.send(email(), KEY)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_an_outdated_tls_is_refused(authority: trustme.CA, ca_file: Path, version: ssl.TLSVersion) -> None:
    context = served(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = version, version
    async with (
        SmtpServer(context=context, implicit_tls=True) as server,
        provider(server.port, tls="implicit", ca_file=ca_file) as smtp,
    ):
        with pytest.raises((Misconfigured, Temporary)):  # by whether the server's alert outran its hanging up
            await smtp.send(email(), KEY)
    assert not server.heard


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (None, Misconfigured),
        ("535 5.7.8 wrong password", Misconfigured),
        ("534 5.7.9 mechanism too weak", Misconfigured),
        ("538 5.7.11 encryption required", Misconfigured),
        ("432 4.7.12 password transition needed", Misconfigured),
        ("454 4.7.0 cannot tell just now", Temporary),
        ("421 4.3.2 shutting down", Temporary),
    ],
)
async def test_credentials_that_are_refused_hold_the_provider(reply: str | None, error: type[DeliveryError]) -> None:
    script = {} if reply is None else {"AUTH": reply}
    async with (
        SmtpServer(script, credentials=("ada", "another")) as server,
        provider(server.port, **LOGIN) as smtp,
    ):
        with pytest.raises(DeliveryError) as raised:
            await smtp.send(email(), KEY)
        assert len(server.said("AUTH")) == 1  # trying every mechanism is how accounts get locked
    assert type(raised.value) is error


async def test_a_server_without_a_mechanism_of_ours_is_misconfigured() -> None:
    async with (
        SmtpServer(credentials=("ada", PASSWORD), mechanisms="GSSAPI NTLM") as server,
        provider(server.port, **LOGIN) as smtp,
    ):
        with pytest.raises(Misconfigured, match="gssapi, ntlm"):
            await smtp.send(email(), KEY)


@pytest.mark.parametrize("mechanisms", ["PLAIN", "LOGIN", "CRAM-MD5"])
async def test_no_error_or_log_tells_the_password_or_the_body(
    caplog: pytest.LogCaptureFixture, mechanisms: str
) -> None:
    caplog.set_level(logging.DEBUG)
    body = "the secret number is 4711"
    shown = []

    def echo(line: bytes) -> str:
        return f"535 5.7.8 cannot authenticate {line.decode()} {PASSWORD}"

    for script in ({"AUTH": echo}, {"RCPT": "550 5.1.1 no"}, {"dot": "554 5.6.0 bad"}):
        async with (
            SmtpServer(script, credentials=("ada", PASSWORD), mechanisms=mechanisms) as server,
            provider(server.port, **LOGIN) as smtp,
        ):
            shown += [repr(smtp), repr(vars(smtp)["_settings"])]
            try:
                await smtp.send(Email("ada@example.com", "Welcome", text=body), KEY)
            except DeliveryError as error:
                shown += [repr(error), "".join(traceback.format_exception(error))]
    everything = "\n".join([*shown, caplog.text])
    for secret in (PASSWORD, "AGFkYQBjb3JyZWN0", "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ", body):
        assert secret not in everything
