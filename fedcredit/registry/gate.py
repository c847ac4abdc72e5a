"""Whether a model package may decide now, by the registry: asked before every decision, read again when it changes.

A package is known by its hash, which was worked out from the very bytes that were signed for; so are its scale and its
joint view. Its model may stand in the registry under other names, too: as the run that is watched, or in a package of
another scale. One of them that is suspended or retired is enough to stop it. A registry that is shorter or other
than this process has seen before is refused; one that was cut back before the process began is not noticed, but for a
hash that was written down elsewhere (``fedcredit models verify --head``).
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from fedcredit.errors import ConfigError, LedgerError
from fedcredit.package.contents import ModelPackage
from fedcredit.registry.artifact import MODEL_HASH, PACKAGE_HASH
from fedcredit.registry.registry import Model, fold
from fedcredit.registry.registry_file import RegistryFile, load_registry_file
from fedcredit.registry.states import State
from fedcredit.registry.storage import read_entries

_SETTLED_NS = 2 * 10**9
_STOPS = (State.SUSPENDED, State.RETIRED)
Stamp = tuple[tuple[int, ...] | None, ...]


class Gate:
    """Lets one package decide while it is approved; threads may share it.

    Parameters
    ----------
    path
        REGISTRY.yaml.
    package
        The package.

    Raises
    ------
    ConfigError
        If the registry cannot be read; whether the package is approved is asked by calling it.
    """

    def __init__(self, path: Path, package: ModelPackage) -> None:
        self._path, self._package, self._lock = path, package, threading.Lock()
        self._file = load_registry_file(path)
        self._stamp: Stamp | None = None
        self._seen: tuple[int, bytes] = (0, b"")
        self._refusal: str | None = None

    def __call__(self) -> None:
        """Return while the package may decide.

        Raises
        ------
        ConfigError
            If it may not, or the registry cannot be read or does not hold.
        """
        with self._lock:
            # Taken before the files are read: what changes meanwhile is read again next time.
            stamp = self._stamped()
            if stamp is None or stamp != self._stamp:
                self._refusal = self._read()
                self._stamp = stamp
            if self._refusal is not None:
                raise ConfigError(self._refusal)

    def _stamped(self) -> Stamp | None:
        """When the files changed; None while that is so recent that a further change could look the same."""
        registry = self._file.registry
        # SQLite may keep what is new in a file beside it, if somebody has told it to.
        beside = registry.with_name(f"{registry.name}-wal")
        stamps = tuple(_stamp(path) for path in (self._path, registry, beside))
        newest = max(max(times[:2]) for times in stamps if times) if any(stamps) else 0
        return stamps if time.time_ns() - newest > _SETTLED_NS else None

    def _read(self) -> str | None:
        self._file = load_registry_file(self._path)
        try:
            entries = read_entries(self._file.registry)
            models = fold(self._file, entries)
        except LedgerError as error:
            raise ConfigError(f"nothing is decided: {error}") from error
        number, head = self._seen
        if number and (len(entries) < number or entries[number - 1].hash != head):
            raise ConfigError(
                f"registry {self._file.registry} was cut back or exchanged while it was in use; restore it."
            )
        if entries:
            self._seen = (len(entries), entries[-1].hash)
        return refusal(self._package, tuple(models.values()), self._file)


def refusal(package: ModelPackage, models: Sequence[Model], file: RegistryFile) -> str | None:
    """Why a package may not decide; None if it may.

    Parameters
    ----------
    models
        All of the registry.
    """
    for one in models:
        if one.lineage.get(MODEL_HASH) == package.model_hash and one.standing.state in _STOPS:
            said = f"the model {one.name} is {one.standing.state.value} in registry {file.name}"
            return f"{said}; nothing is decided with it."
    known = [one for one in models if one.lineage.get(PACKAGE_HASH) == package.digest]
    if any(one.standing.state is State.APPROVED for one in known):
        return None
    if not known:
        return f"the package is in registry {file.name} under no name; add it with 'fedcredit models add'."
    return f"the model {known[0].name} is {known[0].standing.state.value} in registry {file.name}, not yet approved."


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
