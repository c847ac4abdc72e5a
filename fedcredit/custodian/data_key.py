"""The institution's data key, which decides by HMAC of a row's id whether it trains or evaluates."""

from pathlib import Path

from fedcredit.errors import ConfigError

_KEY_BYTES = 32


def load_data_key(path: Path) -> bytes:
    """Read the institution's data key, 32 bytes.

    Raises
    ------
    ConfigError
        If the file is missing, readable by others, or no such key.
    """
    if not path.is_file():
        raise ConfigError(f"data key {path} does not exist; create it with 'fedcredit custodian keygen'.")
    if path.stat().st_mode & 0o077:
        raise ConfigError(f"data key {path} is readable by others; run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError as error:
        raise ConfigError(f"data key {path} is not hexadecimal; create a new one.") from error
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"data key {path} has {len(key)} bytes, not {_KEY_BYTES}; create a new one.")
    return key
