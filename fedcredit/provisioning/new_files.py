"""New files: each is written whole or not at all, and never over anything that is there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError

SECRET = 0o600
PUBLIC = 0o644


@dataclass(frozen=True, slots=True)
class NewFile:
    """Bytes to write, and who may read them."""

    content: bytes
    mode: int = PUBLIC


def write_new(folder: Path, files: Mapping[str, NewFile]) -> None:
    """Write all files, or none.

    Parameters
    ----------
    files
        By path below the folder. A folder that holds a secret file is made for its owner only.

    Raises
    ------
    ConfigError
        If one of them exists, or cannot be written.
    """
    for name in files:
        require_absent(folder / name)
    written: list[Path] = []
    try:
        for name, file in files.items():
            _make_folder((folder / name).parent, secret=file.mode == SECRET)
            _write(folder / name, file.content, file.mode)
            written.append(folder / name)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise ConfigError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from error


def write_file(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Write one new file into a folder that is there.

    Parameters
    ----------
    secret
        For this account only; else the umask says who may read it.

    Raises
    ------
    ConfigError
        If something is there already, or it cannot be written; then nothing of it stays.
    """
    try:
        _write(path, content, SECRET if secret else None)
    except FileExistsError:
        raise ConfigError(f"{path} exists already and is never overwritten; choose another name.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); choose another place.") from error


def require_absent(path: Path) -> None:
    """Refuse a path where something is.

    Raises
    ------
    ConfigError
        If there is a file, a folder or a link.
    """
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{path} exists, and nothing is overwritten; choose another folder, or move it away.")


def _make_folder(folder: Path, *, secret: bool) -> None:
    if not folder.is_dir():
        folder.mkdir(mode=0o700 if secret else 0o755, parents=True)


def _write(path: Path, content: bytes, mode: int | None) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        with os.fdopen(number, "wb") as opened:
            if mode is not None:
                os.fchmod(number, mode)  # whatever the umask is
            opened.write(content)
            opened.flush()
            os.fsync(number)
    except OSError:
        path.unlink(missing_ok=True)
        raise
