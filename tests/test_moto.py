"""Amazon as others imitate it: moto, of the group `vendor`. It checks no signature, which our own counterparts do."""

from __future__ import annotations

import email
import email.policy
import json
from typing import TYPE_CHECKING, Any

import pytest

from outbox import errors
from outbox.channels import load_provider
from outbox.channels.http import Client
from outbox.channels.settings import HttpSettings
from outbox.messages import Email, Sms
from tests.providers import aws
from tests.providers.counterpart import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.channels import Provider

moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install --group vendor")
pytestmark = pytest.mark.filterwarnings("default")  # moto's own are not ours to mend

MESSAGE = Email("grace@example.net", "Grüße", "Guten Tag", "<p>Guten Tag</p>", {"Reply-To": "help@example.org"})


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def at(amazon: str, method: str, path: str, content: object = None, service: str = "ses") -> Any:
    """Ask moto for something that a provider of ours does not; what is asked for is told by the signature's scope."""
    client = Client(HttpSettings(url=amazon))
    scope = (
        f"AWS4-HMAC-SHA256 Credential=k/20261129/{aws.REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
    answer = await client.request(method, path, json=content, headers={"authorization": scope})
    await client.aclose()
    assert answer.is_accepted, answer
    return json.loads(answer.body)


def provider(amazon: str, channel: str, name: str, **given: Any) -> Provider:
    return load_provider(channel, name, {**aws.SETTINGS, "url": amazon, **given})


async def test_mail_from_a_verified_domain_is_taken_as_it_was_written(amazon: str) -> None:
    await at(amazon, "POST", "/v2/email/identities", {"EmailIdentity": "example.org"})
    ses = provider(amazon, "email", "ses", sender="Ada's Shop <shop@example.org>")
    receipt = await ses.send(MESSAGE, KEY)
    await ses.aclose()
    kept = (await at(amazon, "GET", "/moto-api/data.json"))["ses"]["RawMessage"][0]
    assert kept["id"] == receipt.provider_message_id
    assert set(kept["destinations"]) == {"grace@example.net"}
    message = email.message_from_string(kept["raw_data"], policy=email.policy.default)
    assert (message["from"], message["subject"]) == ("Ada's Shop <shop@example.org>", "Grüße")


async def test_mail_from_nobody_verified_is_refused(amazon: str) -> None:
    """In words of moto's own: Amazon's say that an address is not verified, and then it is the configuration."""
    ses = provider(amazon, "email", "ses", sender="shop@example.com")
    with pytest.raises(errors.Rejected, match="MessageRejected"):
        await ses.send(MESSAGE, KEY)
    await ses.aclose()


async def test_a_text_is_taken_and_what_is_no_number_is_rejected(amazon: str) -> None:
    sns: Any = provider(amazon, "sms", "sns", sms_type="Transactional")
    assert (await sns.send(Sms("+447700900001", "Grüße"), KEY)).provider_message_id
    with pytest.raises(errors.Rejected, match="InvalidParameter"):
        await sns.send(Sms("+44-nobody", "Grüße"), KEY)
    await sns.probe()
    await sns.aclose()
