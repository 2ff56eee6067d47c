"""Finding channels and providers by name, their settings, and `check`."""

from __future__ import annotations

import traceback
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from outbox import channels
from outbox.channels import compose_for, load_provider
from outbox.check import check
from outbox.config import load
from outbox.errors import ConfigError
from outbox.messages import Email, Notification, Receipt
from outbox.render import Templates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OWN_CHANNEL = "one of your own needs a provider by its dotted path"

PIGEON = '''
from pydantic import BaseModel, Field, SecretStr, field_validator

from outbox.messages import Receipt


class Settings(BaseModel):
    """A provider that is not part of the package."""

    model_config = {"extra": "forbid"}
    loft: str = Field(min_length=3, description="where the pigeons live")
    birds: list[str] | None = None
    speed: int = 80
    password: SecretStr | None = None

    @field_validator("birds")
    @classmethod
    def _no_owls(cls, birds):
        if "owl" in birds:
            raise ValueError("an owl is not a pigeon")
        return birds


class Provider:
    def __init__(self, settings):
        self.settings = settings

    async def send(self, message, key):
        return Receipt(f"{self.settings.loft}-{key}")

    async def aclose(self):
        pass
'''


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path with the package `acme_<something>` that has a provider."""
    folder = tmp_path / "site"
    (folder / "acme_post").mkdir(parents=True)
    (folder / "acme_post/__init__.py").touch()
    (folder / "acme_post/pigeon.py").write_text(PIGEON)
    (folder / "acme_post/half.py").write_text("Settings = None\n")
    (folder / "acme_post/lost.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def problems(channel: str, name: str, section: Mapping[str, object]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        load_provider(channel, name, section)
    return refused.value.problems


async def test_the_name_in_the_configuration_is_the_modules() -> None:
    provider = load_provider("email", "smtp", {"host": "127.0.0.1", "tls": "none", "sender": "a@example.org"})
    assert type(provider) is import_module("outbox.channels.email.smtp").Provider
    await provider.aclose()


async def test_a_provider_can_be_a_dotted_path(elsewhere: Path) -> None:  # noqa: ARG001 - it prepares the import path
    provider = load_provider("email", "acme_post.pigeon", {"loft": "roof"})
    assert await provider.send(Email("a@example.org", "s", "t"), "7") == Receipt("roof-7")


async def test_a_provider_can_be_an_entry_point(elsewhere: Path) -> None:
    metadata = elsewhere / "acme_post-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-post\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[outbox.channels]\nemail.pigeon = acme_post.pigeon\n")

    provider = load_provider("email", "pigeon", {"loft": "roof"})
    assert await provider.send(Email("a@example.org", "s", "t"), "7") == Receipt("roof-7")


def test_an_unknown_provider_is_refused_with_the_nearest_of_the_channel() -> None:
    elsewhere = "one from elsewhere is a dotted path, or an entry point"
    assert problems("email", "smpt", {}) == (
        f"providers.smpt: email has no such provider; did you mean smtp? ({elsewhere})",
    )


@pytest.mark.parametrize("helper", ["mime", "smtp_settings", "smtp_pool"])
def test_a_helper_module_is_not_a_provider(helper: str) -> None:
    (only,) = problems("email", helper, {})
    assert only.startswith(f"providers.{helper}: email has no such provider; ")
    assert "mime" not in only.removeprefix(f"providers.{helper}")


def test_an_unknown_channel_is_refused_with_the_nearest() -> None:
    (only,) = problems("emial", "smtp", {})
    assert only == f"channels.emial: there is no such channel; did you mean email? ({OWN_CHANNEL})"


def test_a_channel_of_ones_own_gives_its_provider_the_notification(tmp_path: Path) -> None:
    provider = load_provider("pager", "tests.ledger", {"path": tmp_path / "ledger"})
    assert callable(provider.send)
    notification = Notification(UUID("01980000-0000-7000-8000-000000000000"), "pager", "+447700900001")
    assert compose_for("pager")(notification, Templates(tmp_path)) is notification


def test_settings_that_are_no_pydantic_model_are_refused_as_such() -> None:
    (only,) = problems("email", "tests.hands", {})
    assert (
        only
        == "providers.tests.hands: the module tests.hands needs two names, Settings (a pydantic model) and Provider"
    )


@pytest.mark.usefixtures("elsewhere")
def test_a_dotted_path_must_lead_to_the_two_names() -> None:
    end = "cannot be imported: is it spelt right, and installed?"
    assert problems("email", "acme_post.half", {}) == (
        "providers.acme_post.half: the module acme_post.half needs two names, Settings (a pydantic model) and Provider",
    )
    assert problems("email", "acme_post.none", {}) == (f"providers.acme_post.none: the module acme_post.none {end}",)
    assert problems("email", "acme_post.lost", {}) == (
        f"providers.acme_post.lost: the module a_package_that_is_not_there {end}",
    )
    assert problems("email", ".relative", {})[0].startswith("providers..relative: ")
    assert problems("email", "..", {})[0].startswith("providers...: ")


@pytest.mark.usefixtures("elsewhere")
def test_every_mistake_in_the_settings_is_reported_and_no_value() -> None:
    section = {"birds": ["owl"], "speed": "hunter2", "pasword": "hunter2", "password": ["hunter2"]}
    assert problems("email", "acme_post.pigeon", section) == (
        "configuration: providers.acme_post.pigeon.loft is missing (where the pigeons live)",
        "configuration: providers.acme_post.pigeon.birds: an owl is not a pigeon",
        (
            "configuration: providers.acme_post.pigeon.speed must be a valid integer, "
            "unable to parse string as an integer"
        ),
        "configuration: providers.acme_post.pigeon.password must be a valid string",
        "configuration: providers.acme_post.pigeon.pasword is not a known key; did you mean password?",
    )


@pytest.mark.usefixtures("elsewhere")
def test_no_trace_of_refused_settings_has_a_value() -> None:
    secret = "hunter2"
    with pytest.raises(ConfigError) as refused:
        load_provider("email", "acme_post.pigeon", {"loft": secret, "speed": secret})
    assert secret not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


@pytest.mark.usefixtures("elsewhere")
def test_settings_are_reported_where_they_were_given(tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.email]\nproviders = ["acme_post.pigeon"]\n[providers."acme_post.pigeon"]\nloft = "x"\n')
    config = load(file, environ={"OUTBOX_PROVIDERS_ACME_POST_PIGEON_SPEED": "fast"})

    assert problems("email", "acme_post.pigeon", config.providers["acme_post.pigeon"]) == (
        f"{file}: providers.acme_post.pigeon.loft String should have at least 3 characters (where the pigeons live)",
        (
            "OUTBOX_PROVIDERS_ACME_POST_PIGEON_SPEED: providers.acme_post.pigeon.speed must be a valid integer, "
            "unable to parse string as an integer"
        ),
    )


@pytest.mark.usefixtures("elsewhere")
def test_a_list_comes_from_the_environment_with_commas(tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.email]\nproviders = ["acme_post.pigeon"]\n')
    environ = {
        "OUTBOX_PROVIDERS_ACME_POST_PIGEON_LOFT": "roof, north",
        "OUTBOX_PROVIDERS_ACME_POST_PIGEON_BIRDS": "Coo, Roo",
    }
    config = load(file, environ=environ)
    provider = load_provider("email", "acme_post.pigeon", config.providers["acme_post.pigeon"])
    settings = provider.settings  # type: ignore[attr-defined]
    assert (settings.loft, settings.birds) == ("roof, north", ["Coo", "Roo"])


def test_a_provider_that_cannot_be_set_up_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    section = {"host": "mail", "sender": "a@example.org", "ca_file": str(tmp_path / "ca.pem")}
    (only,) = problems("email", "smtp", section)
    assert only.startswith("providers.smtp: it cannot be set up: ")


@pytest.mark.parametrize(
    ("channel", "name", "key"),
    [("push", "apns", "key_file"), ("push", "fcm", "credentials"), ("email", "smtp", "ca_file")],
)
def test_a_key_where_the_path_of_its_file_belongs_is_a_mistake_that_does_not_show_it(
    channel: str, name: str, key: str
) -> None:
    pasted = "-----BEGIN PRIVATE KEY-----\n" + "secret" * 100
    found = problems(channel, name, {key: pasted})
    (about_it,) = [problem for problem in found if f"providers.{name}.{key}" in problem]
    assert "it must be the path of a file" in about_it
    assert not any("secret" in problem for problem in found)


def test_email_knows_how_to_compose() -> None:
    assert compose_for("email") is import_module("outbox.channels.email").compose


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "outbox.toml"
    file.write_text(
        '[channels.email]\nproviders = ["smtp"]\n[providers.smtp]\nhost = "127.0.0.1"\ntls = "none"\n'
        'sender = "a@example.org"\n'
    )
    (tmp_path / "templates/welcome").mkdir(parents=True)
    (tmp_path / "templates/welcome/body.txt").write_text("Hello {{ name }}")
    (tmp_path / "templates/welcome/subject.txt").write_text("Hello")
    return file


def test_check_finds_nothing_wrong_with_a_good_configuration(good: Path) -> None:
    assert check(load(good, environ={})) == []


def test_check_reports_channels_providers_and_templates_together(good: Path) -> None:
    good.write_text(
        good.read_text().replace('tls = "none"', 'tls = "off"')
        + '[providers.sntp]\nhost = "y"\n[channels.fax]\nproviders = ["smtp"]\n'
        + '[channels.email_bulk]\nproviders = ["smtp"]\n'
    )
    (good.parent / "templates/welcome/body.txt").write_text("{% if %}")
    known = ", ".join(sorted(found.name for found in iter_modules(channels.__path__) if found.ispkg))

    assert check(load(good, environ={})) == [
        f"{good}: providers.smtp.tls must be 'none', 'starttls' or 'implicit'",
        f"channels.fax: there is no such channel; known: {known} ({OWN_CHANNEL})",
        f"channels.email_bulk: there is no such channel; did you mean email? ({OWN_CHANNEL})",
        f"{good}: providers.sntp is in no channel's list of providers",
        f"{good.parent}/templates/welcome/body.txt, line 1: Expected an expression, got 'end of statement block'",
    ]


def test_check_asks_for_a_channel(tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.touch()
    assert check(load(file, environ={})) == [
        f'{file}: no channel is configured; add [channels.email] with providers = ["smtp"]'
    ]


def test_check_asks_for_the_folder_of_templates_only_if_one_was_chosen(good: Path) -> None:
    (good.parent / "templates/welcome/body.txt").unlink()
    (good.parent / "templates/welcome/subject.txt").unlink()
    (good.parent / "templates/welcome").rmdir()
    (good.parent / "templates").rmdir()
    assert check(load(good, environ={})) == []
    assert check(load(good, environ={"OUTBOX_TEMPLATES_PATH": "mails"})) == [
        f"{good.parent}/mails: there is no such folder of templates"
    ]
