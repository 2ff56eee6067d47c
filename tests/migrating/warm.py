"""What an importer imports, for the process that others are forked from: a busy machine takes seconds to do that."""

from __future__ import annotations

from outbox.__main__ import command_line

command_line()
