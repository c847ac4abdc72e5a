"""The process that reads an institution's table: an order on standard input, the dataset on standard output."""

import json
import os
import sys

import pyarrow as pa

from fedcredit.custodian.data_process import ERRORS, REFUSED, DataOrder, dataset_to_bytes
from fedcredit.data.columns import require_columns
from fedcredit.data.dataset import assemble_dataset
from fedcredit.data.quantise import Quantised, quantise_table
from fedcredit.data.rows import Dataset
from fedcredit.data.sources import open_source
from fedcredit.dictionary.mapping import Mapping, identity_mapping, load_mapping
from fedcredit.dictionary.schema import DataDictionary, load_dictionary
from fedcredit.errors import DataError
from fedcredit.key_files import load_data_key

_LISTED = "'fedcredit institution check SITE.yaml' lists every such column"


def read_dataset(order: DataOrder) -> Dataset:
    """Read, quantise and deal a table. No value of a record is judged.

    Raises
    ------
    ConfigError, DataError
        If a file is unusable, or the table does not have the declared columns.
    """
    dictionary = load_dictionary(order.dictionary)
    mapping = identity_mapping(dictionary, order.kind) if order.mapping is None else load_mapping(order.mapping)
    return assemble_dataset(
        _quantised(order, dictionary, mapping),
        order.kind,
        key=load_data_key(order.data_key),
        evaluation_fraction=order.evaluation_percent / 100,
        person_cap=order.person_cap,
    )


def _quantised(order: DataOrder, dictionary: DataDictionary, mapping: Mapping) -> Quantised:
    source = open_source(order.data)
    have = list(source.column_types())
    try:
        require_columns(have, mapping.columns, "the table")
        table: pa.Table = source.read(mapping.columns)
        return quantise_table(dictionary, order.kind, mapping, table)
    except DataError as error:
        # Also what an export brings that was changed since the last job.
        raise DataError(f"{str(error).rstrip('.')}; {_LISTED}.") from error


def main() -> None:
    """Read one order and answer it."""
    order = DataOrder.model_validate_json(sys.stdin.buffer.read())
    try:
        answer, code = dataset_to_bytes(read_dataset(order)), 0
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
