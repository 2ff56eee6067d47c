"""desk: statements stay in the thread that a synchronous connection belongs to, while the engine's loop has another.

A connection of Django's works in its own thread alone, and there only while no loop runs. And a test may have a loop
running itself, beside which no other can begin in that thread.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_LOOK = 0.2  # seconds between two looks at whether anybody serves at all


class _Request(NamedTuple):
    work: Callable[[], Any]
    done: Future[Any]

    def serve(self) -> None:
        try:
            self.done.set_result(self.work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.done.set_exception(error)


class Interrupted(Exception):
    """The thread that serves was interrupted, and serves no more."""


class Desk:
    """Where one thread has work done that another one waits for."""

    def __init__(self) -> None:
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._interrupted = False

    def ask(self, work: Callable[[], T]) -> T:
        """Have it done in the thread that serves, and return what it returns, or raise what it raises."""
        request = _Request(work, Future())
        self._requests.put(request)
        while not request.done.done():
            wait([request.done], timeout=_LOOK)
            if self._interrupted and not request.done.done():
                raise Interrupted
        return request.done.result()  # type: ignore[no-any-return]

    def serve(self, engine: Callable[[], T]) -> T:
        """Run this in a thread, doing here what it asks for meanwhile; return what it returns, or raise what it raises.

        When somebody interrupts this thread, nothing more is done for the other one, so that it ends.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="outbox drain") as pool:
            running = pool.submit(engine)
            running.add_done_callback(lambda _: self._requests.put(None))
            try:
                while (request := self._requests.get()) is not None:
                    request.serve()
            except BaseException:
                self._interrupted = True
                raise
            return running.result()
