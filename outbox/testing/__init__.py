"""For the tests of applications: what was enqueued, deliver it inside the test's own transaction, and travel in time.

Plain functions, for pytest, unittest and Django's TestCase alike; pytest's fixtures are in `outbox.testing.plugin`. Of
what is listed here nothing is imported before it is asked for: every run of pytest loads this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outbox.testing.asserting import (
        aassert_enqueued,
        aassert_nothing_enqueued,
        aenqueued,
        assert_enqueued,
        assert_nothing_enqueued,
        enqueued,
    )
    from outbox.testing.databases import migrate
    from outbox.testing.drained import Attempt, Drained
    from outbox.testing.draining import adrain, drain
    from outbox.testing.fakes import FakeProvider, failing, hanging
    from outbox.testing.outgoing import Outgoing
    from outbox.testing.recording import Recorder
    from outbox.testing.rendering import Rendering, render
    from outbox.testing.settings import configuration
    from outbox.testing.travelling import atravel, travel

__all__ = [
    "Attempt",
    "Drained",
    "FakeProvider",
    "Outgoing",
    "Recorder",
    "Rendering",
    "aassert_enqueued",
    "aassert_nothing_enqueued",
    "adrain",
    "aenqueued",
    "assert_enqueued",
    "assert_nothing_enqueued",
    "atravel",
    "configuration",
    "drain",
    "enqueued",
    "failing",
    "hanging",
    "migrate",
    "render",
    "travel",
]

_PLACES = {
    "asserting": (
        "aassert_enqueued",
        "aassert_nothing_enqueued",
        "aenqueued",
        "assert_enqueued",
        "assert_nothing_enqueued",
        "enqueued",
    ),
    "settings": ("configuration",),
    "databases": ("migrate",),
    "drained": ("Attempt", "Drained"),
    "draining": ("adrain", "drain"),
    "fakes": ("FakeProvider", "failing", "hanging"),
    "outgoing": ("Outgoing",),
    "recording": ("Recorder",),
    "rendering": ("Rendering", "render"),
    "travelling": ("atravel", "travel"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
