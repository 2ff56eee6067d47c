"""levels: how much each event matters. What goes well is for DEBUG: there are thousands of it a second."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from outbox import events, outcomes, pause_events, routine_events, schedule_events, template_events

if TYPE_CHECKING:
    from outbox.events import Event
    from outbox.logs.flood import NotLogged

_LEVELS: dict[type[Any], int] = {
    events.Claimed: logging.DEBUG,
    events.Settled: logging.DEBUG,
    routine_events.LeasesRenewed: logging.DEBUG,
    routine_events.ListenHeard: logging.DEBUG,
    routine_events.RateWaited: logging.DEBUG,
    routine_events.Heartbeat: logging.DEBUG,
    events.ProviderHeld: logging.ERROR,
    events.ProviderFailed: logging.ERROR,
    template_events.ComposeFailed: logging.ERROR,
    events.ProcessDied: logging.ERROR,
    events.ProcessUnable: logging.ERROR,
    events.ChoreFailed: logging.WARNING,
    schedule_events.ScheduleFailed: logging.ERROR,
    schedule_events.ScheduleSkipped: logging.WARNING,
    pause_events.Paused: logging.WARNING,
    pause_events.Resumed: logging.WARNING,
    events.CodeUnknown: logging.WARNING,
    events.CopiesRefused: logging.WARNING,
    events.DatabaseLost: logging.WARNING,
    events.TopicsChanged: logging.WARNING,
    events.LeaseLost: logging.WARNING,
    events.LoopBlocked: logging.WARNING,
    events.LoopStuck: logging.ERROR,
    events.HorizonHeld: logging.WARNING,
    events.ListenUnheard: logging.WARNING,
    events.FailedOver: logging.WARNING,
    template_events.TemplatesRefused: logging.ERROR,
}
_OF_ATTEMPTS: dict[type[outcomes.Outcome], int] = {
    outcomes.Sent: logging.DEBUG,
    outcomes.Dead: logging.WARNING,
    outcomes.Ambiguous: logging.WARNING,
}


def level_of(event: Event | NotLogged) -> int:
    """Return the level of the standard library's logging."""
    if isinstance(event, events.Attempted):
        return _OF_ATTEMPTS.get(type(event.outcome), logging.INFO)
    return _LEVELS.get(type(event), logging.INFO)
