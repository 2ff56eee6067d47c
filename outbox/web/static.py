"""What pages are made with: styles, scripts and icons. All of it is read once, and is small."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER = Path(__file__).parent / "assets"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_A_YEAR = "public, max-age=31536000, immutable"
_FILES = {
    file.relative_to(FOLDER).as_posix(): file.read_bytes()
    for file in sorted(FOLDER.rglob("*"))
    if file.suffix in _TYPES
}
VERSION = hashlib.sha256(b"\0".join(name.encode() + b"\0" + data for name, data in _FILES.items())).hexdigest()[:12]
"""Changes with any of them, and is part of their addresses, so that a browser may keep them."""


async def asset(request: Request) -> Response:
    """Return one file."""
    name = request.path_params["path"]
    if name not in _FILES:
        raise HTTPException(404)
    kept = {"cache-control": _FOR_A_YEAR} if request.path_params["version"] == VERSION else {}
    return Response(_FILES[name], media_type=_TYPES[Path(name).suffix], headers=kept)


async def health(_request: Request) -> Response:
    """Say that there is somebody, to whoever asks; nothing is looked at."""
    return Response("ok\n", media_type="text/plain")


ROUTES = [
    Route("/assets/{version}/{path:path}", asset, name="asset"),
    Route("/healthz", health, name="health"),
]
PUBLIC = frozenset({"asset", "health"})
