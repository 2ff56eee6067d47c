"""`outbox bench`: what a database can do for an outbox, measured in a database beside the user's own.

`course.py` tells it in order. Clients and workers are processes of their own, as in production; `verdict.py` says in
words what the numbers mean.
"""
