"""outbox beside its rivals: the same work, the same server, one run. `make bench`, or `python -m benchmarks --help`."""
