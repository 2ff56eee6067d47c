"""Who gets in, for how long, and what their browser brings along."""

from __future__ import annotations

import logging
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from outbox.errors import ConfigError
from outbox.web import User, create_app
from outbox.web.database import Database
from outbox.web.passwords import Attempts, hash_password
from outbox.web.sessions import Session, Sessions
from outbox.web.signed_out import SignedOut
from tests.dashboard import HASH, PASSWORD, SECRET, USERS, configured, dashboard, visiting
from tests.hands import rows

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from outbox.config import Config
    from tests.dashboard import Visitor


@pytest.fixture
def config(database_url: str) -> Config:
    return configured(database_url, **USERS)


def test_whoever_is_not_known_is_sent_to_sign_in_and_then_to_where_they_wanted_to_go(config: Config) -> None:
    with visiting(config) as visitor:
        sent = visitor.get("/search")
        assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=%2Fsearch")
        page = visitor.get(sent.headers["location"])
        assert page.status_code == 200
        assert 'name="next" value="/search"' in page.text
        done = visitor.post("/sign-in", name="ada", password=PASSWORD, next="/search")
        assert (done.status_code, done.headers["location"]) == (303, "/search")
        assert "<h1>Search</h1>" in visitor.get("/search").text


def test_a_part_of_a_page_that_asks_too_late_sends_the_whole_page_to_sign_in(config: Config) -> None:
    with visiting(config) as visitor:
        answer = visitor.get("/live", headers={"HX-Request": "true"})
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in?next=%2Flive")


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "/\tx", "javascript:1"]
)
def test_nobody_is_sent_to_another_site_after_signing_in(config: Config, wanted: str) -> None:
    with visiting(config) as visitor:
        assert visitor.sign_in(next=wanted).headers["location"] == "/"


def test_a_wrong_password_and_a_name_that_nobody_has_look_alike(config: Config) -> None:
    with visiting(config) as visitor:
        wrong, unknown = visitor.sign_in(password="wrong"), visitor.sign_in(name="eve")
        assert wrong.status_code == unknown.status_code == 422
        page = re.sub(r'value="[^"]*"', "", wrong.text)
        assert page == re.sub(r'value="[^"]*"', "", unknown.text)
        assert "not a name and a password that are known here" in page
        assert visitor.get("/").status_code == 303


