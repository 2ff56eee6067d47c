"""What a provider quotes of a message stays out of its errors."""

from __future__ import annotations

from uuid import uuid4

import pytest

from outbox import errors
from outbox.deliver import deliver
from outbox.echo import without_echo
from outbox.messages import Attachment, Email, Notification, Push, Sms
from tests.hands import leased
from tests.recorder import Recorder, route
from tests.test_deliver import claimed

SECRET = "your code is 493211"


@pytest.mark.parametrize(
    "message",
    [
        Sms("+447700900001", SECRET),
        Push("token", title="Hi", body=SECRET, data={"code": SECRET}),
        Email("ada@example.org", SECRET, f"Dear Ada,\n  {SECRET}\nBye", None, {"X-Code": SECRET}),
        Notification(uuid4(), "fax", "ada", payload={"lines": [{"text": SECRET}]}),
    ],
)
def test_a_text_or_a_line_of_the_message_is_left_out(message: object) -> None:
    assert without_echo(f"400: cannot parse: {SECRET} (at 7)", message) == "400: cannot parse: … (at 7)"


def test_whom_it_is_for_and_what_is_too_short_to_say_anything_stay() -> None:
    message = Email("ada@example.org", "Hi", "to", None, {}, (Attachment("a", b"x"),))
    said = "550 no such user: ada@example.org to Hi"
    assert without_echo(said, message) == said


async def test_an_error_that_quotes_the_message_is_recorded_without_it() -> None:
    recorder = Recorder()
    recorder.failing = errors.Rejected(f"refused: {SECRET}", code="400 7")
    outcome = await deliver(leased(claimed(payload=f'{{"text": "{SECRET}"}}')), route(recorder))
    assert outcome.failure is not None
    assert outcome.failure.detail == "refused: …"
    assert str(recorder.failing) == "400 7: refused: …"
