"""The demo: the main job on real input, with three witnesses. `scenario.py` tells it in order.

A sample application signs people up, worker processes send their welcome mails, and a mail server misbehaves as mail
servers do. What the three of them have on record must add up in the end.
"""
