"""Postmark's inactive addresses: who is suppressed for them, and who only gets no copy."""

from __future__ import annotations

import pytest

from outbox import errors
from outbox.messages import Email
from tests.email_by_api import sent
from tests.providers.server import Reply

ALONE = Email("grace@example.org", "Hi", "Hello")
WITH_COPIES = ALONE._replace(cc=("bob@example.org",), bcc=("dan@example.org",))


def all_inactive(*addresses: str) -> Reply:
    said = f"Found inactive addresses: {', '.join(addresses)}. Inactive recipients are ones that have bounced. "
    return Reply(422, {"ErrorCode": 406, "Message": said})


async def test_the_recipient_is_suppressed_only_if_it_is_named() -> None:
    with pytest.raises(errors.Unreachable):
        await sent("postmark", WITH_COPIES, all_inactive("bob@example.org", "Grace@Example.org"))
    with pytest.raises(errors.Rejected):
        await sent("postmark", WITH_COPIES, all_inactive("bob@example.org"))


async def test_a_message_without_copies_is_about_nobody_else() -> None:
    with pytest.raises(errors.Unreachable):
        await sent("postmark", ALONE, all_inactive("somebody"))


@pytest.mark.parametrize("other", ["nograce@example.org", "grace@example.org.uk", "the.grace@example.org"])
async def test_a_longer_address_is_another(other: str) -> None:
    copied = WITH_COPIES._replace(cc=(other,))
    with pytest.raises(errors.Rejected):
        await sent("postmark", copied, all_inactive(other))


async def test_a_domain_beyond_ascii_is_the_same_in_either_form() -> None:
    wide = WITH_COPIES._replace(recipient="grace@größe.example")
    for named in ("grace@größe.example", "grace@xn--gre-6ka8i.example"):
        with pytest.raises(errors.Unreachable):
            await sent("postmark", wide, all_inactive("bob@example.org", named))


async def test_the_last_of_fifty_is_found() -> None:
    many = tuple(f"somebody.number{n}@a-department-with-a-long-name.example.org" for n in range(49))
    with pytest.raises(errors.Unreachable):
        await sent("postmark", ALONE._replace(cc=many), all_inactive(*many, "grace@example.org"))
