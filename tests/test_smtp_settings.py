"""The settings of an SMTP relay: what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from outbox.channels.email.smtp import Settings

LEAST = {"host": "mail.example.org", "sender": "Example <hello@example.org>"}
LOGIN = {"username": "ada", "password": "correct horse"}


def made(**changes: Any) -> Settings:
    return Settings.model_validate({**LEAST, **changes})


@pytest.mark.parametrize(("tls", "port"), [("none", 25), ("starttls", 587), ("implicit", 465)])
def test_the_port_follows_from_tls(tls: str, port: int) -> None:
    assert made(tls=tls).port == port
    assert made(tls=tls, port=2525).port == 2525


def test_encryption_is_what_you_get_without_asking() -> None:
    assert made().tls == "starttls"


def test_the_final_dot_is_waited_for_as_long_as_the_rfc_asks() -> None:
    assert made().data_timeout == 600


def test_durations_are_seconds_or_text() -> None:
    settings = made(timeout="1m30s", data_timeout=20, idle_limit="250ms")
    assert (settings.timeout, settings.data_timeout, settings.idle_limit) == (90, 20, 0.25)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_credentials_may_go_in_the_clear_to_this_machine(host: str) -> None:
    assert made(host=host, tls="none", **LOGIN).username == "ada"


@pytest.mark.parametrize("host", ["mail.example.org", "10.0.0.1", "localhost.example.org", "0.0.0.0"])  # noqa: S104
def test_credentials_never_go_in_the_clear_anywhere_else(host: str) -> None:
    with pytest.raises(ValidationError, match="in the clear"):
        made(host=host, tls="none", **LOGIN)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"username": "ada"}, "go together"),
        ({"password": "correct horse"}, "go together"),
        ({"username": "", "password": "correct horse"}, "at least 1 character"),
        ({"sender": "Example"}, "looks like name@example.org"),
        ({"sender": "Example\nBcc: x <hello@example.org>"}, "control character"),
        ({"sender": "用户@example.org"}, "non-ASCII"),
        ({"host": ""}, "pattern"),
        ({"host": "mail.example.org\r\n"}, "pattern"),
        ({"helo_name": "a b"}, "pattern"),
        ({"port": 70_000}, "65535"),
        ({"tls": "maybe"}, "none.*starttls.*implicit"),
        ({"timeout": "soon"}, "not a duration"),
        ({"timeout": 0}, "greater than 0"),
        ({"connections": 0}, "greater than or equal to 1"),
        ({"ca_file": "/no/such/file.pem"}, "file"),
        ({"hots": "mail.example.org"}, "Extra inputs"),
    ],
)
def test_a_mistake_is_refused_with_a_reason(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        made(**changes)


@pytest.mark.parametrize("mistake", [{"tls": "none"}, {"hots": "x"}, {"username": None}, {"sender": "x"}])
def test_a_mistake_elsewhere_does_not_show_the_password(mistake: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        made(**{**LOGIN, **mistake})
    assert "correct horse" not in str(raised.value)


def test_settings_do_not_show_the_password() -> None:
    assert "correct horse" not in f"{made(**LOGIN)!r} {made(**LOGIN)} {made(**LOGIN).model_dump()}"
