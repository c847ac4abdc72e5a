"""The file behind an import path: found and hashed without running a line of it, or of any package above it.

What is hashed is what runs (`fedcredit.models.module_loading`): the very bytes, read once. Python's own import would
read the file again, prefer a compiled copy beside it, and run the packages above it first.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec as Found
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

from fedcredit.errors import ConfigError

_NEEDED = ("torch", "opacus")


@dataclass(frozen=True, slots=True)
class Source:
    """One source file as it was when it was read.

    Attributes
    ----------
    path
        Where it lies; for tracebacks only.
    code
        Its bytes.
    """

    path: Path
    code: bytes

    @property
    def sha256(self) -> str:
        """Hash of the bytes, as hex."""
        return hashlib.sha256(self.code).hexdigest()


def read_source(module: str) -> Source:
    """Read the file that an import path names.

    Parameters
    ----------
    module
        ``package.module:ClassName``.

    Raises
    ------
    ConfigError
        If no readable Python file is found on Python's path.
    """
    name = module.partition(":")[0]
    found = _find(name)
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise ConfigError(
            f"model.module={module!r}: no file for {name} on Python's path; add its folder to PYTHONPATH."
        )
    try:
        return Source(Path(found.origin), Path(found.origin).read_bytes())
    except OSError as error:
        raise ConfigError(f"model.module={module!r}: its file cannot be read ({error.strerror}); mend that.") from error


def require_neural() -> None:
    """Refuse where the libraries that such a model needs are missing.

    Raises
    ------
    ConfigError
        Naming the extra to install.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(f"a torch module needs {' and '.join(missing)}; run: pip install 'fedcredit[neural]'")


def _find(name: str) -> Found | None:
    """Walk from package to package by file names; Python's `find_spec` would import every package on the way."""
    PathFinder.invalidate_caches()
    folders: Sequence[str] | None = None
    found: Found | None = None
    for depth, part in enumerate(name.split(".")):
        if depth and folders is None:
            return None
        found = PathFinder.find_spec(part, folders)
        if found is None:
            return None
        folders = None if found.submodule_search_locations is None else [*found.submodule_search_locations]
    return found
