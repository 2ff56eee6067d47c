"""What other sites, other machines and forms of nobody's can do: nothing."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.routing import Route

from outbox.config import WebConfig
from outbox.web.asgi import PAGES
from outbox.web.origin import is_from_elsewhere, is_local
from tests.dashboard import USERS, configured, dashboard, visiting
from tests.endings import put
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.dashboard import Visitor


@pytest.fixture
def visitor(database_url: str) -> Iterator[Visitor]:
    with visiting(configured(database_url, **USERS)) as visitor:
        yield visitor


def test_every_answer_says_what_a_browser_may_do_with_it(visitor: Visitor) -> None:
    asset = re.search(r'href="(/assets/[^"]+css)"', visitor.get("/sign-in").text)
    assert asset is not None
    for path in ("/", "/sign-in", "/nowhere", "/healthz", asset[1]):
        headers = visitor.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    assert visitor.get("/sign-in").headers["cache-control"] == "no-store"
    assert "immutable" in visitor.get(asset[1]).headers["cache-control"]


def test_what_has_no_form_brings_no_session_along(visitor: Visitor) -> None:
    """A proxy that keeps an asset for everybody would give everybody the same session."""
    asset = re.search(r'href="(/assets/[^"]+css)"', httpx.get(f"{visitor.client.base_url}/sign-in").text)
    assert asset is not None
    for path in (asset[1], "/healthz", "/", "/metrics"):
        assert "set-cookie" not in visitor.client.get(path).headers
    assert "set-cookie" in visitor.get("/sign-in").headers
    visitor.sign_in()
    assert "set-cookie" not in visitor.client.get(asset[1]).headers


def test_there_is_no_script_and_no_style_within_a_page(visitor: Visitor) -> None:
    visitor.sign_in()
    for path in ("/", "/search", "/sign-in"):
        text = visitor.get(path).text
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text)
        assert not re.search(r"\s(style|on\w+)=", text)
        assert "<style" not in text


def test_every_form_wants_the_token_of_its_session() -> None:
    posts = [
        route for page in PAGES for route in page.ROUTES if isinstance(route, Route) and "POST" in (route.methods or ())
    ]
    assert posts
    assert [route.path for route in posts if not getattr(route.endpoint, "is_action", False)] == []


@pytest.mark.parametrize("form", ["none", "wrong", "of another session", "another site's"])
def test_a_form_that_is_not_ours_does_nothing(visitor: Visitor, database_url: str, form: str) -> None:
    [identity] = put(database_url)
    visitor.sign_in()
    visitor.get(f"/notifications/{identity}")
    headers: dict[str, str] = {}
    if form == "none":
        visitor.token = ""
    elif form == "wrong":
        visitor.token += "x"
    elif form == "of another session":
        found = re.search(r'csrf_token" value="([^"]+)', httpx.get(f"{visitor.client.base_url}/sign-in").text)
        assert found is not None
        visitor.token = found[1]
    else:
        headers = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    visitor.client.headers.update(headers)
    answer = visitor.post(f"/notifications/{identity}/cancel")
    assert answer.status_code == 403
    assert "none of ours" in answer.text
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(1,)]


def test_a_viewer_looks_and_changes_nothing(visitor: Visitor, database_url: str) -> None:
    [identity] = put(database_url, payload={"subject": "Hi", "text": "the password is tiramisu"})
    visitor.sign_in("bob")
    page = visitor.get(f"/notifications/{identity}")
    assert page.status_code == 200
    assert "Cancel this notification" not in page.text
    assert "for operators alone" in page.text
    assert visitor.post(f"/notifications/{identity}/cancel").status_code == 403
    for part in ("contents", "frame"):
        answer = visitor.get(f"/notifications/{identity}/{part}")
        assert answer.status_code == 403
        assert "tiramisu" not in answer.text
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(1,)]


def test_where_nobody_signs_in_only_this_machine_is_answered_by_a_name_of_its_own(database_url: str) -> None:
    with dashboard(configured(database_url)) as url:
        port = url.rpartition(":")[2]
        assert httpx.get(url).status_code == 200
        assert httpx.get(f"http://localhost:{port}").status_code == 200
        for headers in (
            {"host": f"evil.example:{port}"},  # a name that was made to lead to 127.0.0.1
            {"host": f"localhost.evil.example:{port}"},
            {"host": f"192.0.2.1:{port}"},
            {"host": "["},
            {"x-forwarded-for": "192.0.2.1"},
            {"forwarded": "for=192.0.2.1"},
        ):
            answer = httpx.get(url, headers=headers)
            assert answer.status_code == 403, headers
            assert "answers only to this machine" in answer.text


def connection(client: str | None = "127.0.0.1", **headers: str) -> Any:
    from starlette.requests import HTTPConnection  # noqa: PLC0415

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "headers": raw, "client": client and (client, 1), "scheme": "http", "path": "/"}
    return HTTPConnection(scope)


def test_who_is_at_this_machine() -> None:
    assert is_local(connection(host="localhost:8420"))
    assert is_local(connection("::1", host="[::1]:8420"))
    assert not is_local(connection("192.0.2.1", host="localhost"))
    assert not is_local(connection(None, host="localhost"))
    assert not is_local(connection())


def test_whose_page_made_a_browser_ask() -> None:
    def elsewhere(url: str | None = None, **headers: str) -> bool:
        return is_from_elsewhere(connection(**headers), WebConfig(url=url))

    assert not elsewhere(host="a.example:1", origin="https://a.example:1", sec_fetch_site="same-origin")
    assert not elsewhere(host="a.example")
    assert elsewhere(host="a.example", origin="https://b.example")
    assert elsewhere(host="a.example", origin="null")
    assert elsewhere(host="a.example", sec_fetch_site="same-site")


def test_what_a_proxy_makes_of_the_host_does_not_make_our_own_page_anothers() -> None:
    def elsewhere(origin: str, **headers: str) -> bool:
        given = connection(host="a.example", origin=origin, **headers)
        return is_from_elsewhere(given, WebConfig(url="https://a.example:8443"))

    assert not elsewhere("https://a.example:8443", sec_fetch_site="same-origin")
    assert elsewhere("http://a.example:8443")
    assert elsewhere("https://b.example:8443")
    assert elsewhere("https://a.example:8443", sec_fetch_site="cross-site")


def test_what_was_written_by_others_is_text_and_no_markup(visitor: Visitor, database_url: str) -> None:
    evil = "<script>alert(1)</script>"
    [identity] = put(
        database_url,
        channel="chat",
        recipient="<b>x</b>",
        topic=evil,
        group_key=evil,
        payload={"subject": evil, "text": evil},
    )
    visitor.sign_in()
    for path in (f"/notifications/{identity}", f"/notifications/{identity}/contents", "/"):
        assert "<script>alert" not in visitor.get(path).text
    assert "<b>x" not in visitor.post("/search", q="<b>x</b>", days="1").text


def test_a_form_that_is_too_long_is_not_read(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.get("/search")
    assert visitor.post("/search", q="x" * 1_100_000).status_code == 413
    assert visitor.post("/search", q="x" * 2_000).status_code == 400


def test_a_configuration_shows_no_secret(database_url: str) -> None:
    config = configured(database_url, **USERS)
    for shown in (repr(config.web), str(config.web), json.dumps(config.web.model_dump(mode="json"), default=str)):
        assert "argon2" not in shown
        assert "a secret of the tests" not in shown
