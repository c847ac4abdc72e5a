"""A released model as it stands in a file: model.json."""

from pathlib import Path
from typing import Any

from fedcredit.errors import ConfigError
from fedcredit.wire.canonical import parse_json


def load_released(path: Path) -> dict[str, Any]:
    """Read a released model; its family reads what it says.

    Raises
    ------
    ConfigError
        If the file cannot be read or is no model.
    """
    try:
        value = parse_json(path.read_bytes())
    except OSError as fault:
        raise ConfigError(f"cannot read the model {path}: {fault.strerror}; check the path.") from None
    except ValueError:
        raise ConfigError(f"{path} is not JSON; give the model.json that was released.") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no model; give the model.json that was released.")
    return value
