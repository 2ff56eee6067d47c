"""One-click unsubscribe (RFC 8058), as far as sending goes: the links, what is in them, and the headers that say so.

What a click does is `outbox.unsubscribe`'s.
"""

from outbox.oneclick.links import POST, VARIABLE, Links, problems, sample
from outbox.oneclick.token import Keys, read, seal

__all__ = ["POST", "VARIABLE", "Keys", "Links", "problems", "read", "sample", "seal"]
