"""What a model in the registry is: a file or a folder, by the hash of its bytes, and where it came from."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.package.contents import DICTIONARY, HEAD, MODEL
from fedcredit.package.storage import checked_package, unpacked
from fedcredit.wire.canonical import digest, parse_json

PACKAGE_HASH, MODEL_HASH = "package", "model"
_LARGEST_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model's bytes, and what they name.

    Attributes
    ----------
    sha256
        Of the file, or of every name and content of the folder; hex.
    lineage
        What the released files beside the model name: job, purpose, plan and dictionary, where they are there; SHA-256
        of the model itself (``model``); and of a model package its hash (``package``), under which it decides.
    """

    sha256: str
    lineage: dict[str, str]

    def is_what(self, sha256: str, lineage: Mapping[str, str]) -> bool:
        """Whether an entry is about these bytes, and about the names under which they decide."""
        names = [(own.get(MODEL_HASH), own.get(PACKAGE_HASH)) for own in (self.lineage, lineage)]
        return self.sha256 == sha256 and names[0] == names[1]


def read_artifact(path: Path) -> Artifact:
    """Hash a model.

    Parameters
    ----------
    path
        A model package, or the folder of a run's released files (or a run folder with such a folder in it).

    Raises
    ------
    ConfigError
        If there is nothing, a folder holds no model, something in it is no plain file, or a package does not hold.
    """
    if path.is_file():
        content = _content(path)
        named = {"file": path.name, **_zipped(content, path)}
        return Artifact(digest("registry-file-artifact", content).hex(), named)
    folder = path / "released" if (path / "released" / MODEL).is_file() else path
    if not (folder / MODEL).is_file() and not (folder / HEAD).is_file():
        raise ConfigError(f"{path} is neither a file nor a folder with a {MODEL} or a {HEAD}; name a model.")
    contents: dict[str, bytes] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise ConfigError(f"{file} is no plain file; a model is files only.")
        if file.is_file():
            contents[file.relative_to(folder).as_posix()] = _content(file)
    parts = [part for name, content in contents.items() for part in (name.encode(), content)]
    # From the very bytes that are hashed: somebody could change the files in between.
    named = {**_lineage(contents, folder), **_package(contents, folder)}
    return Artifact(digest("registry-folder-artifact", *parts).hex(), named)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError(f"{path} has more than {_LARGEST_BYTES} bytes; no model of ours has.")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check its owner and mode.") from error


def _zipped(content: bytes, path: Path) -> dict[str, str]:
    """What names a packed package; nothing for any other file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if HEAD not in archive.namelist():
                return {}
    except zipfile.BadZipFile:
        return {}
    return _package(unpacked(content, str(path)), path)


def _package(contents: dict[str, bytes], path: Path) -> dict[str, str]:
    if HEAD not in contents:
        return {MODEL_HASH: sha256(contents[MODEL]).hexdigest()}
    missing = {MODEL, DICTIONARY} - contents.keys()
    if missing:
        raise ConfigError(f"{path} holds {HEAD} and no {sorted(missing)[0]}; name a whole model package.")
    package = checked_package(contents, str(path))
    return {MODEL_HASH: package.model_hash, PACKAGE_HASH: package.digest}


def _lineage(contents: dict[str, bytes], folder: Path) -> dict[str, str]:
    data = contents.get("plan.json")
    if data is None:
        return {}
    try:
        values = parse_json(data)
        said = {name: str(values[name]) for name in ("job", "purpose", "dictionary")}
        return {**said, "family": str(values["model"]["family"]), "plan": digest("plan", data).hex()}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder}/plan.json is no plan of ours ({error!r}); name a finished run's folder."
        ) from error
