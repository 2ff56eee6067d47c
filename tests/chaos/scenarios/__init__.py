"""The scenarios, a subject a module. `tests.chaos` says how to write one."""
