"""Postmark's inactive addresses: who is suppressed for them, and who only gets no copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from outbox import errors
from outbox.channels.email import compose
from outbox.messages import Email
from outbox.render import Templates
from tests.email_by_api import sent
from tests.hands import enqueue, rows
from tests.providers.server import Reply
from tests.recorder import drain, route
from tests.test_email_apis import provider_at

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


def accepted_but_for(*addresses: str) -> Reply:
    words = f"Message OK, but will not deliver to these inactive addresses: {', '.join(addresses)}"
    return Reply(200, {"ErrorCode": 0, "MessageID": "b7bc2f4a", "Message": words})


@pytest.mark.parametrize("ending", ["", ".", ". Inactive recipients are ones that have bounced."])
async def test_an_acceptance_that_leaves_out_the_recipient_is_none(ending: str) -> None:
    with pytest.raises(errors.Unreachable) as refused:
        await sent("postmark", WITH_COPIES, accepted_but_for("bob@example.org", f"grace@example.org{ending}"))
    assert refused.value.code == "200 406"
    with pytest.raises(errors.Unreachable):
        await sent("postmark", ALONE, accepted_but_for("grace@example.org"))


async def test_an_acceptance_that_leaves_out_copies_is_one() -> None:
    await sent("postmark", WITH_COPIES, accepted_but_for("bob@example.org", "nograce@example.org"))


async def test_what_a_recipient_is_called_makes_no_acceptance_a_refusal() -> None:
    named = ALONE._replace(recipient="inactive+addresses@example.org")
    await sent("postmark", named, Reply(200, {"ErrorCode": 0, "To": named.recipient, "Message": "OK"}))


async def test_who_is_left_out_of_an_acceptance_is_suppressed_from_then_on(database_url: str) -> None:
    payload = {"subject": "Hi", "text": "Hello", "cc": ["bob@example.org"]}
    enqueue(database_url, recipient="Grace@example.org", payload=payload)
    async with provider_at("postmark", accepted_but_for("grace@example.org")) as (postmark, _):
        to = route(postmark)
        to.compose = lambda notification: compose(notification, Templates(Path()))
        await drain(database_url, to)
    assert rows(database_url, "SELECT outcome, error_code FROM outbox.attempts") == [("dead", "200 406")]
    suppressed = rows(database_url, "SELECT recipient, reason FROM outbox.suppressions")
    assert suppressed == [("grace@example.org", "hard_bounce")]
