"""What a mutant is: some edits of the source, the job that shows them, and the tests that must notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """One text of one file and what stands in its place."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """One deliberate break.

    Attributes
    ----------
    breaks
        What it breaks, in half a sentence.
    circumstance
        The job of `circumstances` that shows it.
    tests
        Node ids of the tests that claim to kill it.
    """

    name: str
    breaks: str
    circumstance: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def mutant(name: str, breaks: str, circumstance: str, tests: str, *edits: tuple[str, str, str]) -> Mutant:
    return Mutant(name, breaks, circumstance, tuple(Edit(*edit) for edit in edits), tuple(tests.split()))
