"""What keeps a cell of the table from having a number."""

from __future__ import annotations


class Absent(Exception):
    """What was to be measured is not there, and cannot be installed: the message says why."""


class Failed(Exception):
    """A measurement went wrong: the message says how, with what the process concerned had to say."""
