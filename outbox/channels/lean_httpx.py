"""httpx and httpcore, without what a worker does not use of them: half of what their import takes.

httpx imports its command line along with itself where rich and click are installed, and httpcore imports h2. Both go
without what they do not find. For HTTP/2, httpcore looks again when a connection needs it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

_LEFT_OUT = ("httpx._main", "h2")
# None is a module that is not found: https://docs.python.org/3/library/sys.html#sys.modules
_absent: dict[str, ModuleType | None] = {name: None for name in _LEFT_OUT if name not in sys.modules}
sys.modules.update(_absent)  # type: ignore[arg-type]
try:
    import httpcore
    import httpx
finally:
    for _name in _absent:
        if sys.modules.get(_name, _absent) is None:
            del sys.modules[_name]

__all__ = ["httpcore", "httpx"]
