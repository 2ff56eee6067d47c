"""Whether those can be reached who are known by URLs alone: any answer will do, for nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.errors import DeliveryError, Temporary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.channels.guard import Guard
    from outbox.channels.http import Client


async def look_for(urls: Iterable[str], client: Client, guard: Guard) -> None:
    """Ask for the head of each URL, through the guard and with TLS verified, as a message would go there.

    Raises:
        DeliveryError: one of them is refused by the guard, or gives no answer; of its URL, the host alone is told.
    """
    for url in urls:
        allowed = guard.check(url)
        try:
            await client.request("HEAD", str(allowed))
        except DeliveryError as error:
            means = Temporary if error.code is None else type(error)
            raise means(f"{allowed.host}: {error.detail}", code=error.code) from None
