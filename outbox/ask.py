"""ask: one provider, once, and what its answer is: a delivery error, or that it accepted the message."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

from outbox import errors
from outbox.defects import Defect, place
from outbox.echo import without_echo
from outbox.errors import clean
from outbox.events import CopiesRefused, ProviderFailed
from outbox.outcomes import Sent

if TYPE_CHECKING:
    from outbox.channels import Provider
    from outbox.messages import Digests, Receipt
    from outbox.queue.claim import Claimed
    from outbox.route import Route


async def ask(provider: Provider, message: Any, claimed: Claimed, name: str, route: Route) -> Sent:
    """Give a message to a provider, once, and return its acceptance.

    Raises:
        DeliveryError: what else it led to. What is none is a defect, after which nobody can know whether it went out.
    """
    timeouts = route.timeouts
    task = timeouts.begin()
    try:
        receipt = await provider.send(message, claimed.key)
        if receipt.refused_copies:
            codes = tuple(clean(str(code), 64) for code in receipt.refused_copies)
            route.listener(CopiesRefused(claimed.id, route.channel, name, codes))
        return _sent(name, receipt, getattr(message, "digests", None))
    except errors.DeliveryError as error:
        if (detail := without_echo(error.detail, message)) != error.detail:
            error.detail = detail
            error.args = (f"{error.code}: {detail}" if error.code else detail,)
        raise
    except asyncio.CancelledError as error:
        if timeouts.is_late(task):
            raise _unanswered(error, route) from None
        if task.cancelling():
            raise
        # Nobody asked us to stop: something that the provider's sends share was cancelled by one of them.
        raise _defect(error, name, route) from None
    except TimeoutError as error:
        raise _unanswered(error.__cause__, route) from None
    except Exception as error:  # noqa: BLE001 - a defect of one provider must not stop the worker
        raise _defect(error, name, route) from None
    finally:
        timeouts.end(task)


def _unanswered(cause: BaseException | None, route: Route) -> errors.DeliveryError:
    meaning = errors.Temporary if isinstance(cause, errors.NotSent) else errors.Ambiguous
    return meaning(f"no answer within {route.policy.timeout:g} s")


def _sent(name: str, receipt: Receipt, digests: Digests | None) -> Sent:
    identity = receipt.provider_message_id
    if receipt.inbox is not None:
        return Sent(provider=name, inbox=receipt.inbox, digests=digests)
    if digests is not None:
        known = clean(str(identity), 255) if identity else None
        return Sent(provider=name, provider_message_id=known, digests=digests)
    return Sent(provider=name, provider_message_id=clean(str(identity), 255)) if identity else _sent_without_id(name)


@cache
def _sent_without_id(name: str) -> Sent:
    """Return one value for all that a provider accepts without an id of its own: making each takes a microsecond."""
    return Sent(provider=name)


def _defect(error: BaseException, name: str, route: Route) -> errors.Ambiguous:
    """Tell of a defect in a provider's module, and return what it means for the message."""
    route.listener(ProviderFailed(route.channel, name, type(error).__name__, place(error), Defect.of(error)))
    return errors.Ambiguous(f"the provider's module failed: {place(error)}")
