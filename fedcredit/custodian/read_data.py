"""The process that reads an institution's table: an order on standard input, the dataset on standard output.

Of the descriptors that are its arguments, the first is of a pipe on which it tells how far it is. Two more are of files
for the cells, which then come back in none of both.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from fedcredit.custodian.data_process import (
    ERRORS,
    REFUSED,
    DataOrder,
    OnReading,
    Reading,
    dataset_to_bytes,
    unheard,
)
from fedcredit.custodian.text_log import say_no_text
from fedcredit.data.cell_files import CellFiles, cell_files, nameless_file
from fedcredit.data.chunks import Chunk
from fedcredit.data.columns import require_columns
from fedcredit.data.dataset import assemble_dataset
from fedcredit.data.in_parts import assemble_in_parts
from fedcredit.data.persons_in_parts import assemble_persons_in_parts
from fedcredit.data.quantise import quantise_table
from fedcredit.data.rows import Dataset
from fedcredit.data.sources import Source, open_source
from fedcredit.dictionary.mapping import Mapping, identity_mapping, load_mapping
from fedcredit.dictionary.schema import DataDictionary, load_dictionary
from fedcredit.errors import DataError
from fedcredit.key_files import load_data_key

_ROWS_OF_A_PART = 100_000
_UNHEARD = 4
_LISTED = "'fedcredit institution check SITE.yaml' lists every such column"


def read_dataset(order: DataOrder, on_reading: OnReading = unheard) -> Dataset:
    """Read, quantise and deal a table, a part at a time where the cells go to files. No value of a record is judged.

    Raises
    ------
    ConfigError, DataError
        If a file is unusable, or the table does not have the declared columns.
    """
    if order.cells_folder is not None:
        with cell_files(order.cells_folder) as files:
            return read_into(files, order.cells_folder, order, on_reading)
    dictionary, mapping, source, have = _opened(order)
    with _listed():
        require_columns(have, mapping.columns, "the table")
        table: pa.Table = source.read(mapping.columns)
        on_reading(Reading(table.num_rows, None))
        quantised = quantise_table(dictionary, order.kind, mapping, table)
    return assemble_dataset(
        quantised,
        order.kind,
        key=load_data_key(order.data_key),
        evaluation_fraction=order.evaluation_percent / 100,
        person_cap=order.person_cap,
    )


def read_into(files: CellFiles, folder: Path, order: DataOrder, on_reading: OnReading = unheard) -> Dataset:
    """Read, quantise and deal a table a part at a time, its cells into files, if need be by way of another in `folder`.

    Raises
    ------
    ConfigError, DataError
        As `read_dataset`, or if the disk is full.
    """
    dictionary, mapping, source, have = _opened(order)
    key, fraction = load_data_key(order.data_key), order.evaluation_percent / 100
    with _listed():
        require_columns(have, mapping.columns, "the table")
        tables = _worked_off(source.chunks(mapping.columns, _ROWS_OF_A_PART), on_reading)
        parts = (quantise_table(dictionary, order.kind, mapping, table) for table in tables)
        if order.person_cap is None:
            return assemble_in_parts(parts, order.kind, files, key=key, evaluation_fraction=fraction)
        with nameless_file(folder) as spill:
            return assemble_persons_in_parts(
                parts, order.kind, files, spill, key=key, evaluation_fraction=fraction, person_cap=order.person_cap
            )


def _worked_off(chunks: Iterable[Chunk], on_reading: OnReading) -> Iterator[pa.Table]:
    """The table's parts; each is told when the next one is asked for, which is when it has been worked off."""
    rows = 0
    for chunk in chunks:
        yield chunk.table
        rows += chunk.table.num_rows
        on_reading(Reading(rows, chunk.done))


def _opened(order: DataOrder) -> tuple[DataDictionary, Mapping, Source, list[str]]:
    """Dictionary, mapping and source, and the columns that the source has."""
    dictionary = load_dictionary(order.dictionary)
    mapping = identity_mapping(dictionary, order.kind) if order.mapping is None else load_mapping(order.mapping)
    source = open_source(order.data)
    return dictionary, mapping, source, list(source.column_types())


@contextmanager
def _listed() -> Iterator[None]:
    """Say where every column that is at fault is listed: also what an export brings that was changed since."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}; {_LISTED}.") from error


def _answer(order: DataOrder, tells: int, handed: list[int]) -> bytes:
    with os.fdopen(tells, "w", encoding="ascii", buffering=1) as pipe:

        def tell(reading: Reading) -> None:
            try:
                pipe.write(json.dumps(asdict(reading)) + "\n")
            except BrokenPipeError:  # nobody waits for the records any more
                os._exit(_UNHEARD)

        if order.cells_folder is None:
            return dataset_to_bytes(read_dataset(order, tell))
        data = read_into(CellFiles.inherited(*handed), order.cells_folder, order, tell)
        return dataset_to_bytes(data, with_cells=False)


def main() -> None:
    """Read one order and answer it; what a defect says may quote a value, and stays unsaid."""
    sys.excepthook = say_no_text
    order = DataOrder.model_validate_json(sys.stdin.buffer.read())
    tells, *handed = (int(text) for text in sys.argv[1:])
    try:
        answer, code = _answer(order, tells, handed), 0
    except tuple(ERRORS.values()) as error:
        answer, code = json.dumps({"error": type(error).__name__, "text": str(error)}).encode(), REFUSED
    except PermissionError as error:
        text = f"{error.filename} cannot be read by this account; check its owner and mode."
        answer, code = json.dumps({"error": DataError.__name__, "text": text}).encode(), REFUSED
    sys.stdout.buffer.write(answer)
    sys.stdout.flush()
    os._exit(code)  # without Arrow's own end, whose threads can abort the process after its work is done


if __name__ == "__main__":
    main()
