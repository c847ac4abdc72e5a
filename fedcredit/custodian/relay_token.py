"""The relay token: 32 random bytes that a caller shows the custodian, in a file that both of their accounts can read.

It opens the door and nothing behind it: what is answered is decided by signatures and the policy.
"""

import re
import secrets
from pathlib import Path

from fedcredit.errors import ConfigError
from fedcredit.provisioning.new_files import write_file

TOKEN_BYTES = 32
_TOKEN = re.compile(rf"[0-9a-f]{{{2 * TOKEN_BYTES}}}")


def load_relay_token(path: Path) -> str:
    """Read a token: 64 hex digits.

    Raises
    ------
    ConfigError
        If the file is missing, open to every account, writable by its group, or no such token.
    """
    if not path.is_file():
        raise ConfigError(f"relay token {path} does not exist; create it with 'fedcredit custodian token {path}'.")
    if path.stat().st_mode & 0o027:
        raise ConfigError(f"relay token {path} is open to other accounts; run: chmod 640 {path}")
    try:
        token = path.read_text(encoding="ascii").strip().lower()
    except ValueError:
        token = ""
    except OSError as error:
        raise ConfigError(
            f"relay token {path} cannot be read ({error.strerror}); give its group to this account."
        ) from error
    if not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"relay token {path} is not {2 * TOKEN_BYTES} hex digits; move it away and run 'fedcredit custodian token "
            f"{path}'."
        )
    return token


def make_relay_token(path: Path) -> None:
    """Draw a token into a new file of mode 0600.

    Raises
    ------
    ConfigError
        If the file exists, or cannot be written.
    """
    write_file(path, f"{secrets.token_hex(TOKEN_BYTES)}\n".encode(), secret=True)
