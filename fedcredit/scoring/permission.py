"""Whether a package may decide now: asked before every decision, so that a suspension counts from the next one."""

from collections.abc import Callable
from typing import TypeAlias

Permitted: TypeAlias = Callable[[], None]
"""Raises a ConfigError while the package may not be used (`fedcredit.registry.gate.Gate`)."""


def always_permitted() -> None:
    """For a package that no registry is asked about."""
