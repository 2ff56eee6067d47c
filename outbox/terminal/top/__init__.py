"""`outbox top`: how things stand and go, on a screen that follows.

`eyes` look at the database, and what one look found is a `scene`. Each of the `panels` turns a scene into lines, for
the screen (`app`) as for paper (`once`). Only `screen` and what is in it needs textual.
"""
