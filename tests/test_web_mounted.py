"""The dashboard within another application, and by itself, with and without its lifespan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from outbox.web import app, create_app
from tests.dashboard import USERS, Visitor, configured, served
from tests.endings import put

if TYPE_CHECKING:
    from starlette.requests import Request


async def _home(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("the application's own")


def test_it_works_below_a_prefix_without_a_lifespan(database_url: str) -> None:
    [identity] = put(database_url)
    inner = create_app(configured(database_url, **USERS))
    outer = Starlette(routes=[Mount("/ops/outbox", inner), Route("/", _home)])
    with served(outer) as url, Visitor(url, "/ops/outbox") as visitor:
        assert httpx.get(url).text == "the application's own"
        sent = visitor.get("/search")
        assert sent.headers["location"] == "/ops/outbox/sign-in?next=%2Fsearch"
        assert visitor.sign_in(next="/search").headers["location"] == "/ops/outbox/search"
        page = visitor.get(f"/notifications/{identity}").text
        for address in _addresses(page):
            assert address.startswith("/ops/outbox/"), address
        for address in _addresses(page):
            if "/assets/" in address:
                assert httpx.get(f"{url}{address}").status_code == 200
        done = visitor.post(f"/notifications/{identity}/cancel")
        assert done.headers["location"] == f"/ops/outbox/notifications/{identity}"
    inner.stop()


def _addresses(page: str) -> list[str]:
    marks = ('href="', 'src="', 'action="', 'hx-get="', 'hx-sse:connect="')
    found = [part.partition('"')[0] for mark in marks for part in page.split(mark)[1:]]
    return [address for address in found if address != "#main"]


def test_it_works_behind_a_proxy_that_takes_a_prefix_away(database_url: str) -> None:
    with served(create_app(configured(database_url)), root_path="/outbox") as url:
        page = httpx.get(f"{url}/search").text
        assert 'action="/outbox/search"' in page


@pytest.mark.parametrize("prefix", ["", "/outbox"])
def test_by_itself_it_is_below_the_path_of_its_url(database_url: str, prefix: str) -> None:
    """A proxy takes the path away, or passes it on."""
    config = configured(database_url, **USERS, OUTBOX_WEB_URL="http://127.0.0.1/outbox/")
    with served(create_app(config)) as url, Visitor(url, prefix) as visitor:
        sent = visitor.get("/search")
        assert sent.headers["location"] == "/outbox/sign-in?next=%2Fsearch"
        assert visitor.sign_in(next="/search").headers["location"] == "/outbox/search"
        addresses = _addresses(visitor.get("/search").text)
        assert addresses
        assert [address for address in addresses if not address.startswith("/outbox/")] == []
        for address in addresses:
            if "/assets/" in address:
                assert httpx.get(f"{url}{address}").status_code == 200
    with served(create_app(config)) as url:
        assert httpx.get(f"{url}/outbox", follow_redirects=False).headers["location"] == "/outbox/sign-in"
        assert httpx.get(f"{url}/healthz").status_code == 200, "a probe asks without the proxy"
        assert httpx.get(f"{url}/outboxes").status_code != 200


def test_where_it_is_mounted_the_application_around_it_has_the_last_word(database_url: str) -> None:
    config = configured(database_url, OUTBOX_WEB_URL="http://127.0.0.1/outbox")
    inner = create_app(config)
    with served(Starlette(routes=[Mount("/ops/outbox", inner)])) as url:
        assert 'action="/ops/outbox/search"' in httpx.get(f"{url}/ops/outbox/search").text
    inner.stop()


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_a_server_may_run_its_lifespan_or_not(database_url: str, lifespan: Any) -> None:
    with served(create_app(configured(database_url)), lifespan=lifespan) as url:
        assert httpx.get(url).status_code == 200


def test_a_factory_takes_the_configuration_that_there_is(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOX_DATABASE_URL", database_url)
    with served(app()) as url:
        assert httpx.get(url).status_code == 200
