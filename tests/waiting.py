"""Waiting for what must come true, instead of sleeping for as long as it usually takes."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_PAUSE = 0.02


def wait_until(condition: Callable[[], T], timeout: float = 10) -> T:
    """Return what `condition` returns as soon as that is true; fail after `timeout` seconds with what it was last."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_late(condition, value, timeout))
        time.sleep(_PAUSE)
    return value


async def await_until(condition: Callable[[], T | Awaitable[T]], timeout: float = 10) -> T:  # noqa: ASYNC109 (as above)
    """Do as `wait_until` does, without stopping the event loop; `condition` may be a coroutine function."""
    deadline = time.monotonic() + timeout
    while not (value := await _called(condition)):
        if time.monotonic() > deadline:
            raise AssertionError(_late(condition, value, timeout))
        await asyncio.sleep(_PAUSE)
    return value


async def _called(condition: Callable[[], T | Awaitable[T]]) -> T:
    value = condition()
    return await value if inspect.isawaitable(value) else value


def _late(condition: Callable[[], object], value: object, timeout: float) -> str:
    code = getattr(condition, "__code__", None)
    where = (
        f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    )  # results are kept: no place of ours
    return f"still {value!r} after {timeout:g} s: {getattr(condition, '__qualname__', condition)}{where}"
