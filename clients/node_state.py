"""The node's state folder: Flower's home, the logs, and the secret between the SuperNode and the site runner.

Nothing in it is needed after a restart: it may be removed while the node is stopped.
"""

import os
import secrets
from pathlib import Path

from fedcredit.errors import ConfigError

_SECRET_BYTES = 32


def prepare_state(state: Path) -> None:
    """Make the folder and what the processes expect in it, for this account only.

    Raises
    ------
    ConfigError
        If it cannot be written.
    """
    try:
        for folder in (state, flower_home(state)):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state.chmod(0o700)
        # Shown by whoever asks the SuperNode for tasks; without it every account on this machine could take them.
        secret_file(state).unlink(missing_ok=True)
        number = os.open(secret_file(state), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
    except OSError as error:
        raise ConfigError(
            f"state folder {state} cannot be written ({error.strerror}); free space on its disk, or correct its owner."
        ) from error


def flower_home(state: Path) -> Path:
    """Folder in which Flower keeps what it keeps."""
    return state / "flower"


def log_file(state: Path, name: str) -> Path:
    """Log of one of the node's processes."""
    return state / f"{name}.log"


def lock_file(state: Path) -> Path:
    """Held by the one supervisor of this node."""
    return state / "serve.lock"


def secret_file(state: Path) -> Path:
    """Secret between the SuperNode and the site runner; drawn anew at each start of the supervisor."""
    return state / "runtime.secret"


def runtime_secret(state: Path) -> bytes | None:
    """Read the secret; None if the SuperNode was started by other means than ours, without one."""
    try:
        return secret_file(state).read_bytes()
    except FileNotFoundError:
        return None
