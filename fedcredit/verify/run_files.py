"""The files of a run: what was released, and the coordinator's store with the signed messages where it is there."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from fedcredit.errors import ConfigError, JobError
from fedcredit.job.store import Decided, Outcome
from fedcredit.wire.canonical import parse_json

STORE, RELEASED = "job.sqlite", "released"
STAMP = "NOT_PRIVATE.txt"
"""A simulation puts a file of this name into its run folder, and into the released files that somebody may copy."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a job store holds: nothing of it is proved.

    Attributes
    ----------
    packets
        Signed envelopes by phase and round, then by institution.
    """

    plan: bytes
    steps: tuple[Decided, ...]
    packets: dict[tuple[str, int], dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where the files of a run are.

    Attributes
    ----------
    run
        The folder that was named.
    released
        The folder with the released files; the same or one in it.
    store
        The coordinator's store, or None.
    """

    run: Path
    released: Path
    store: Path | None

    @property
    def simulated(self) -> bool:
        """Whether the run is a simulation's, whichever of its folders was named."""
        beside = (self.released.parent,) if self.released.name == RELEASED else ()
        return any((folder / STAMP).is_file() for folder in (self.run, self.released, *beside))

    def read(self, name: str) -> bytes | None:
        """A released file's content; None if it is not there."""
        return _content(self.released / name)

    def receipts(self, suffix: str) -> dict[str, bytes]:
        """Receipt files by institution."""
        return files_with(self.released / "receipts", suffix)


def find_run(run: Path, store: Path | None) -> RunFiles:
    """Find a run's files.

    Parameters
    ----------
    run
        The run folder, or the folder of released files in it.
    store
        The coordinator's store, where it lies elsewhere.

    Raises
    ------
    ConfigError
        If there is no plan there, or no such store.
    """
    released = run / RELEASED if (run / RELEASED).is_dir() else run
    if not (released / "plan.json").is_file():
        raise ConfigError(f"{run} holds no plan.json; name the folder of a finished run.")
    if store is not None and not store.is_file():
        raise ConfigError(f"job store {store} does not exist; name the coordinator's {STORE}.")
    beside = (place / STORE for place in (released, run, released.parent))
    return RunFiles(run, released, store or next((path for path in beside if path.is_file()), None))


def files_with(folder: Path, suffix: str) -> dict[str, bytes]:
    """Content of a folder's files with that suffix, by stem."""
    return {path.stem: path.read_bytes() for path in sorted(folder.glob(f"*{suffix}")) if path.is_file()}


def read_store(path: Path) -> Recorded:
    """Read a job store; the file is not written to.

    Raises
    ------
    JobError
        If it is no store of ours.
    """
    try:
        with closing(_connect(path)) as connection:
            ((plan,),) = connection.execute("SELECT plan FROM job").fetchall()
            steps = connection.execute(
                "SELECT phase, round, attempt, outcome, members, rejoining, sums FROM step ORDER BY seq"
            ).fetchall()
            packets: dict[tuple[str, int], dict[str, bytes]] = {}
            for phase, round_, name, packet in connection.execute(
                "SELECT phase, round, institution, envelope FROM packet ORDER BY rowid"
            ):
                packets.setdefault((phase, round_), {})[name] = packet
        return Recorded(bytes(plan), tuple(_step(*row) for row in steps), packets)
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise JobError(f"job store {path} cannot be read ({error}); ask the coordinator for it again.") from error


def _step(
    phase: str, round_: int, attempt: int, outcome: str, members: bytes, rejoining: bytes, sums: bytes
) -> Decided:
    asked, again = (tuple(map(str, parse_json(part))) for part in (members, rejoining))
    values = np.frombuffer(sums, dtype="<i8").astype(np.int64)
    return Decided(phase, round_, attempt, Outcome(outcome), asked, again, values)


def _connect(path: Path) -> sqlite3.Connection:
    # Without a log beside it nobody is writing, and on a read-only disk SQLite could not share it.
    alone = not os.path.exists(f"{path}-wal")  # noqa: PTH110  (a name with an ending of its own)
    uri = f"file:{quote(os.fspath(path.resolve()))}?mode=ro" + ("&immutable=1" if alone else "")
    return sqlite3.connect(uri, uri=True)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
