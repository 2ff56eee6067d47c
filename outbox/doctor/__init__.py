"""What quietly kills a system like this one, looked for; each thing that is found comes with a remedy.

A check is a function and a `Check` that names it, in a module of this folder; `examination` lists the modules. Checks
only read, wait for no lock, are cut off after a few seconds, and know nothing of one another.
"""
