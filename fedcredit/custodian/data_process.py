"""An institution's table is read by a process of its own, which ends once it has handed over the quantised cells.

Arrow, its buffers and every raw value end with it: what serves for months holds cells and labels, and 60 MB less. The
answer is NumPy's own format without pickle; an error comes back as its kind and its sentence. Cells that do not fit
into memory stay where that process wrote them: in files without a name, which it is handed. Meanwhile it tells through
a pipe how far it is, a line at a time.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from fedcredit.data.cell_files import CellFiles, cell_files, mapped
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.data.source_spec import SourceSpec
from fedcredit.data.units import Units
from fedcredit.errors import ConfigError, DataError, DictionaryError

# What reading may raise; anything else is a defect, whose traceback goes to standard error.
ERRORS = {error.__name__: error for error in (ConfigError, DictionaryError, DataError)}
REFUSED = 3
_READER = "fedcredit.custodian.read_data"


class DataOrder(BaseModel):
    """What is to be read, with absolute paths.

    Attributes
    ----------
    person_cap
        Rows kept per person; None where every row is a unit.
    cells_folder
        On whose disk the cells go, in files without a name; None keeps them in memory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    dictionary: Path
    mapping: Path | None
    data: Annotated[SourceSpec, Field(discriminator="kind")]
    data_key: Path
    evaluation_percent: int
    person_cap: int | None
    cells_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How far the reading of a table is; for the institution's own console.

    Attributes
    ----------
    rows
        Read so far.
    done
        Share of the table that is read and worked off, 0 to 1; None where it is read whole and then worked off.
    """

    rows: int
    done: float | None


OnReading = Callable[[Reading], None]


def unheard(_: Reading) -> None:
    """For whom nobody is told how far reading is."""


def read_apart(order: DataOrder, on_reading: OnReading = unheard) -> Dataset:
    """Have the table read, quantised and dealt to roles by another process.

    Parameters
    ----------
    on_reading
        Called now and then while it is read.

    Raises
    ------
    ConfigError, DataError
        If a file is unusable, the table does not have the declared columns, or the process died.
    """
    if order.cells_folder is None:
        return _answered(order, None, on_reading)
    with cell_files(order.cells_folder) as files:
        return _answered(order, files, on_reading)


def _answered(order: DataOrder, files: CellFiles | None, on_reading: OnReading) -> Dataset:
    code, answer = _asked(order, () if files is None else files.descriptors(), on_reading)
    if code == REFUSED:
        refused = json.loads(answer)
        raise ERRORS[refused["error"]](refused["text"])
    if code != 0:
        raise DataError(
            f"the process that reads the data ended with code {code}; look at the memory of this machine and "
            "at what was printed above."
        )
    return dataset_from_bytes(answer, order.kind, files)


def _asked(order: DataOrder, handed: tuple[int, ...], on_reading: OnReading) -> tuple[int, bytes]:
    """Exit code and answer of the process."""
    told, tells = os.pipe()
    with os.fdopen(told, encoding="ascii") as lines:
        try:
            # The same places to import from as here; -P adds none, such as the folder that the operator stands in.
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(one).absolute()) for one in sys.path)}
            child = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [sys.executable, "-P", "-m", _READER, str(tells), *map(str, handed)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                pass_fds=(tells, *handed),
                process_group=0,  # Ctrl-C reaches this process only, which ends that one
            )
        finally:
            os.close(tells)
        with child:
            try:
                return _heard(child, order, lines, on_reading)
            except BaseException:  # Ctrl-C, too: nobody waits for it any more
                child.kill()
                raise


def _heard(
    child: subprocess.Popen[bytes], order: DataOrder, lines: Iterable[str], on_reading: OnReading
) -> tuple[int, bytes]:
    """Hand the order over, listen until the process has nothing more to tell, and take its answer."""
    if child.stdin is None or child.stdout is None:
        raise DataError("the process that reads the data has no pipes; start it again.")
    with suppress(BrokenPipeError), child.stdin:  # it died at once, which its code tells
        child.stdin.write(order.model_dump_json().encode())
    for line in lines:
        on_reading(Reading(**json.loads(line)))
    answer = child.stdout.read()
    return child.wait(), answer


def dataset_to_bytes(data: Dataset, *, with_cells: bool = True) -> bytes:
    """Write a dataset as an uncompressed ``.npz``; without cells, whoever reads it has them in files."""
    arrays: dict[str, NDArray[np.generic]] = {"fingerprint": np.frombuffer(data.fingerprint, np.uint8)}
    for role, rows in (("train", data.train), ("evaluate", data.evaluate)):
        cells = rows.cells if with_cells else np.zeros((0, rows.cells.shape[1]), dtype=rows.cells.dtype)
        arrays |= {f"{role}_cells": cells, f"{role}_bad": rows.bad}
        if rows.persons is not None:
            arrays[f"{role}_persons"] = rows.persons
        if rows.groups is not None:
            arrays[f"{role}_groups"] = rows.groups
    if data.units is not None:
        arrays |= {"units": data.units.hashes, "key_check": np.frombuffer(data.units.key_check, np.uint8)}
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def dataset_from_bytes(data: bytes, kind: str, files: CellFiles | None = None) -> Dataset:
    """Read what `dataset_to_bytes` wrote; cells that it left out are mapped from `files`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:

        def rows(role: Literal["train", "evaluate"]) -> Rows:
            of_rows = (arrays.get(f"{role}_{name}") for name in ("persons", "groups"))
            cells, bad = arrays[f"{role}_cells"], arrays[f"{role}_bad"]
            if files is not None:
                cells = mapped(getattr(files, role), len(bad), cells.shape[1])
            return single(cells, bad, *of_rows)

        units = Units(arrays["key_check"].tobytes(), arrays["units"]) if "units" in arrays else None
        return Dataset(kind, rows("train"), rows("evaluate"), arrays["fingerprint"].tobytes(), units)
