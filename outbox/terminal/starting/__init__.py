"""`outbox init`: three questions, and what is made of the answers. Read `run.py` first."""
