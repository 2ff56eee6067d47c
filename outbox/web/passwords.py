"""Passwords: argon2id hashes in the configuration (RFC 9106), and attempts that get slower."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict, deque
from hashlib import sha256
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHash

from outbox.web.users import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from outbox.config import WebConfig

_HASHER = PasswordHasher()  # RFC 9106, section 4, the second recommended option: 64 MiB, three passes
_LONGEST = 1_024  # characters of a password
_AT_ONCE = 2  # each takes 64 MiB for a moment
_REMEMBERED = 10_000
# So many failures in so many seconds: of a name from an address, of an address, of a name from anywhere.
_PAIR, _ADDRESS, _NAME = (5, 300.0), (20, 300.0), (100, 3_600.0)
# Of a password that nobody has: whether there is such a user does not show in the time that an answer takes.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXRoaW5nIHNhbHR5$pAlM1HbGHRGzoG3U9VrLbfGGUyZ1oL0LQUzsBg3BSHs"


def hash_password(password: str) -> str:
    """Return what `password_hash` in the configuration has to be."""
    return _HASHER.hash(password)


def seal_of(hashed: str) -> str:
    """Return what a session remembers of a hash: when that is changed, the session is over."""
    return sha256(hashed.encode()).hexdigest()[:16]


class Attempts:
    """Counts failures, and says for how many seconds nobody is let try again. It forgets what is long ago."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, ...], deque[float]] = OrderedDict()

    def wait(self, name: str, address: str) -> float:
        """Return the seconds until another attempt is let through, 0 for now."""
        now = self._clock()
        return max(self._left(key, limit, now) for key, limit in _keys(name, address))

    def fail(self, name: str, address: str) -> None:
        """Remember that one failed."""
        now = self._clock()
        for key, (most, _) in _keys(name, address):
            failures = self._failures.setdefault(key, deque(maxlen=most))
            failures.append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def succeed(self, name: str, address: str) -> None:
        """Forget the failures of somebody who knew in the end."""
        self._failures.pop((name, address), None)
        for key, _ in _keys(name, address):  # where `check` has counted this one as well
            if failures := self._failures.get(key):
                failures.pop()

    def _left(self, key: tuple[str, ...], limit: tuple[int, float], now: float) -> float:
        most, period = limit
        failures = self._failures.get(key, ())
        recent = [at for at in failures if now - at < period]
        return recent[0] + period - now if len(recent) >= most else 0.0


class Passwords:
    """Tells who somebody is by a name and a password."""

    def __init__(self, config: WebConfig, attempts: Attempts | None = None) -> None:
        self._users = config.users
        self._turns: anyio.CapacityLimiter | None = None
        self.attempts = attempts or Attempts()

    @property
    def are_there(self) -> bool:
        """Whether anybody has one."""
        return bool(self._users)

    async def check(self, name: str, password: str, address: str) -> tuple[User, str] | None:
        """Return who that is, with the seal of their password, or None, which counts as a failure."""
        if self._turns is None:  # made where there is an event loop
            self._turns = anyio.CapacityLimiter(_AT_ONCE)
        known = self._users.get(name)
        hashed = known.password_hash.get_secret_value() if known else _NOBODY
        # Counted before it is known, or all that come at once would be let through.
        self.attempts.fail(name[:_LONGEST], address)
        matches = await to_thread.run_sync(_matches, hashed, password[:_LONGEST], limiter=self._turns)
        if known is None or not matches:
            return None
        self.attempts.succeed(name, address)
        return User(name, known.role), seal_of(hashed)

    def again(self, name: str, seal: str) -> User | None:
        """Return who signed in earlier, if they still may: with the role that they have now."""
        known = self._users.get(name)
        if known is None or not hmac.compare_digest(seal_of(known.password_hash.get_secret_value()), seal):
            return None
        return User(name, known.role)


def _matches(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (Argon2Error, InvalidHash):
        return False


def _keys(name: str, address: str) -> Iterable[tuple[tuple[str, ...], tuple[int, float]]]:
    return (((name, address), _PAIR), (("address", "", address), _ADDRESS), (("name", name, ""), _NAME))
