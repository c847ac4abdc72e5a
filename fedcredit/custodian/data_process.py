"""An institution's table is read by a process of its own, which ends once it has handed over the quantised cells.

Arrow, its buffers and every raw value end with it: what serves for months holds cells and labels, and 60 MB less. The
answer is NumPy's own format without pickle; an error comes back as its kind and its sentence.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    dictionary: Path
    mapping: Path | None
    data: Annotated[SourceSpec, Field(discriminator="kind")]
    data_key: Path
    evaluation_percent: int
    person_cap: int | None


def read_apart(order: DataOrder) -> Dataset:
    """Have the table read, quantised and dealt to roles by another process.

    Raises
    ------
    ConfigError, DataError
        If a file is unusable, the table does not have the declared columns, or the process died.
    """
    # The same places to import from as here; -P adds none, such as the folder that the operator stands in.
    command = [sys.executable, "-P", "-m", _READER]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}
    ran = subprocess.run(  # noqa: S603  (our own interpreter and module)
        command, input=order.model_dump_json().encode(), stdout=subprocess.PIPE, env=environment, check=False
    )
    if ran.returncode == REFUSED:
        refused = json.loads(ran.stdout)
        raise ERRORS[refused["error"]](refused["text"])
    if ran.returncode != 0:
        raise DataError(
            f"the process that reads the data ended with code {ran.returncode}; look at the memory of this machine and "
            "at what was printed above."
        )
    return dataset_from_bytes(ran.stdout, order.kind)


def dataset_to_bytes(data: Dataset) -> bytes:
    """Write a dataset as an uncompressed ``.npz``."""
    arrays: dict[str, NDArray[np.generic]] = {"fingerprint": np.frombuffer(data.fingerprint, np.uint8)}
    for role, rows in (("train", data.train), ("evaluate", data.evaluate)):
        arrays |= {f"{role}_cells": rows.cells, f"{role}_bad": rows.bad}
        if rows.persons is not None:
            arrays[f"{role}_persons"] = rows.persons
        if rows.groups is not None:
            arrays[f"{role}_groups"] = rows.groups
    if data.units is not None:
        arrays |= {"units": data.units.hashes, "key_check": np.frombuffer(data.units.key_check, np.uint8)}
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def dataset_from_bytes(data: bytes, kind: str) -> Dataset:
    """Read what `dataset_to_bytes` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:

        def rows(role: str) -> Rows:
            of_rows = (arrays.get(f"{role}_{name}") for name in ("persons", "groups"))
            return single(arrays[f"{role}_cells"], arrays[f"{role}_bad"], *of_rows)

        units = Units(arrays["key_check"].tobytes(), arrays["units"]) if "units" in arrays else None
        return Dataset(kind, rows("train"), rows("evaluate"), arrays["fingerprint"].tobytes(), units)
