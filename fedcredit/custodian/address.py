"""Where a custodian is reached on its machine, and what a caller shows it; for the relay and the institution's console.

An address is the path of a Unix socket, or ``127.0.0.1:PORT``. Nothing else is one: a custodian is not reached from
another machine.
"""

import re
from pathlib import Path

from fedcredit.errors import ConfigError

METHOD = "/fedcredit.v1.Custodian/Handle"
LOOPBACK = "127.0.0.1"
TOKEN_KEY = "fedcredit-token"  # noqa: S105  (the name, not the secret)
INSTITUTION_KEY = "institution"
# gRPC would send calls to a port through the proxy that the environment names for the way out.
CHANNEL_OPTIONS = (("grpc.enable_http_proxy", 0),)
_HIGHEST_PORT = 65535
_PORT = re.compile(r"[^/]*:(\d+)")


def grpc_target(address: str | Path) -> str:
    """Name an address as gRPC does.

    Raises
    ------
    ConfigError
        If it names another machine, or no port.
    """
    found = _PORT.fullmatch(str(address))
    if found is None:
        return f"unix:{address}"
    if not str(address).startswith(f"{LOOPBACK}:") or not 0 < int(found[1]) <= _HIGHEST_PORT:
        raise ConfigError(
            f"{address} is no custodian's address; give the path of its socket, or {LOOPBACK}:PORT on this machine."
        )
    return f"ipv4:{address}"


def call_metadata(institution: str | None, token: str | None) -> tuple[tuple[str, str], ...]:
    """What goes with each call.

    Parameters
    ----------
    institution
        Which custodian, where a process serves several; None for the only one.
    token
        The relay token's hex digits; None where the site asks for none.
    """
    named = ((INSTITUTION_KEY, institution), (TOKEN_KEY, token))
    return tuple((key, value) for key, value in named if value is not None)
