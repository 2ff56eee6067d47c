"""page: the answers to `GET /live` and `GET /ready`: 200 or 503, and JSON that says what was looked at."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Protocol

    from outbox.port import Page
    from outbox.worker.vitals import Check

    class Examined(Protocol):
        """Whatever can tell of its health."""

        def live(self) -> Sequence[Check]:
            """Tell whether it lives."""
            ...

        def ready(self) -> Sequence[Check]:
            """Tell whether it is ready."""
            ...


def pages(of: Examined) -> dict[str, Page]:
    """Return what is at which path."""
    return {"/live": _page("live", of.live), "/ready": _page("ready", of.ready)}


def _page(name: str, look: Callable[[], Sequence[Check]]) -> Page:
    def tell(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            start("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Type", "text/plain")])
            return [b""]
        checks = look()
        well = all(check.ok for check in checks)
        said = {name: well, "checks": {check.name: {"ok": check.ok, "says": check.says} for check in checks}}
        start(
            "200 OK" if well else "503 Service Unavailable",
            [("Content-Type", "application/json"), ("Cache-Control", "no-store")],
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else json.dumps(said).encode() + b"\n"]

    return tell
