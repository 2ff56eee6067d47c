"""Importing from other queues, whose own functions make the rows."""
