"""The same against an SMTP server that is not ours, in case ours shares our misunderstandings."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from outbox.errors import Misconfigured, Unreachable
from tests.smtp_client import KEY, email, provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiosmtpd.smtp import Envelope, Session

PASSWORD = "correct horse"


class Sink:
    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 - the library's name, as are the arguments
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 2.0.0 Ok: queued as AB12"


def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (b"ada", PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@asynccontextmanager
async def served(authority: trustme.CA, sink: Sink) -> AsyncIterator[int]:
    """The library's server, with STARTTLS and a password required, and its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    options: dict[str, Any] = {"require_starttls": True, "auth_required": True, "enable_SMTPUTF8": True}
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(sink, hostname="sink.test", tls_context=context, authenticator=authenticate, **options),
        "127.0.0.1",
        0,
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_messages_arrive_over_starttls_with_a_password(authority: trustme.CA, ca_file: Path) -> None:
    login = {"host": "localhost", "tls": "starttls", "ca_file": ca_file, "username": "ada", "password": PASSWORD}
    sink = Sink()
    async with served(authority, sink) as port, provider(port, connections=2, **login) as smtp:
        receipts = await asyncio.gather(*(smtp.send(email(f"u{number}@example.com"), KEY) for number in range(6)))
        await smtp.send(email("用户@例子.公司"), KEY)
        with pytest.raises(Unreachable):
            await smtp.send(email("nobody@example.com"), KEY)
    assert {receipt.provider_message_id for receipt in receipts} == {"AB12"}
    recipients = sorted(envelope.rcpt_tos[0] for envelope in sink.envelopes)
    assert recipients == [*(f"u{number}@example.com" for number in range(6)), "用户@xn--fsqu00a.xn--55qx5d"]
    assert b"\r\n.\r\n..dots\r\n" in (sink.envelopes[0].original_content or b"")


async def test_a_wrong_password_is_misconfigured(authority: trustme.CA, ca_file: Path) -> None:
    login = {"host": "localhost", "tls": "starttls", "ca_file": ca_file, "username": "ada", "password": "wrong"}
    async with served(authority, Sink()) as port, provider(port, **login) as smtp:
        with pytest.raises(Misconfigured):
            await smtp.send(email(), KEY)
