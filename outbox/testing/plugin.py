"""The pytest plugin: fixtures that are a thin layer over the functions of `outbox.testing`.

It is loaded by every run of pytest where outbox is installed, so it imports nothing of ours before a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.config import Config
    from outbox.testing.recording import Recorder

_OPTION = "outbox_config"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names a configuration for tests."""
    parser.addini(_OPTION, "outbox's configuration for tests; by default the nearest outbox.toml", type="string")


def pytest_configure(config: pytest.Config) -> None:
    """Take the file that the option names, from the folder that pytest's own configuration is in."""
    named = config.getini(_OPTION)
    if named:
        from outbox.testing import settings  # noqa: PLC0415 - see above

        folder = config.inipath.parent if config.inipath else config.rootpath
        settings.chosen.append(folder / named)
        config.add_cleanup(settings.chosen.clear)


@pytest.fixture(scope="session")
def outbox_config() -> Config:
    """The configuration that `drain` and `render` run with: see `outbox.testing.configuration`."""
    from outbox.testing.settings import configuration  # noqa: PLC0415 - see above

    return configuration()


@pytest.fixture
def outbox_recorder() -> Iterator[Recorder]:
    """What is sent in this process during the test is recorded here, and goes nowhere else."""
    from outbox.testing.recording import recording  # noqa: PLC0415 - see above

    with recording() as recorder:
        yield recorder
