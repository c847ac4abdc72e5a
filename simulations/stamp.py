"""What every folder of a simulation says of itself, in the folder."""

from pathlib import Path

from fedcredit.verify.run_files import STAMP

NOT_PRIVATE = (
    "NOT PRIVATE: this folder holds exact figures of a simulation. Never share one made from confidential data.\n"
)


def stamp(folder: Path) -> None:
    """Put the stamp into a folder that exists."""
    (folder / STAMP).write_text(NOT_PRIVATE, encoding="utf-8")
