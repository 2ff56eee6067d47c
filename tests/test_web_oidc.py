"""Signing in by an OpenID provider, end to end: one that speaks the protocol, and one that lies."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from outbox.web import create_app
from outbox.web.oidc import user_from
from tests.dashboard import SECRET, Visitor, configured, served
from tests.openid import CLIENT, CLIENT_SECRET, OpenIdProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

BACK = "https://outbox.example.org"


class Doors:
    """A dashboard, the provider that it trusts, and somebody between the two."""

    def __init__(self, url: str, provider: OpenIdProvider) -> None:
        self.url, self.provider = url, provider
        self.visitor = Visitor(url)
        self.visitor.client.headers["host"] = "outbox.example.org"
        self.cookies: dict[str, str] = {}

    def ask(self, path: str) -> httpx.Response:
        """Ask the dashboard, with its cookies: a browser sends what is Secure by HTTPS, which a proxy speaks here."""
        headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        answer = self.visitor.client.get(path, headers=headers)
        for line in answer.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        self.visitor.client.cookies.clear()
        return answer

    def go(self, wanted: str = "") -> httpx.Response:
        """Go through the provider and come back."""
        begun = self.ask(f"/sign-in/oidc?next={wanted}")
        assert begun.status_code == 302
        returned = httpx.get(begun.headers["location"])
        assert returned.status_code == 302
        where = urlsplit(returned.headers["location"])
        assert f"{where.scheme}://{where.netloc}" == BACK
        return self.ask(f"{where.path}?{where.query}")


@pytest.fixture
def doors(database_url: str) -> Iterator[Doors]:
    provider = OpenIdProvider()
    with served(provider.app) as provider.url:
        config = configured(
            database_url,
            OUTBOX_WEB_URL=BACK,
            OUTBOX_WEB_SECRET=SECRET,
            OUTBOX_WEB_OIDC_ISSUER=provider.url,
            OUTBOX_WEB_OIDC_CLIENT_ID=CLIENT,
            OUTBOX_WEB_OIDC_CLIENT_SECRET=CLIENT_SECRET,
            OUTBOX_WEB_OIDC_OPERATORS="on-call",
            OUTBOX_WEB_OIDC_VIEWERS="staff",
        )
        with served(create_app(config)) as url:
            doors = Doors(url, provider)
            with doors.visitor.client:
                yield doors


def test_somebody_whom_the_provider_knows_comes_back_signed_in_with_a_role(doors: Doors) -> None:
    assert "Sign in with your organisation" in doors.ask("/sign-in").text
    done = doors.go("/search")
    assert (done.status_code, done.headers["location"]) == (303, "/search")
    assert set(doors.cookies) == {"__Host-outbox", "outbox-oidc"}
    assert doors.cookies["outbox-oidc"] in {"", '""'}
    page = doors.ask("/").text
    assert '<span class="who-name" title="grace@example.org">' in page
    assert '<span class="who-role">operator</span>' in page


def test_the_role_comes_of_what_the_provider_says(doors: Doors) -> None:
    doors.provider.claims["groups"] = ["staff", "others"]
    doors.go()
    assert '<span class="who-role">viewer</span>' in doors.ask("/").text


@pytest.mark.parametrize("groups", [["others"], [], "on-call-not", None, 7])
def test_whom_nothing_lets_in_stays_outside(doors: Doors, groups: Any) -> None:
    doors.provider.claims["groups"] = groups
    answer = doors.go()
    assert answer.status_code == 403
    assert "web.oidc_viewers names who may" in answer.text
    assert doors.ask("/").status_code == 303


@pytest.mark.parametrize(
    "overrides",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1},
    ],
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(doors: Doors, overrides: dict[str, Any]) -> None:
    doors.provider.overrides = overrides
    assert doors.go().status_code == 400
    assert doors.ask("/").status_code == 303


def test_a_token_that_somebody_else_signed_is_refused(doors: Doors) -> None:
    doors.provider.forge = True
    assert doors.go().status_code == 400
    assert doors.ask("/").status_code == 303


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(doors: Doors) -> None:
    begun = doors.ask("/sign-in/oidc")
    returned = urlsplit(httpx.get(begun.headers["location"]).headers["location"])
    doors.cookies.pop("outbox-oidc")
    assert doors.ask(f"{returned.path}?{returned.query}").status_code == 400
    assert doors.ask("/sign-in/oidc/callback?error=access_denied").status_code == 400
    assert doors.ask("/").status_code == 303


def test_what_goes_wrong_is_logged_without_the_code_and_the_secret(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    doors.provider.forge = True
    with caplog.at_level(logging.DEBUG, "outbox.web"):
        doors.go()
    assert "signing in by OpenID Connect failed: " in caplog.text
    assert CLIENT_SECRET not in caplog.text
    assert "code" not in caplog.text


def test_an_address_that_the_provider_has_not_verified_is_nobodys(database_url: str) -> None:
    config = configured(database_url, OUTBOX_WEB_OIDC_VIEWERS="*").web
    assert user_from({"email": "ada@example.org", "email_verified": False}, config) is None
    assert user_from({"email": "ada@example.org"}, config) == ("ada@example.org", "viewer")
    assert user_from({"sub": "42"}, config) == ("42", "viewer")
    assert user_from({}, config) is None


def test_while_the_provider_is_away_its_absence_is_said(database_url: str) -> None:
    config = configured(
        database_url,
        OUTBOX_WEB_URL=BACK,
        OUTBOX_WEB_SECRET=SECRET,
        OUTBOX_WEB_OIDC_ISSUER="http://127.0.0.1:1",
        OUTBOX_WEB_OIDC_CLIENT_ID=CLIENT,
        OUTBOX_WEB_OIDC_CLIENT_SECRET=CLIENT_SECRET,
        OUTBOX_WEB_OIDC_VIEWERS="*",
    )
    with served(create_app(config)) as url:
        answer = httpx.get(f"{url}/sign-in/oidc")
        assert answer.status_code == 503
        assert "The provider does not answer" in answer.text
