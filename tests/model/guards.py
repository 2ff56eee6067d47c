"""The guards of the engine, each with where it stands. The model can be run without any one of them: a mutant.

What a guard is worth shows when it is gone: for each of these the search must find a run that breaks a promise.
"""

from __future__ import annotations

from enum import Enum, unique


@unique
class Guard(Enum):
    """One condition, column or rule, without which the statement or the worker would be simpler, and wrong."""

    def __init__(self, where: str, says: str) -> None:
        self.where = where
        self.says = says

    ENQUEUE_IN_THE_TRANSACTION = "enqueue", "a notification is a row of the caller's transaction"

    CLAIM_ONLY_WHAT_IS_DUE = "claim", "(leased_until <= now()) IS NOT FALSE: a row under a lease is not due"
    CLAIM_TAKES_THE_LAPSED = "claim", "whoever had it: what a vanished worker held is due like any other"
    CLAIM_COUNTS_UP = "claim", "claim = claim + 1: a token of its own for every claim"
    CLAIM_RECORDS_THE_LOST = "claim", "the claim that lapsed is recorded as lost"
    CLAIM_COUNTS_THE_LOST = "claim", "lost = lost + 1, so that max_lost ends what kills its workers"
    CLAIM_SPARES_ITS_OWN = "claim", "q.worker <> me: what comes back to the worker that had it did not kill it"
    CLAIM_PASSES_BY_SUSPECTS = "claim", "no second suspect beside the one in hand"
    CLAIM_SEES_LATE_SUCCESSES = "claim", "what is recorded as sent is ended by its next claim, unsent"

    RENEW_BY_TOKEN = "renew", "q.claim = mine.claim"
    RENEW_BY_WORKER = "renew", "q.worker = me"
    RENEW_ASKS_WHY_A_ROW_IS_MISSING = "renew", "a locked row was skipped, and is still ours"

    SETTLE_BY_TOKEN = "settle", "q.claim = e.claim: failures are fenced"
    SETTLE_BY_WORKER = "settle", "q.worker = me: what is given back or moved is nobody's"
    SETTLE_TAKES_LATE_SUCCESSES = "settle", "a late success ends a row that nobody holds"
    SETTLE_LATE_SUCCESSES_ALONE = "settle", "outcome = 'sent': no other outcome may be late"
    SETTLE_LATE_WHILE_WAITING = "settle", "q.worker IS NULL: a late success ends what waits for a retry"
    SETTLE_LATE_WHILE_LAPSED = "settle", "q.leased_until <= now(): a late success ends what lapsed again"
    SETTLE_LATE_UNLESS_HELD = "settle", "a late success leaves a newer claim's row alone"
    SETTLE_RECORDS_LATE_SUCCESSES = "settle", "a success is recorded whoever has the row"
    SETTLE_TURNS_LOST_INTO_SENT = "settle", "ON CONFLICT DO UPDATE … WHERE a.outcome = 'lost'"
    SETTLE_RECORDS_THE_CLAIM_IT_ENDS = "settle", "a late success records as lost the lapsed claim whose row it takes"
    SETTLE_TELLS_OF_ITS_OWN_NEWER_CLAIM = "settle", "what this worker has claimed again is settled later, not dropped"
    SETTLE_ANSWERS_TWICE_ALIKE = "settle", "sent again, it says settled of what it has settled"
    SETTLE_REOPENS_DEAD_LETTERS = "settle", "ON CONFLICT DO UPDATE SET resolution = NULL"
    SETTLE_FORGETS_THE_LOST = "settle", "lost = 0: what let its worker live did not kill it"

    RELEASE_BY_TOKEN = "release", "q.claim = mine.claim"

    CANCEL_LEAVES_THE_LEASED = "cancel", "(leased_until > clock_timestamp()) IS NOT TRUE"
    CANCEL_COUNTS_AS_A_CLAIM = "cancel", "recorded as claim + 1: the last word, beside that of the lost one"
    CANCEL_RECORDS_THE_LOST = "cancel", "the claim that lapsed is recorded as lost"

    REPLAY_COUNTS_ON = "replay", "claim = max(attempts.claim): tokens of before fit no more"
    REPLAY_LEAVES_THE_SENT = "replay", "a dead letter that was delivered after all stays"
    REPLAY_LEAVES_THE_RESOLVED = "replay", "d.resolution IS NULL: one letter is replayed once"

    LEASE_FROM_BEFORE_THE_STATEMENT = "leases", "the deadline counts from before the claim was sent off"
    BEGIN_WITHIN_THE_LEASE = "lease.is_held", "time.monotonic() < deadline: a send begins within its lease"
    NOTHING_BEGUN_IS_GIVEN_BACK = "leases.not_begun", "the begun flag"
    TAKE_ADOPTS_THE_LAPSED = "leases.take", "what comes back to whoever is sending it is not sent a second time"

    SETTLER_KEEPS_THE_LOCKED = "settler", "what was skipped as locked is written later"
    SETTLER_GIVES_BACK_THE_NEXT = "settler", "what is settled and was claimed again meanwhile is given back"
    SETTLER_KEEPS_THE_ADOPTED = "settler", "what was claimed again meanwhile is written again, under the new claim"
    DELIVER_COUNTS_ATTEMPTS = "judge", "attempt >= max_attempts ends it"
    DELIVER_REFUSES_THE_EXHAUSTED = "refusal", "attempt >= max_attempts ends it, unsent"
    DELIVER_REFUSES_POISON = "refusal", "lost >= max_lost ends it, unsent"
    FEEDER_KEEPS_ONE_SUSPECT = "feeder", "of several suspects all but one are given back"


INSTEAD = {Guard.DELIVER_COUNTS_ATTEMPTS: Guard.DELIVER_REFUSES_THE_EXHAUSTED}
"""Guards that another would make superfluous. Their mutants lack both."""
