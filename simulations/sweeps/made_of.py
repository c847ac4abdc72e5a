"""What a point's figures come from besides its settings: the package's version, and what settings only name.

A path, a module or a run folder can hold something else tomorrow under the same setting. So a point's name covers what
they held, and points that were made of different things do not get into one table.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedcredit import __version__
from fedcredit.errors import ConfigError
from fedcredit.models.module_source import read_source
from fedcredit.monitoring.draft import monitor_spec
from fedcredit.wire.canonical import canonical_json

MadeOf = Mapping[str, str]
_FILES = ("path", "dictionary", "mapping")
_VERSION = "fedcredit"


def made_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Versions and SHA-256 hashes by what a reader would call them.

    Parameters
    ----------
    config
        A composed configuration, plain values.

    Raises
    ------
    ConfigError
        If something that the settings name cannot be read.
    """
    paths = [str(config["data"][key]) for key in _FILES if config["data"][key] is not None]
    return {_VERSION: __version__, **{path: _file_hash(path) for path in paths}, **_model(config["model"])}


def require_alike(points: Iterable[MadeOf]) -> None:
    """Refuse points that call different things by the same name.

    Raises
    ------
    ConfigError
        With the first such name.
    """
    seen: dict[str, str] = {}
    for point in points:
        for name, value in point.items():
            if seen.setdefault(name, value) != value:
                what = f"versions {seen[name]} and {value} of {name}" if name == _VERSION else f"different {name}"
                raise ConfigError(
                    f"points of this sweep are made of {what}, and their figures do not belong in one table; sweep "
                    "into a new folder."
                )


def _model(model: Mapping[str, Any]) -> dict[str, str]:
    """A module's file, or the model under watch, which a setting only names."""
    family = model.get("family")
    if family == "module" and model.get("source_sha256") is None:
        return {f"model.module {model.get('module')}": read_source(str(model.get("module"))).sha256}
    if family == "monitor" and model.get("run"):
        watched = monitor_spec(Path(model["run"])).model_dump(mode="json")
        return {f"model.run {model['run']}": hashlib.sha256(canonical_json(watched)).hexdigest()}
    return {}


def _file_hash(path: str) -> str:
    try:
        now = Path(path).stat()
        return _hash_of(path, now.st_mtime_ns, now.st_size, now.st_ino)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); name a file.") from error


@lru_cache(maxsize=64)
def _hash_of(path: str, *_stamp: int) -> str:
    """Hash of a file as it is; read again when it has changed."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
