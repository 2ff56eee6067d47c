"""From a notification to a text message: its template, or what its payload says, and a number in E.164."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from outbox.channels import compose_for, load_provider
from outbox.channels.sms import compose
from outbox.check import check
from outbox.config import load
from outbox.errors import ConfigError, Rejected
from outbox.messages import Notification, Sms
from outbox.render import Templates

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def templates(tmp_path: Path) -> Templates:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "body.txt").write_text("{{ code }} is your code\n")
    (tmp_path / "blank").mkdir()
    (tmp_path / "blank" / "body.txt").write_text("{% if false %}never{% endif %}\n")
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "body.html").write_text("<p>Hello")
    return Templates(tmp_path)


def notification(**changes: Any) -> Notification:
    key = UUID("019ab1f0-3c00-7000-8000-0123456789ab")
    given = {"id": key, "channel": "sms", "recipient": "+447700900001", "payload": {"text": "Hello"}, **changes}
    return Notification(**given)


def test_a_template_gives_the_text(templates: Templates) -> None:
    message = compose(notification(template="code", payload={"code": "1234"}), templates)
    assert message._replace(digests=None) == Sms("+447700900001", "1234 is your code")


def test_without_a_template_the_payload_is_the_message(templates: Templates) -> None:
    message = compose(notification(payload={"text": "Hello", "html": "<p>"}, expires_in=300.0), templates)
    assert message == Sms("+447700900001", "Hello", expires_in=300.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"payload": {"body": "Hello"}}, "payload: text is missing"),
        ({"payload": {"text": 4711}}, "payload: text must be text, not int"),
        ({"payload": {"text": " \n"}}, "payload: text is empty"),
        ({"template": "blank"}, "template blank: body.txt is empty"),
        ({"template": "page"}, "template page: body.txt is missing"),
        ({"template": "code"}, "code"),
    ],
)
def test_what_is_missing_or_wrong_is_named(templates: Templates, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(Rejected, match=problem):
        compose(notification(**changes), templates)


@pytest.mark.parametrize(
    ("written", "wire"),
    [
        ("+447700900001", "+447700900001"),
        (" +44 7700 900-001 ", "+447700900001"),
        ("+44 (0)7700 900001", "+447700900001"),
        ("+1 (415) 555.0100", "+14155550100"),
        ("\u202a+1\N{NO-BREAK SPACE}415\N{NON-BREAKING HYPHEN}555\N{EN DASH}0100\u202c", "+14155550100"),
        ("+39 06 1234 5678", "+390612345678"),
        ("+800 1234 5678", "+80012345678"),
    ],
)
def test_a_number_is_freed_of_punctuation(templates: Templates, written: str, wire: str) -> None:
    assert compose(notification(recipient=written), templates).recipient == wire


@pytest.mark.parametrize(
    ("recipient", "problem"),
    [
        ("07700 900001", "is + and digits, with the country's code first"),
        ("447700900001", "is + and digits"),
        ("00447700900001", "is + and digits"),
        ("+44 7700 900001 ext. 5", "is + and digits"),
        ("+1 800 FLOWERS", "is + and digits"),
        ("+44\uff17\uff17\uff10\uff10900001", "is + and digits"),
        ("+44+7700900001", "is + and digits"),
        ("ada@example.org", "is + and digits"),
        ("", "is + and digits"),
        ("+", "is + and digits"),
        ("+999123456789", "no country has the code"),
        ("+33 6", "too few digits for its country"),
        ("+12", "too few digits for its country"),
        ("+4477009000011234", "too many digits for its country"),
        ("+" + "4" * 300, "too many digits for its country"),
        ("+1 555 0100", "lacks its area code"),
    ],
)
def test_what_is_no_number_is_refused_and_not_repeated(templates: Templates, recipient: str, problem: str) -> None:
    with pytest.raises(Rejected, match="recipient: ") as caught:
        compose(notification(recipient=recipient), templates)
    assert problem in caught.value.detail
    told = "".join(traceback.format_exception(caught.value))
    assert len(recipient) < 2 or recipient not in told


def test_sms_knows_how_to_compose() -> None:
    assert compose_for("sms") is compose


@pytest.mark.parametrize("provider", ["twilio", "tests.ledger"])
def test_without_the_library_everybody_is_told_which_extra_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(("outbox.channels.sms", "phonenumbers"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    told = "channels.sms: the module phonenumbers cannot be imported: install outbox[sms]"

    file = tmp_path / "outbox.toml"
    file.write_text(f'[channels.sms]\nproviders = ["{provider}", "vonage"]\n[providers."{provider}"]\n')
    assert check(load(file, environ={})) == [told]
    with pytest.raises(ConfigError, match=r"install outbox\[sms\]"):
        load_provider("sms", provider, {})
    with pytest.raises(ConfigError, match=r"install outbox\[sms\]"):
        compose_for("sms")
