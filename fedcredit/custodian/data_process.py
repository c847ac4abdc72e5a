"""An institution's table is read by a process of its own, which ends once it has handed over the quantised cells.

Arrow, its buffers and every raw value end with it: what serves for months holds cells and labels, and 60 MB less. The
answer is NumPy's own format without pickle; an error comes back as its kind and its sentence. Cells that do not fit
into memory stay where that process wrote them: in files without a name, which it is handed.
"""

import io
import json
import os
import subprocess
import sys
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


def read_apart(order: DataOrder) -> Dataset:
    """Have the table read, quantised and dealt to roles by another process.

    Raises
    ------
    ConfigError, DataError
        If a file is unusable, the table does not have the declared columns, or the process died.
    """
    if order.cells_folder is None:
        return _answered(order, None)
    with cell_files(order.cells_folder) as files:
        return _answered(order, files)


def _answered(order: DataOrder, files: CellFiles | None) -> Dataset:
    # The same places to import from as here; -P adds none, such as the folder that the operator stands in.
    handed = () if files is None else files.descriptors()
    command = [sys.executable, "-P", "-m", _READER, *map(str, handed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}
    ran = subprocess.run(  # noqa: S603  (our own interpreter and module)
        command,
        input=order.model_dump_json().encode(),
        stdout=subprocess.PIPE,
        env=environment,
        pass_fds=handed,
        process_group=0,  # Ctrl-C reaches this process only, which ends that one
        check=False,
    )
    if ran.returncode == REFUSED:
        refused = json.loads(ran.stdout)
        raise ERRORS[refused["error"]](refused["text"])
    if ran.returncode != 0:
        raise DataError(
            f"the process that reads the data ended with code {ran.returncode}; look at the memory of this machine and "
            "at what was printed above."
        )
    return dataset_from_bytes(ran.stdout, order.kind, files)


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
