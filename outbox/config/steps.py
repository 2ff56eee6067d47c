"""What a configuration says of an escalation, in the form in which it is kept."""

from pydantic import AfterValidator

from outbox.escalation import check_steps

InTurns = AfterValidator(check_steps)
