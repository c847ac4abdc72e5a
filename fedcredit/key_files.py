"""Secret keys that an institution keeps in files of its own: 64 hex digits that no other account may read.

The data key decides by HMAC of a row's id whether it trains or evaluates. A pair key names persons between two
institutions that both hold it: for linked rows, and for questions about one person.
"""

import os
import re
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.provisioning.new_files import SECRET, NewFile, write_new

_KEY_BYTES = 32
_KEY = re.compile(rf"[0-9a-f]{{{2 * _KEY_BYTES}}}")


def load_data_key(path: Path) -> bytes:
    """Read the institution's data key, 32 bytes.

    Raises
    ------
    ConfigError
        If the file is missing, open to other accounts, or no such key.
    """
    return _load(path, "data key", "create it with 'fedcredit custodian keygen'")


def load_pair_key(path: Path) -> bytes:
    """Read the secret of a pair of institutions, 32 bytes.

    Raises
    ------
    ConfigError
        If the file is missing, open to other accounts, or no such key.
    """
    return _load(path, "pair key", "one of the two institutions makes it with 'fedcredit linked key'")


def make_pair_key(path: Path) -> None:
    """Draw a pair key from the operating system and write it as hex, for this account only.

    Raises
    ------
    ConfigError
        If the file exists or cannot be written.
    """
    write_new(path.absolute().parent, {path.name: NewFile(os.urandom(_KEY_BYTES).hex().encode() + b"\n", SECRET)})


def _load(path: Path, what: str, remedy: str) -> bytes:
    if not path.is_file():
        raise ConfigError(f"{what} {path} does not exist; {remedy}.")
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read ({error.strerror}); check its owner and mode.") from error
    if mode & 0o077:
        raise ConfigError(f"{what} {path} is open to other accounts; run: chmod 600 {path}")
    text = data.decode("ascii", "replace").strip().lower()
    if not _KEY.fullmatch(text):
        raise ConfigError(f"{what} {path} is not {2 * _KEY_BYTES} hex digits; put the right one back.")
    return bytes.fromhex(text)
