"""What an SMTP reply means, as a table: the one place where SMTP's codes become the errors of this package.

A reply has a basic code (RFC 5321), mostly an enhanced one (RFC 3463, IANA's registry of enhanced status codes), and
words. The words decide only where the same code means opposite things at different servers.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outbox.errors import Ambiguous, DeliveryError, Misconfigured, Rejected, Temporary, Throttled, Unreachable

if TYPE_CHECKING:
    from collections.abc import Container


POSITIVE = range(200, 300)
NEGATIVE = range(400, 600)


class Phase(enum.StrEnum):
    """What was being done when the server replied, or when the connection was lost."""

    CONNECT = "connecting"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    COPY = "RCPT of a copy"
    DATA = "DATA"
    CONTENT = "the final dot"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Patterns that the whole basic code, the whole enhanced code without its first digit, and the words must match.

    An `enhanced` of "" also stands for a reply without an enhanced code. `of_sender` is one about who it is from.
    """

    codes: str
    enhanced: str = ".*"
    words: str = ""
    during: Container[Phase] = tuple(Phase)
    means: type[DeliveryError]
    of_sender: bool = False


_AT_RCPT = (Phase.RCPT,)
_LATE = (Phase.DATA, Phase.CONTENT)
_OF_RECIPIENT = (Phase.RCPT, *_LATE)  # where there is one recipient, a late refusal is about it too

_GREYLIST = r"gr[ea]y-?list"
_RATE = r"\brate\b|too (many|much|fast)|throttl|limit|slow down|try again more slowly|concurren"
_OUR_RATE = r"throttling failure: maximum sending rate|(maximum|your) (sending|send) rate"
_OUR_QUOTA = r"daily.*(quota|limit)|sending (quota|limit)|(quota|limit) for (your|this) account"
_FULL = r"(mailbox|inbox|storage)\b.*\b(full|exceeded)|over ?quota|quota exceeded|exceed\w* .*(quota|storage)"
_EXIM_VERIFIES = r"^verification failed for <|^postmaster verification failed|^callback setup failed while verifying"
_SENDER = (
    r"sender (address )?(rejected|denied|not|verif\w+ failed)|not owned by|send ?as"
    r"|not (allowed|authori[sz]ed|permitted) to send"
    r"|(address|domain|identity|identities|sender)\b.* (is|are)? ?not verified"
    f"|{_EXIM_VERIFIES}"
)
_RELAYING = (
    r"relay(ing)? (access )?(is )?(denied|not)|(unable|not (permitted|allowed)) to relay|rcpthosts"
    r"|authentication (is )?required|must authenticate"
)
_OUR_HOST = r"client host rejected|helo command rejected"  # as Postfix tells whom it does not want to hear
_POLICY = r"spam|block|black ?list|deny ?list|policy|reputation|\b(spf|dkim|dmarc|rbl|dnsbl)\b|listed|banned"

_RULES = (
    # Our account: RFC 4954 section 6, RFC 5248; Exchange's 5.7.57, 5.7.60, 5.7.64 and 5.7.7xx.
    _Rule(codes="432|52[45]|53[0458]", means=Misconfigured),
    _Rule(codes="5..", during=(Phase.CONNECT, Phase.STARTTLS, Phase.AUTH), means=Misconfigured),
    _Rule(codes="5..", enhanced=r"1\.[78]|7\.60", means=Misconfigured, of_sender=True),
    _Rule(codes="5..", enhanced=r"7\.([389]|1[0-4]|5[47]|64|7\d\d)|4\.5", means=Misconfigured),
    _Rule(codes="...", words=_OUR_QUOTA, means=Misconfigured),
    # Not now: greylisting names the recipient's server, a rate names us.
    _Rule(codes="4..", words=_GREYLIST, means=Temporary),
    _Rule(codes="4..", words=_OUR_RATE, means=Throttled),
    _Rule(codes="421", words=_RATE, means=Throttled),
    _Rule(codes="4..", enhanced=r"7\.\d+|3\.2", words=_RATE, means=Throttled),
    _Rule(codes="4..", means=Temporary),
    # The mailbox is full: it may be emptied, so the address is not given up.
    _Rule(codes="5..", enhanced=r"2\.2", means=Temporary),
    _Rule(codes="55[0-4]", enhanced=r"|[0-2]\.0", words=_FULL, means=Temporary),
    _Rule(codes="552", enhanced="", during=_AT_RCPT, means=Temporary),
    # The content: too big, or not as it should be.
    _Rule(codes="5..", enhanced=r"3\.4|2\.3|6\.\d+", means=Rejected),
    _Rule(codes="523|552|571", means=Rejected),
    # Who we are, and the sender: Postfix and Exim report it at RCPT, others at the end.
    _Rule(codes="5..", words=f"{_RELAYING}|{_OUR_HOST}", means=Misconfigured),
    _Rule(codes="5..", during=(Phase.MAIL,), means=Misconfigured, of_sender=True),
    _Rule(codes="521", means=Misconfigured),
    _Rule(codes="5..", words=_SENDER, means=Misconfigured, of_sender=True),
    # The recipient.
    _Rule(codes="5..", enhanced=r"1\.([1236]|10)|2\.1|4\.4", during=_OF_RECIPIENT, means=Unreachable),
    _Rule(codes="55[16]", during=_AT_RCPT, means=Unreachable),
    _Rule(codes="5..", enhanced=r"7\.\d+", means=Rejected),
    _Rule(codes="5..", enhanced=r"|[0-5]\.0", words=_POLICY, means=Rejected),
    _Rule(codes="55[03]", enhanced=r"|[0-2]\.0|4\.1", during=_AT_RCPT, means=Unreachable),
    _Rule(codes="5..", means=Rejected),
)

