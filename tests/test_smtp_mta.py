"""The same against Postfix, which is what many a relay is: a whole MTA, with a queue and mailboxes."""

from __future__ import annotations

import email.policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from outbox.errors import Misconfigured, Rejected, Unreachable
from outbox.messages import Attachment
from tests import postfix
from tests.postfix import Postfix
from tests.smtp_client import KEY, provider
from tests.smtp_client import email as written
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(postfix.ABSENT is not None, reason=str(postfix.ABSENT))

USERS = ("ada", "bob", "grace", "hedy", "joan")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def mta(authority: trustme.CA) -> Iterator[Postfix]:
    with Postfix(USERS, authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes()) as made:
        yield made


async def arrived(mta: Postfix, user: str, count: int = 1) -> list[EmailMessage]:
    def enough() -> list[bytes]:
        mail = mta.mail(user)
        return mail if len(mail) >= count else []

    parser = BytesParser(EmailMessage, policy=email.policy.default)
    return [parser.parsebytes(content) for content in await await_until(enough)]


async def test_a_message_arrives_in_its_mailbox_as_it_was_written(mta: Postfix) -> None:
    subject = " ".join(["Grüße"] * 30)
    headers = {"Reply-To": "help@example.org", "X-Campaign": "Frühling"}
    file = Attachment("Rechnung über 7 €.pdf", b"%PDF\r\n.\r\n", "application/pdf")
    async with provider(mta.port, sender="Jürgen <hello@example.org>") as smtp:
        receipt = await smtp.send(
            written("ada@example.com", subject=subject, headers=headers, attachments=(file,)), KEY
        )
    (message,) = await arrived(mta, "ada")
    assert f"with ESMTP id {receipt.provider_message_id}" in message["Received"]
    assert (message["Return-Path"], message["Delivered-To"]) == ("<hello@example.org>", "ada@example.com")
    assert (message["From"], message["To"]) == ("Jürgen <hello@example.org>", "ada@example.com")
    assert (message["Subject"], message["X-Campaign"]) == (subject, "Frühling")
    assert (message["Message-ID"], message["Reply-To"]) == (f"<{KEY}@example.org>", "help@example.org")
    text, (attached,) = message.get_body(("plain",)), list(message.iter_attachments())
    assert text is not None
    assert text.get_content() == "Hello Ada,\n.\n..dots\n"
    assert (attached.get_filename(), attached.get_content()) == ("Rechnung über 7 €.pdf", b"%PDF\r\n.\r\n")


async def test_a_second_message_goes_over_the_same_connection_whatever_became_of_the_first(mta: Postfix) -> None:
    async with provider(mta.port, connections=1) as smtp:
        await smtp.send(written("bob@example.com", subject="One"), KEY)
        with pytest.raises(Unreachable):
            await smtp.send(written("nobody@example.com"), KEY)
        await smtp.send(written("bob@example.com", subject="Two"), KEY)
    assert {message["Subject"] for message in await arrived(mta, "bob", 2)} == {"One", "Two"}
    await await_until(lambda: " mail=3 rcpt=2/3 data=2" in mta.log)


async def test_a_user_whom_it_does_not_know_is_unreachable(mta: Postfix) -> None:
    async with provider(mta.port) as smtp:
        with pytest.raises(Unreachable, match="User unknown in virtual mailbox table") as caught:
            await smtp.send(written("nobody@example.com"), KEY)
    assert caught.value.code == "550 5.1.1"


async def test_what_is_larger_than_it_takes_is_rejected(mta: Postfix) -> None:
    async with provider(mta.port) as smtp:
        with pytest.raises(Rejected) as caught:
            await smtp.send(written("grace@example.com", text="x" * postfix.SIZE_LIMIT), KEY)
        await smtp.send(written("grace@example.com", text="x" * (postfix.SIZE_LIMIT // 2)), KEY)
    assert caught.value.code == "552 5.3.4"
    assert len(await arrived(mta, "grace")) == 1


async def test_that_it_does_not_relay_for_us_is_misconfigured(mta: Postfix) -> None:
    async with provider(mta.port) as smtp:
        with pytest.raises(Misconfigured, match="Relay access denied"):
            await smtp.send(written("ada@example.net"), KEY)


async def test_a_message_goes_out_over_starttls(mta: Postfix, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with provider(mta.port, host="localhost", tls="starttls", ca_file=tmp_path / "ca.pem") as smtp:
        await smtp.send(written("hedy@example.com"), KEY)
    (message,) = await arrived(mta, "hedy")
    assert "with ESMTPS id" in message["Received"]
    await await_until(lambda: " starttls=1 " in mta.log)


async def test_a_user_in_another_script_is_looked_up_like_any_other(mta: Postfix) -> None:
    async with provider(mta.port) as smtp:
        with pytest.raises(Unreachable, match="User unknown"):
            await smtp.send(written("用户@example.com"), KEY)
        await smtp.send(written("joan@EXAMPLE.com"), KEY)
    assert len(await arrived(mta, "joan")) == 1


def test_nothing_of_it_is_left(authority: trustme.CA) -> None:
    with Postfix(USERS, authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes()) as made:
        folder = made.folder
        assert processes_of(folder)
    assert not folder.exists()
    wait_until(lambda: not processes_of(folder))


def processes_of(folder: Path) -> list[str]:
    """Return the live processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(process.name)
        except OSError:
            continue
    return found
