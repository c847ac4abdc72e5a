"""The folder beside the ledger where plans wait for an operator, and what is decided about them.

Only the account that serves may look into it or write to it. Files are read and written relative to the open folder,
and links are never followed, so nothing outside of it can be reached through it. What waits is bounded: a coordinator
that sends plan after plan fills no disk.
"""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError, RefusalError
from fedcredit.plan import MAX_PLAN_BYTES

MOST_WAITING = 100
MOST_WAITING_BYTES = 4 * MAX_PLAN_BYTES
_NAME = re.compile(r"[0-9a-f]{64}\.(plan|approve|deny)")


def jobs_folder_of(ledger: Path) -> Path:
    """The folder that belongs to a ledger."""
    return ledger.with_name(ledger.name + ".jobs")


@dataclass(frozen=True, slots=True)
class JobsFolder:
    """Files by plan hash and kind (``plan``, ``approve``, ``deny``) in one owner-only folder."""

    path: Path

    def hashes(self, what: str) -> list[bytes]:
        """Plan hashes of all files of one kind, in order."""
        return [bytes.fromhex(name.split(".")[0]) for name in self._names() if name.endswith(f".{what}")]

    def read(self, plan_hash: bytes, what: str) -> bytes | None:
        """A file's bytes, or None if there is none.

        Raises
        ------
        ConfigError
            If the file is a link or no plain file, too long, or cannot be read; or the folder is not this account's.
        """
        if not os.path.lexists(self.path):
            return None
        with self._opened() as folder:
            name = f"{plan_hash.hex()}.{what}"
            try:
                number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise ConfigError(f"{self.path / name} cannot be read ({error.strerror}); remove it.") from error
            if not stat.S_ISREG(os.fstat(number).st_mode):
                os.close(number)
                raise ConfigError(f"{self.path / name} is no plain file; remove it.")
            with os.fdopen(number, "rb") as file:
                data = file.read(MAX_PLAN_BYTES + 1)
        if len(data) > MAX_PLAN_BYTES:
            raise ConfigError(f"{self.path / name} is longer than any plan; remove it.")
        return data

    def write(self, plan_hash: bytes, what: str, data: bytes) -> None:
        """Write a file in one durable step; an older one is replaced."""
        name = f"{plan_hash.hex()}.{what}"
        try:
            self.path.mkdir(mode=0o700)
        except FileExistsError:
            pass  # looked at when it is opened
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be made ({error.strerror}); check its folder.") from error
        with self._opened() as folder:
            # One name for what is being written, so that crashes leave one such file at most.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            try:
                # The console and the custodian both write here: one at a time, until the folder is closed.
                fcntl.flock(folder, fcntl.LOCK_EX)
                with os.fdopen(os.open(".new", flags, 0o600, dir_fd=folder), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(".new", name, src_dir_fd=folder, dst_dir_fd=folder)
                os.fsync(folder)
            except OSError as error:
                raise ConfigError(f"{self.path / name} cannot be written ({error.strerror}); make room.") from error

    def remove(self, plan_hash: bytes, what: str) -> None:
        """Remove a file if it is there."""
        if not os.path.lexists(self.path):
            return
        with self._opened() as folder:
            try:
                os.unlink(f"{plan_hash.hex()}.{what}", dir_fd=folder)
            except FileNotFoundError:
                return

    def keep_waiting(self, plan_hash: bytes, plan: bytes) -> None:
        """Keep a plan for the operator; one that is kept already stays as it is.

        Raises
        ------
        RefusalError
            If too many wait already.
        """
        waiting = self.hashes("plan")
        if plan_hash in waiting:
            return
        if len(waiting) >= MOST_WAITING or self._waiting_bytes() + len(plan) > MOST_WAITING_BYTES:
            raise RefusalError(
                "approval", "too many plans wait for this site's operator; ask again when some are decided."
            )
        self.write(plan_hash, "plan", plan)

    def _waiting_bytes(self) -> int:
        return sum(len(self.read(plan_hash, "plan") or b"") for plan_hash in self.hashes("plan"))

    def _names(self) -> list[str]:
        if not os.path.lexists(self.path):
            return []
        with self._opened() as folder:
            names = os.listdir(folder)  # noqa: PTH208  (of a folder that is held open)
        return sorted(name for name in names if _NAME.fullmatch(name))

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise ConfigError(
                f"{self.path} is no folder that this account can open ({error.strerror}); remove it, or run as the "
                "account that serves the custodian."
            ) from error
        try:
            found = os.fstat(folder)
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise ConfigError(
                    f"{self.path} must be owned by the account that serves the custodian, with mode 0700; run: "
                    f"chmod 700 {self.path}"
                )
            yield folder
        finally:
            os.close(folder)
