"""How a custodian is reached: its socket, the group that may connect, a port on loopback, the token that callers show.

The socket's folder and mode decide who can connect, the token who is heard; the messages decide who is answered.
"""

import grp
import os
import socket as sockets
from dataclasses import dataclass
from pathlib import Path

import grpc

from fedcredit.custodian.address import LOOPBACK
from fedcredit.custodian.relay_token import load_relay_token
from fedcredit.custodian.site_file import SiteFile
from fedcredit.errors import ConfigError

_LONGEST_SOCKET_PATH = 100


@dataclass(frozen=True, slots=True)
class Door:
    """Where a service listens and whom it hears.

    Attributes
    ----------
    socket
        Path of the Unix socket; a stale one is replaced.
    group
        Name of the group that may connect, by mode 0660; None for this account only, by mode 0600.
    port
        Port on 127.0.0.1 as well; None for the socket alone. It needs a token.
    token
        Hex digits that every call must show; None where the socket's mode is enough.
    """

    socket: Path
    group: str | None = None
    port: int | None = None
    token: str | None = None

    def check(self) -> None:
        """Refuse what cannot be opened; nothing is bound.

        Raises
        ------
        ConfigError
            If the path is unusable, the group unknown or closed to this account, or a port has no token.
        """
        check_socket(self.socket)
        if self.group is not None:
            _group_id(self.group)
        if self.port is not None and self.token is None:
            raise ConfigError(
                f"loopback port {self.port} is open to every account of this machine; name a relay_token as well."
            )

    def open(self, server: grpc.Server) -> None:
        """Bind the socket, and the port if there is one.

        Raises
        ------
        ConfigError
            If another custodian listens there, or it cannot be bound.
        """
        if answers(self.socket):
            raise ConfigError(f"socket {self.socket} is in use by another custodian; stop that one or choose another.")
        self.socket.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            server.add_insecure_port(f"unix:{self.socket}")
        except RuntimeError as error:
            raise ConfigError(f"socket {self.socket} cannot be made; check who may write to its folder.") from error
        finally:
            os.umask(previous)
        if self.group is not None:
            os.chown(self.socket, -1, _group_id(self.group))
            self.socket.chmod(0o660)
        if self.port is not None:
            self._open_port(server, self.port)

    def _open_port(self, server: grpc.Server, port: int) -> None:
        try:
            server.add_insecure_port(f"{LOOPBACK}:{port}")
        except RuntimeError as error:
            self.socket.unlink(missing_ok=True)
            raise ConfigError(
                f"port {port} on {LOOPBACK} is taken; stop what listens there ('ss -ltnp' names it), or choose another "
                "loopback_port."
            ) from error


def door_of(file: SiteFile) -> Door:
    """Where the site's custodian listens, its token read.

    Raises
    ------
    ConfigError
        If the token's file is unusable.
    """
    token = None if file.relay_token is None else load_relay_token(file.relay_token)
    return Door(file.socket, file.socket_group, file.loopback_port, token)


def check_socket(socket: Path) -> None:
    """Refuse a path where no Unix socket can be.

    Raises
    ------
    ConfigError
        If the path is too long, its folder does not exist, or a file is there.
    """
    if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
        raise ConfigError(f"socket path {socket} is over {_LONGEST_SOCKET_PATH} bytes long; choose a shorter one.")
    if not socket.parent.is_dir():
        raise ConfigError(f"folder {socket.parent} does not exist; create it for the custodian's socket.")
    if socket.exists() and not socket.is_socket():
        raise ConfigError(f"{socket} is a file and no socket; choose another path for the custodian's socket.")


def answers(socket: Path) -> bool:
    """Whether somebody listens on a socket."""
    with sockets.socket(sockets.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(socket)) == 0


def _group_id(name: str) -> int:
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise ConfigError(f"socket_group {name!r} does not exist; create it with: groupadd {name}") from error
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        raise ConfigError(f"this account is no member of socket_group {name!r}; add it with: usermod -aG {name} USER")
    return number
