"""Consents of persons at the answering side: a small CSV file of hashes, read again whenever it changes.

A line says that a person (keyed hash of the pair) consents that one peer asks for one purpose until a day, and what
the token's hash is that the peer must show. Taking the line out withdraws the consent with the next question. The file
holds no id and no token: who reads it learns neither, and can ask nothing.
"""

import csv
import fcntl
import hmac
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fedcredit.errors import ConfigError

COLUMNS = ("person", "peer", "purpose", "until", "token_hash")
_HASH = re.compile(r"[0-9a-f]{64}")
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class Consent:
    """One line of the file."""

    person: str
    peer: str
    purpose: str
    until: date
    token_hash: str


class ConsentFile:
    """The consents, as they stand in the file now.

    Parameters
    ----------
    path
        The CSV file.

    Raises
    ------
    ConfigError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp, self._consents = _stamp(path), _by_person(read_consents(path))

    def holds(self, person: str, peer: str, purpose: str, token_hash: str, today: date) -> bool:
        """Whether there is a consent for exactly this, and its token was shown.

        The same steps are taken whether the person is known or not.

        Raises
        ------
        ConfigError
            If the file was changed and cannot be read; nobody is answered then.
        """
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._consents, self._stamp = _by_person(read_consents(self._path)), stamp
        found = self._consents.get((person, peer, purpose))
        shown = hmac.compare_digest(token_hash, _NOBODY if found is None else found.token_hash)
        return shown and found is not None and today <= found.until


def read_consents(path: Path) -> list[Consent]:
    """Read all lines.

    Raises
    ------
    ConfigError
        If the file is missing, open to other accounts' writing, or a line is none.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise ConfigError(f"consent file {path} can be written by others; run: chmod go-w {path}")
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"consent file {path} cannot be read ({error}); check the path.") from None
    return [_consent(path, number, row) for number, row in enumerate(rows, start=2)]


def change_consents(path: Path, change: Callable[[list[Consent]], list[Consent]]) -> list[Consent]:
    """Put what `change` makes of the consents in their place; nobody else changes them meanwhile.

    Without that, a consent that is written down while another one is withdrawn would bring the withdrawn one back.

    Returns
    -------
    list
        The consents before; empty where there was no file.

    Raises
    ------
    ConfigError
        If the file cannot be read or written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"consent file {path} cannot be locked ({error.strerror}); check its folder.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        known = read_consents(path) if path.exists() else []
        write_consents(path, change(known))
        return known
    finally:
        os.close(descriptor)


def write_consents(path: Path, consents: list[Consent]) -> None:
    """Put a new file in the old one's place, in one step.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch(mode=0o600)
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((one.person, one.peer, one.purpose, one.until, one.token_hash) for one in consents)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"consent file {path} cannot be written ({error.strerror}); check its folder.") from error


def _consent(path: Path, number: int, row: dict[str, str]) -> Consent:
    try:
        one = Consent(row["person"], row["peer"], row["purpose"], date.fromisoformat(row["until"]), row["token_hash"])
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"consent file {path}, line {number}: needs {', '.join(COLUMNS)}; correct it.") from None
    if not _HASH.fullmatch(one.person) or not _HASH.fullmatch(one.token_hash):
        raise ConfigError(f"consent file {path}, line {number}: person and token_hash are 64 hex digits; correct it.")
    return one


def _by_person(consents: list[Consent]) -> dict[tuple[str, str, str], Consent]:
    """The last line of each person, peer and purpose."""
    return {(one.person, one.peer, one.purpose): one for one in consents}


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"consent file {path} cannot be read ({error.strerror}); nobody is answered.") from None
    # The time of the last change of the inode, too: tools that keep a file's own times cannot set that one back.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
