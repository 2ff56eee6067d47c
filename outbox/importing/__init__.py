"""importing: what waits in another queue becomes notifications, each of them once."""