def test_after_five_failures_nobody_from_there_tries_that_name_again_for_a_while(
    config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with visiting(config) as visitor, caplog.at_level(logging.INFO, "outbox.web"):
        for _ in range(5):
            assert visitor.sign_in(password="guess").status_code == 422
        late = visitor.sign_in()
        assert late.status_code == 429
        assert 0 < int(late.headers["retry-after"]) <= 300
        assert visitor.sign_in(name="bob").status_code == 303
    assert "guess" not in caplog.text
    assert PASSWORD not in caplog.text


def test_attempts_that_come_at_once_are_counted_as_well(config: Config) -> None:
    with visiting(config) as visitor:
        visitor.get("/sign-in")
        with ThreadPoolExecutor(16) as threads:
            wrong = [threads.submit(visitor.post, "/sign-in", name="ada", password=f"guess {n}") for n in range(16)]
        answers = sorted(each.result().status_code for each in wrong)
    assert answers.count(422) <= 5
    assert answers.count(429) == 16 - answers.count(422)


@pytest.mark.parametrize("said", [{"Via": "1.1 proxy"}, {"X-Forwarded-Proto": "https"}])
def test_without_a_sign_in_nobody_comes_through_a_proxy(database_url: str, said: dict[str, str]) -> None:
    with visiting(configured(database_url)) as visitor:
        assert visitor.get("/").status_code == 200
        assert visitor.get("/", headers=said).status_code in {401, 403}


def test_a_form_that_comes_in_chunks_is_not_read_whatever_length_it_says(config: Config) -> None:
    with dashboard(config) as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
        raw.sendall(
            b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\n8\r\nname=ada\r\n0\r\n\r\n"
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_failures_are_forgotten_in_time_and_after_a_success() -> None:
    now = 0.0
    attempts = Attempts(clock=lambda: now)
    for _ in range(5):
        attempts.fail("ada", "192.0.2.1")
    assert attempts.wait("ada", "192.0.2.1") == 300
    assert attempts.wait("ada", "192.0.2.2") == 0
    now = 300.0
    assert attempts.wait("ada", "192.0.2.1") == 0
    for _ in range(4):
        attempts.fail("ada", "192.0.2.1")
    attempts.succeed("ada", "192.0.2.1")
    attempts.fail("ada", "192.0.2.1")
    assert attempts.wait("ada", "192.0.2.1") == 0


def test_an_address_that_tries_many_names_is_stopped_as_well() -> None:
    attempts = Attempts(clock=lambda: 0.0)
    for number in range(20):
        assert attempts.wait(f"name{number}", "192.0.2.1") == 0
        attempts.fail(f"name{number}", "192.0.2.1")
    assert attempts.wait("another", "192.0.2.1") == 300


def test_a_session_is_a_cookie_that_scripts_cannot_read_and_other_sites_do_not_send(database_url: str) -> None:
    with visiting(configured(database_url, **USERS)) as visitor:
        cookie = visitor.sign_in().headers["set-cookie"]
        assert re.match(r"outbox-\d+=", cookie)
        assert cookie.endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax")
    with visiting(configured(database_url, **USERS, OUTBOX_WEB_URL="https://outbox.example.org")) as visitor:
        cookie = visitor.get("/sign-in").headers["set-cookie"]
        assert cookie.startswith("__Host-outbox=")
        assert cookie.endswith("; HttpOnly; SameSite=Lax; Secure")


def test_what_was_signed_with_another_secret_or_changed_is_no_session(config: Config, database_url: str) -> None:
    with visiting(config) as visitor:
        visitor.sign_in()
        [(name, value)] = visitor.client.cookies.items()
        body, _, signature = value.rpartition(".")
        for forged in (f"{body}x.{signature}", f"{body}.{signature[:-2]}xx", "{}", ""):
            assert httpx.get(visitor.client.base_url, cookies={name: forged}).status_code == 303
        assert httpx.get(visitor.client.base_url, cookies={name: value}).status_code == 200
    other = configured(database_url, **USERS | {"OUTBOX_WEB_SECRET": "x" * 32})
    with dashboard(other) as url:
        port = url.rpartition(":")[2]
        assert httpx.get(url, cookies={f"outbox-{port}": value}).status_code == 303
    both = configured(database_url, **USERS | {"OUTBOX_WEB_SECRET": f"{'x' * 32},{SECRET}"})
    with dashboard(both) as url:
        port = url.rpartition(":")[2]
        assert httpx.get(url, cookies={f"outbox-{port}": value}).status_code == 200


async def test_a_session_ends_by_the_clock_however_much_it_was_used(config: Config) -> None:
    now, sessions = 0.0, []

    async def remember(scope: Scope, _receive: Receive, send: Send) -> None:
        session = scope["outbox.session"]
        sessions.append(dict(session.claims))
        if not session.claims:
            session.sign_in({"by": "password", "name": "ada", "seal": ""})
            session.claims["at"] = 1_000
        session.put("touched", now)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    middleware, cookie = Sessions(remember, config=config.web, clock=lambda: now), b""

    async def visit() -> None:
        nonlocal cookie

        async def send(message: dict[str, object]) -> None:
            nonlocal cookie
            headers = dict(message["headers"])  # type: ignore[call-overload]
            cookie = headers.get(b"set-cookie", b"").partition(b";")[0]

        headers = [(b"host", b"localhost:80"), (b"cookie", cookie)]
        scope = {"type": "http", "scheme": "http", "path": "/", "headers": headers, "server": ("localhost", 80)}
        await middleware(scope, None, send)  # type: ignore[arg-type]

    for moment in (1_000.0, 1_001.0, 44_199.0, 44_200.0):
        now = moment
        await visit()
    assert [bool(claims) for claims in sessions] == [False, True, True, False]


def test_whoever_signs_out_is_out(config: Config) -> None:
    with visiting(config) as visitor:
        visitor.sign_in()
        visitor.get("/")
        assert visitor.post("/sign-out").headers["location"] == "/sign-in"
        assert visitor.get("/").status_code == 303


def test_a_copy_of_the_cookie_is_worth_nothing_after_that_in_another_process_either(
    config: Config, database_url: str
) -> None:
    with visiting(config) as visitor, visiting(config) as other:
        visitor.sign_in()
        assert visitor.get("/").status_code == 200
        cookies = {"cookie": f"outbox-{_port(visitor)}={_cookie(visitor)}"}
        elsewhere = {"cookie": f"outbox-{_port(other)}={_cookie(visitor)}"}
        assert visitor.post("/sign-out").headers["location"] == "/sign-in"
        assert httpx.get(f"{visitor.client.base_url}", headers=cookies).status_code == 303
        assert other.client.get("/", headers=elsewhere).status_code == 303
        visitor.sign_in()
        assert visitor.get("/").status_code == 200, "another session of theirs goes on"
    [(actor, action, subject)] = rows(database_url, "SELECT actor, action, subject FROM outbox.audit")
    assert (actor, action) == ("ada", "sign_out")
    assert subject.startswith("session:")


async def test_a_session_is_looked_up_again_after_five_seconds(database_url: str) -> None:
    now = 0.0
    database = Database(database_url)
    known, session = SignedOut(database, clock=lambda: now), Session()
    assert not await known.has(session)
    await SignedOut(database).add(session, "ada")
    assert not await known.has(session)
    now = 5.0
    assert await known.has(session)
    database.close()


async def test_where_the_database_is_away_a_sign_out_holds_in_its_process(cloned_url: str) -> None:
    rows(cloned_url, "ALTER TABLE outbox.audit RENAME TO elsewhere")
    database = Database(cloned_url)
    known, session = SignedOut(database), Session()
    assert not await known.has(session)
    await known.add(session, "ada")
    assert await known.has(session)
    database.close()


def _port(visitor: Visitor) -> int:
    return int(visitor.client.base_url.port or 80)


def _cookie(visitor: Visitor) -> str:
    return str(visitor.client.cookies[f"outbox-{_port(visitor)}"])


def test_a_changed_password_ends_every_session_and_a_changed_role_holds_at_once(database_url: str) -> None:
    with visiting(configured(database_url, **USERS)) as visitor:
        visitor.sign_in()
        [(_, cookie)] = visitor.client.cookies.items()

    def status(users: str) -> tuple[int, bool]:
        with dashboard(configured(database_url, **USERS | {"OUTBOX_WEB_USERS": users})) as url:
            page = httpx.get(url, cookies={f"outbox-{url.rpartition(':')[2]}": cookie})
            return page.status_code, '<span class="who-role">viewer' in page.text

    assert status(f"ada viewer {HASH}") == (200, True)
    assert status(f"ada operator {hash_password(PASSWORD)}") == (303, False)
    assert status(f"bob viewer {HASH}") == (303, False)


def test_a_password_is_not_taken_over_a_network_without_tls(config: Config) -> None:
    with visiting(config) as visitor:
        visitor.client.headers["host"] = "outbox.internal"
        answer = visitor.sign_in()
        assert answer.status_code == 400
        assert "without TLS" in answer.text


def test_the_application_around_it_can_say_who_somebody_is(database_url: str) -> None:
    async def identify(request: Request) -> User | None:
        role = request.headers.get("x-role")
        return User("eve", "operator" if role == "operator" else "viewer") if role else None

    config = configured(database_url)
    with dashboard(config, identify=identify) as url:
        assert httpx.get(url).status_code == 403
        page = httpx.get(url, headers={"x-role": "operator"})
        assert page.status_code == 200
        assert "Sign out" not in page.text
        assert httpx.get(f"{url}/sign-in", headers={"x-role": "viewer"}).headers["location"] == "/"


def test_what_its_sign_in_lacks_is_said_before_it_starts(database_url: str) -> None:
    for variables, problem in (
        ({"OUTBOX_WEB_USERS": f"ada operator {HASH}"}, "web.secret is missing"),
        ({"OUTBOX_WEB_OIDC_ISSUER": "https://id.example.org"}, "web.oidc_client_id is missing"),
    ):
        with pytest.raises(ConfigError, match=problem):
            create_app(configured(database_url, **variables))
