"""Who looks at the dashboard, and what they may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from starlette.requests import Request

    from outbox.config.dashboard import Role

_KEY = "outbox.user"
LONGEST_NAME = 200  # as the audit takes it


class User(NamedTuple):
    """Somebody who is known: `name` is what the audit calls them."""

    name: str
    role: Role

    @property
    def is_operator(self) -> bool:
        """Whether they may change something, and read what messages say."""
        return self.role == "operator"


LOCAL = User("somebody at this machine", "operator")
"""Who looks where nobody signs in, which is on loopback alone."""


def remember(request: Request, user: User) -> None:
    """Let the pages know who looks."""
    request.scope[_KEY] = user


def user_of(request: Request) -> User | None:
    """Return who looks, or None at the door."""
    found: User | None = request.scope.get(_KEY)
    return found


def actor(request: Request) -> str:
    """Return as whom the audit knows who looks."""
    user = user_of(request)
    return user.name[:LONGEST_NAME] if user else "nobody"
