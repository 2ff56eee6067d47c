"""The screen of `outbox top`. Everything in here may import textual, and nothing else imports what is in here."""
