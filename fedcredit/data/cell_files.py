"""Cells in files without a name: for tables whose cells do not fit into memory.

Such a file is never in a folder: the system makes it nameless, or it is unlinked before a byte is written. Only who
made it, and a child that is handed it, can open it; its space is free again when the last of them has ended, however it
ended, so nothing is left behind by a crash and nothing has to be removed at a start. Its blocks are not overwritten:
whoever reads the bare disk may find them.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fedcredit.data.rows import Cells
from fedcredit.errors import ConfigError

_CELL = np.dtype(np.uint16)


@dataclass(frozen=True, slots=True)
class CellFiles:
    """One file for each role, open for writing and reading."""

    train: BinaryIO
    evaluate: BinaryIO

    @classmethod
    def inherited(cls, train: int, evaluate: int) -> "CellFiles":
        """The files behind two descriptors that a parent has passed on."""
        return cls(os.fdopen(train, "w+b", buffering=0), os.fdopen(evaluate, "w+b", buffering=0))

    def descriptors(self) -> tuple[int, int]:
        """Their descriptors, to be passed on to a child."""
        return self.train.fileno(), self.evaluate.fileno()


@contextmanager
def cell_files(folder: Path) -> Iterator[CellFiles]:
    """Make both files on the disk of `folder`; what was mapped outlives the block.

    Raises
    ------
    ConfigError
        If no file can be made there.
    """
    with nameless_file(folder) as train, nameless_file(folder) as evaluate:
        yield CellFiles(train, evaluate)


def nameless_file(folder: Path) -> BinaryIO:
    """Make one file on the disk of `folder`, mode 0600 and without a name.

    Raises
    ------
    ConfigError
        If no file can be made there.
    """
    try:
        # Without a buffer: what cannot be written is said when it is, and not again when the file is closed.
        return tempfile.TemporaryFile(buffering=0, dir=folder)
    except OSError as error:
        raise ConfigError(
            f"cells_on_disk: no file can be made in {folder} ({error.strerror}); mend the folder, or set it to false."
        ) from error


def append(file: BinaryIO, cells: Cells) -> None:
    """Write some rows behind those that are there.

    Raises
    ------
    ConfigError
        If the disk is full, or fails.
    """
    try:
        left = memoryview(np.ascontiguousarray(cells, dtype=_CELL).tobytes())
        while left:  # one call may take only a part
            left = left[file.write(left) :]
    except OSError as error:
        raise ConfigError(
            f"cells_on_disk: cells cannot be written to the ledger's disk ({error.strerror}); free some of it, or set "
            "it to false."
        ) from error


def mapped(file: BinaryIO, n_rows: int, width: int) -> Cells:
    """All rows of a file, shape (n_rows, width), read-only; parts come into memory as they are read."""
    if n_rows * width == 0:
        return np.zeros((n_rows, width), dtype=_CELL)
    return np.asarray(np.memmap(file, dtype=_CELL, mode="r", shape=(n_rows, width)))
