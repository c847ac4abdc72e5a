"""What somebody else wrote, fit for a terminal: nothing in it moves the cursor, hides a line or turns text around."""


def printable(text: str) -> str:
    """Put a blank in the place of every character that is not printed."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
