"""Addresses as they go on the wire: the recipient in the form the DNS and SMTP understand, and the sender's name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from email_validator import EmailNotValidError, validate_email

from outbox.addresses import check_email, split_mailbox

if TYPE_CHECKING:
    from email_validator.types import ValidatedEmail


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox with a display name, such as the sender: `address` is ready for the wire, `name` may be empty."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """The part after the @, in ASCII."""
        return self.address.rpartition("@")[2]


@lru_cache(maxsize=256)  # it is asked for twice a message: for the envelope, and for the header
def wire_address(address: str) -> str:
    """Return `address` as SMTP takes it: the domain in ASCII (IDNA 2008 A-labels), the local part normalised (NFC).

    The result holds non-ASCII characters only where the local part does; such a mailbox needs SMTPUTF8 (RFC 6531).
    An ASCII address comes back as it is, in about a microsecond; the library is asked only for the others.

    Raises:
        ValueError: it is no mailbox, or its domain cannot be encoded; never repeats the address.
    """
    check_email(address)
    local, _, domain = address.rpartition("@")
    if address.isascii() and "xn--" not in domain.lower():
        return address
    wire = f"{_local_part(local)}@{_ascii_domain(domain)}"
    check_email(wire)  # normalising may bring forth what the grammar refuses
    return wire


@lru_cache(maxsize=256)  # the configured sender is asked for with every message
def parse_mailbox(text: str) -> Mailbox:
    """Parse `Name <address>`, `"Quoted, name" <address>` or a bare address.

    Raises:
        ValueError: it is none of these, the name has control characters, or the address is no mailbox.
    """
    name, address = split_mailbox(text)
    return Mailbox(name, wire_address(address))


def _local_part(local: str) -> str:
    return local if local.isascii() else _validated(f"{local}@example.org").local_part


@lru_cache(maxsize=4096)
def _ascii_domain(domain: str) -> str:
    """Encode a domain, private ones (`.test`, `.local`, no dot) included: the library refuses those by their ending."""
    ending = ".org"
    return _validated(f"a@{domain}{ending}").ascii_domain.removesuffix(ending)


def _validated(address: str) -> ValidatedEmail:
    try:
        return validate_email(address, check_deliverability=False, allow_smtputf8=True)
    except EmailNotValidError as error:
        reason = re.split(r"[:('\"]", str(error), maxsplit=1)[0]  # the library goes on by quoting the address
        raise ValueError(f"this email address cannot be encoded: {reason.strip()}") from None
