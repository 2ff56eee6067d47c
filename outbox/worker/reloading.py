"""reloading: a change of the templates counts without a restart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from outbox.defects import Defect
from outbox.events import ChoreFailed
from outbox.template_events import TemplatesChanged, TemplatesRefused

if TYPE_CHECKING:
    from outbox.events import Listener
    from outbox.render import Templates

_PAUSE = 1.0


async def load_templates(templates: Templates, stop: asyncio.Future[str], listener: Listener) -> None:
    """Read the templates, in a thread, as often as it takes: without them, all that is due would be given up."""
    while not stop.done():
        try:
            await asyncio.to_thread(templates.load)
        except Exception as error:  # noqa: BLE001 - whatever a source of somebody's own raises
            listener(_failed("load_templates", error))
            await asyncio.wait([stop], timeout=_PAUSE)
        else:
            return


async def reload_templates(templates: Templates, every: float, listener: Listener) -> None:
    """Look every so many seconds, in a thread, whether the templates have changed; until cancelled. With 0, never.

    A change is taken when it looks the same twice: who copies files one by one is not to send half a message meanwhile.
    """
    while every:
        await asyncio.sleep(every)
        try:
            problems = await asyncio.to_thread(templates.refresh_at_rest)
        except Exception as error:  # noqa: BLE001 - whatever a source of somebody's own raises, the others go on
            listener(_failed("reload_templates", error))
            continue
        if problems:
            listener(TemplatesRefused(tuple(problems)))
        elif problems is not None:
            listener(TemplatesChanged(len(templates.names())))


def _failed(chore: str, error: Exception) -> ChoreFailed:
    """Return what to tell. A source that is out of reach has no defect."""
    return ChoreFailed(chore, type(error).__name__, None if isinstance(error, OSError) else Defect.of(error))
