"""What the engine tells whoever listens: typed facts, one listener call each. Logs and metrics are made of these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from outbox.pause_events import PauseEvent
from outbox.routine_events import RoutineEvent
from outbox.schedule_events import ScheduleEvent
from outbox.template_events import ComposeFailed, TemplatesChanged, TemplatesRefused

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.defects import Defect
    from outbox.errors import DeliveryError
    from outbox.outcomes import Outcome


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker is registered and begins to claim."""

    worker: int
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkerStopping:
    """A worker was asked to stop (by `reason`): it claims no more, and has `grace` seconds to finish what it holds."""

    worker: int
    reason: str
    in_hand: int
    grace: float


@dataclass(frozen=True, slots=True)
class WorkerStopped:
    """A worker ended; `released` notifications went back unsent, and `outcomes` counts what it settled, by name."""

    worker: int
    released: int
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProcessDied:
    """The worker process number `process` ended, and should not have: another takes its place in `pause` seconds."""

    process: int
    pid: int
    ending: str
    pause: float


@dataclass(frozen=True, slots=True)
class ProcessUnable:
    """A worker process ended because it cannot work (its own words are in the log): no other takes its place."""

    process: int
    pid: int
    ending: str


@dataclass(frozen=True, slots=True)
class ProcessesStopping:
    """A supervisor was asked to stop (by `reason`), and passes it on to its `processes`."""

    reason: str
    processes: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claim returned `count` notifications after `seconds`; `lost` of them had been in the hands of a lost worker."""

    channel: str
    count: int
    lost: int
    seconds: float


class Attempted(NamedTuple):
    """One attempt ended, after `seconds` of delivery; it was due `waited` seconds before its claim.

    That was `age` seconds after it was due first, or was replayed. It is part of `trace` (an id of W3C Trace Context),
    if of one that is recorded; `recipient` is masked, if there.
    A named tuple, and no dataclass: there is one for every notification, and it is made in half the time.
    """

    id: UUID
    channel: str
    attempt: int
    outcome: Outcome
    seconds: float
    waited: float
    trace: str | None = None
    recipient: str | None = None
    age: float | None = None


@dataclass(frozen=True, slots=True)
class FailedOver:
    """A provider proved that it did not accept the message, and the next in order is tried."""

    id: UUID
    channel: str
    provider: str
    error: DeliveryError


@dataclass(frozen=True, slots=True)
class CopiesRefused:
    """A provider accepted the message, but not for all who should get a copy: `codes` has one for each who does not."""

    id: UUID
    channel: str
    provider: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProviderHeld:
    """A provider refuses us (credentials, quota) or is down: nothing goes through it for `seconds`, then one probe."""

    channel: str
    provider: str
    seconds: float
    error: DeliveryError


@dataclass(frozen=True, slots=True)
class ProviderResumed:
    """A held provider is held no more: it accepted its probe, or refused just that message."""

    channel: str
    provider: str


@dataclass(frozen=True, slots=True)
class ProviderFailed:
    """A provider raised what is not a delivery error: a defect. `where` is the place in its code, never a value."""

    channel: str
    provider: str
    kind: str
    where: str
    defect: Defect | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class CodeUnknown:
    """A provider refused a message with a code that its table does not have."""

    channel: str
    provider: str
    error: DeliveryError


@dataclass(frozen=True, slots=True)
class Settled:
    """A settlement of `count` outcomes was written after `seconds`; `stale` of them were no longer ours to decide."""

    count: int
    stale: int
    seconds: float


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Somebody else may hold these notifications now; what was not sent yet will not be sent by us."""

    count: int


@dataclass(frozen=True, slots=True)
class DatabaseLost:
    """The connection for `purpose` broke, or could not be made; it is tried again in `pause` seconds."""

    purpose: str
    problem: str
    pause: float


@dataclass(frozen=True, slots=True)
class DatabaseBack:
    """The connection for `purpose` works again, after `seconds`."""

    purpose: str
    seconds: float


@dataclass(frozen=True, slots=True)
class LoopBlocked:
    """The event loop stood still for `seconds`: something that delivers blocks it. Leases are renewed all the same."""

    seconds: float


@dataclass(frozen=True, slots=True)
class LoopStuck:
    """The event loop has stood still for `seconds`, longer than any attempt may take: the process ends itself."""

    seconds: float


@dataclass(frozen=True, slots=True)
class HorizonHeld:
    """The session `pid` has had a transaction open for `seconds`: nothing that was settled since can be removed."""

    pid: int
    user: str
    application: str
    state: str
    seconds: float


@dataclass(frozen=True, slots=True)
class MetricsServed:
    """Prometheus may ask for the metrics at `host` and `port`."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ListenUnheard:
    """LISTEN was accepted, but a NOTIFY of our own never came back (a pooler swallows it): polling alone."""


@dataclass(frozen=True, slots=True)
class ChoreFailed:
    """A chore could not be done, and is tried again at its next turn; with a `defect`, not for the database's sake."""

    chore: str
    problem: str
    defect: Defect | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TopicsChanged:
    """A worker that started has declared these topics otherwise than somebody did before."""

    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retained:
    """Retention went over everything: it dropped these partitions, and deleted so many rows of these kinds."""

    dropped: tuple[str, ...]
    deleted: Mapping[str, int]


Event: TypeAlias = (
    WorkerStarted
    | WorkerStopping
    | WorkerStopped
    | ProcessDied
    | ProcessUnable
    | ProcessesStopping
    | MetricsServed
    | Claimed
    | Attempted
    | FailedOver
    | CopiesRefused
    | ProviderHeld
    | ProviderResumed
    | ProviderFailed
    | ComposeFailed
    | CodeUnknown
    | Settled
    | LeaseLost
    | DatabaseLost
    | DatabaseBack
    | LoopBlocked
    | LoopStuck
    | HorizonHeld
    | ListenUnheard
    | ChoreFailed
    | TopicsChanged
    | TemplatesChanged
    | TemplatesRefused
    | Retained
    | RoutineEvent
    | PauseEvent
    | ScheduleEvent
)

Listener: TypeAlias = Callable[[Event], None]
