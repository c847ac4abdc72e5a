"""Linked rows: persons of whom two institutions know something, joined at one of them with the person's consent."""
