"""One driver a system: an executable that is told what to do, and prints JSON lines.

`DRIVER ACTION --url URL [options]`, with the actions `version`, `setup`, `enqueue`, `bulk`, `work`, `consume` and
`produce`. A system that is not there prints `{"absent": "why"}` and exits with 77. Standard output carries the JSON
lines and nothing else. Moments are CLOCK_MONOTONIC seconds, which every process of a machine shares.
"""
