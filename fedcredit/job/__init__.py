"""A job seen from outside: its decided steps, the fold over them, and who may have said what in it."""