_ENHANCED = re.compile(r"\s*[245]\.(\d{1,3}\.\d{1,3})\b|.{0,40}?#[245]\.(\d{1,3}\.\d{1,3})\b", re.DOTALL)
_HINT = re.compile(r"\b(?:in|after|for|wait)\s+(\d{1,5})\s*(s|m|h)(?:ec|in|our|ond|ute|\b)", re.IGNORECASE)
_HINT_CLOCK = re.compile(r"\bin\s+(\d{1,2}):(\d\d):(\d\d)\b", re.IGNORECASE)
_UNITS = {"s": 1, "m": 60, "h": 3600}


def judge(phase: Phase, code: int, text: str, *, own_sender: bool = False, several: bool = False) -> DeliveryError:
    """Return the error that the reply `code` `text` means when it comes during `phase`, for the caller to raise.

    With `own_sender`, a refusal of the sender is this message's trouble alone; with `several` recipients, nobody knows
    which of them a late refusal is about.

    A reply that SMTP does not have there (a 2yz or 3yz instead of the one expected, or no code at all) proves nothing:
    before the final dot nothing can have been accepted, after it the outcome is ambiguous.
    """
    detail = f"at {phase}: {text}"
    if code not in NEGATIVE:
        means: type[DeliveryError] = Ambiguous if phase is Phase.CONTENT else Temporary
        return means(f"not an answer to {phase}: {text}", code=str(code) if code > 0 else None)
    enhanced, full_code = _enhanced(text), whole_code(code, text)
    rule = next(rule for rule in _RULES if _applies(rule, phase, str(code), enhanced, text))
    is_about_nobody = several and phase in _LATE and rule.means is Unreachable
    error = Rejected if is_about_nobody or (own_sender and rule.of_sender) else rule.means
    if issubclass(error, Temporary | Throttled):
        return error(detail, code=full_code, retry_after=_retry_after(text))
    return error(detail, code=full_code)


def whole_code(code: int, text: str) -> str:
    """Return the code of the refusal `code` `text` with its enhanced one, where it has one: `550 5.1.1`."""
    enhanced = _enhanced(text)
    return f"{code} {code // 100}.{enhanced}" if enhanced else str(code)


def _enhanced(text: str) -> str:
    match = _ENHANCED.match(text)
    return (match[1] or match[2]) if match else ""


def _applies(rule: _Rule, phase: Phase, code: str, enhanced: str, text: str) -> bool:
    return (
        phase in rule.during
        and re.fullmatch(rule.codes, code) is not None
        and re.fullmatch(rule.enhanced, enhanced) is not None
        and re.search(rule.words, text, re.IGNORECASE | re.DOTALL) is not None
    )


def _retry_after(text: str) -> float | None:
    """Return the seconds that a greylisting or throttling server asks for, in words or as a clock, or None."""
    if match := _HINT.search(text):
        return float(int(match[1]) * _UNITS[match[2].lower()])
    if match := _HINT_CLOCK.search(text):
        hours, minutes, seconds = (int(part) for part in match.groups())
        return float(hours * 3600 + minutes * 60 + seconds)
    return None
