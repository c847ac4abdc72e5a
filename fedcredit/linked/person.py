"""How two institutions name a person to each other: a hash under a key that only the two of them hold.

The key is agreed out of band. Whoever lacks it learns nothing from a hash. Whoever holds it can hash any id that they
can think of and look it up: against the other holder of the key a hash hides nothing, and only consent protects.
"""

import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.provisioning.new_files import SECRET, NewFile, write_new
from fedcredit.wire.canonical import length_prefixed

HASH_BYTES = 32
_KEY_BYTES = 32


def make_pair_key(path: Path) -> None:
    """Draw a pair key from the operating system and write it as hex, for this account only.

    Raises
    ------
    ConfigError
        If the file exists or cannot be written.
    """
    write_new(path.absolute().parent, {path.name: NewFile(os.urandom(_KEY_BYTES).hex().encode() + b"\n", SECRET)})


def load_pair_key(path: Path) -> bytes:
    """Read a pair key; 32 bytes.

    Raises
    ------
    ConfigError
        If the file is missing, readable by others, or no such key.
    """
    if not path.is_file():
        raise ConfigError(f"pair key {path} does not exist; one of the two makes it with 'fedcredit linked key'.")
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"pair key {path} is readable by others; run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError as error:
        raise ConfigError(f"pair key {path} is not hexadecimal; have it sent again.") from error
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"pair key {path} has {len(key)} bytes, not {_KEY_BYTES}; have it sent again.")
    return key


def person_hashes(key: bytes, sender: str, receiver: str, ids: Sequence[bytes]) -> tuple[bytes, ...]:
    """HMAC-SHA256 of each id, bound to who tells whom; 32 bytes each.

    Parameters
    ----------
    key
        The pair key.
    sender, receiver
        Institution that offers, and the one that the offer is for.
    ids
        Ids that both institutions spell alike.
    """
    names = sender.encode(), receiver.encode()
    return tuple(hmac.digest(key, length_prefixed("linked-person", *names, one), "sha256") for one in ids)
