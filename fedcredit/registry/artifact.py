"""What a model in the registry is: a file or a folder, by the hash of its bytes, and where it came from."""

from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.wire.canonical import digest, parse_json

MODEL = "model.json"
_LARGEST_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model's bytes.

    Attributes
    ----------
    sha256
        Of the file, or of every name and content of the folder; hex.
    lineage
        What the released files beside the model name: job, purpose, plan and dictionary, where they are there.
    """

    sha256: str
    lineage: dict[str, str]


def read_artifact(path: Path) -> Artifact:
    """Hash a model.

    Parameters
    ----------
    path
        A model package, or the folder of a run's released files (or a run folder with such a folder in it).

    Raises
    ------
    ConfigError
        If there is nothing, a folder holds no model, or something in it is no plain file.
    """
    if path.is_file():
        return Artifact(digest("registry-file-artifact", _content(path)).hex(), {"file": path.name})
    folder = path / "released" if (path / "released" / MODEL).is_file() else path
    if not (folder / MODEL).is_file() and not (folder / "package.json").is_file():
        raise ConfigError(f"{path} is neither a file nor a folder with a {MODEL} or a package.json; name a model.")
    parts = []
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise ConfigError(f"{file} is no plain file; a model is files only.")
        if file.is_file():
            parts += [file.relative_to(folder).as_posix().encode(), _content(file)]
    return Artifact(digest("registry-folder-artifact", *parts).hex(), _lineage(folder))


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError(f"{path} has more than {_LARGEST_BYTES} bytes; no model of ours has.")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check its owner and mode.") from error


def _lineage(folder: Path) -> dict[str, str]:
    plan = folder / "plan.json"
    if not plan.is_file():
        return {}
    data = _content(plan)
    try:
        values = parse_json(data)
        said = {name: str(values[name]) for name in ("job", "purpose", "dictionary")}
        return {**said, "family": str(values["model"]["family"]), "plan": digest("plan", data).hex()}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{plan} is no plan of ours ({error!r}); name the folder of a finished run.") from error
