"""A custodian's table that memory does not hold: ``python -m benches.large_site [--rows N]``.

Ten million made-up records of 30 features in a Parquet file, read as a custodian with ``cells_on_disk: true`` reads
them: by a process of its own, a part at a time, into files without a name. Then what a custodian does with them: checks
of all cells, the ledger's comparison of units at a first join, passes of gradient sums and a preflight count. Seconds,
and the peak memory of both processes, mapped cells included: of this one, which is the custodian's part, and of its
child, which read.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benches.made_up import dictionary_of, text_of
from fedcredit.custodian.data_process import DataOrder, read_apart
from fedcredit.data.rows import validate_rows
from fedcredit.data.source_spec import ParquetSpec
from fedcredit.models.binned_kernel import binned_kernel_of
from fedcredit.models.binned_tables import tables_of
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.privacy.ledger_units import KnownUnits, checked_entry

ROWS, FEATURES, CELLS = 10_000_000, 30, 20
MEMORY_BAR, PASS_BAR = 2.0, 2.0
_GROUP = 250_000


def write_table(path: Path, rows: int) -> None:
    """Ids, whole numbers and labels, a row group at a time."""
    generator, writer = np.random.default_rng(0), None
    for start in range(0, rows, _GROUP):
        n = min(_GROUP, rows - start)
        columns = {"id": np.arange(start, start + n), "bad": (generator.random(n) < 0.2).astype(np.int8)}
        columns |= {f"f{number}": generator.integers(0, 1000, n, dtype=np.int16) for number in range(FEATURES)}
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def order_of(folder: Path) -> DataOrder:
    """What a site file with ``cells_on_disk: true`` asks for."""
    key, contract = folder / "data.key", folder / "dictionary.yaml"
    key.touch(mode=0o600)
    key.write_text("ab" * 32)
    contract.write_bytes(text_of(FEATURES, CELLS))
    return DataOrder(
        kind="bank",
        dictionary=contract,
        mapping=None,
        data=ParquetSpec(kind="parquet", path=folder / "rows.parquet"),
        data_key=key,
        evaluation_percent=20,
        person_cap=None,
        cells_folder=folder,
    )


def measure(folder: Path, rows: int, kernel_name: str) -> dict[str, Any]:
    """Read, count and take passes."""
    dictionary = dictionary_of(FEATURES, CELLS)
    write_table(folder / "rows.parquet", rows)
    started = time.perf_counter()
    data = read_apart(order_of(folder))
    read = time.perf_counter() - started
    for rows_of_role in (data.train, data.evaluate):
        validate_rows(rows_of_role, dictionary, "bank")
    checked_entry(KnownUnits((), b"", b"", 1), data.units)
    kernel, spec = binned_kernel_of(kernel_name), ScorecardSpec()
    sizes = tuple(feature.n_cells for feature in dictionary.features)
    own = (data.train.cells, data.train.bad, data.train.offsets)
    bins = tuple(np.arange(size, dtype=np.int64) // 2 for size in sizes)
    weights = np.random.default_rng(1).integers(-400, 401, layout(spec.max_bins, dictionary).length)
    tables, passes = tables_of(spec, dictionary, "bank", bins, weights), []
    for _ in range(5):
        started = time.perf_counter()
        kernel.residual_sums(tables, spec.residual_scale, *own)
        passes.append(time.perf_counter() - started)
    counts = kernel.class_counts(sizes, *own)
    return {
        "rows": rows,
        "features": FEATURES,
        "kernel": kernel_name,
        "counted": int(counts.sum()) // FEATURES,
        "read_seconds": read,
        "pass_seconds": statistics.median(passes),
        "custodian_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "reader_peak_gib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A custodian's table that memory does not hold.")
    parser.add_argument("--rows", type=int, default=ROWS, help="records")
    parser.add_argument("--kernel", choices=("compiled", "numpy"), default="compiled", help="what computes the sums")
    parser.add_argument("--folder", type=Path, help="where the table and the cells lie; not in memory (no tmpfs)")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fedcredit-bench-", dir=asked.folder) as folder:
        found = measure(Path(folder), asked.rows, asked.kernel)
    print(f"{found['rows']:,} records x {FEATURES} features of a Parquet file, cells on disk, kernel={asked.kernel}")
    print(f"  read, quantised, hashed   {found['read_seconds']:8.1f} s")
    print(f"  one pass over training    {found['pass_seconds']:8.2f} s    bar: at most {PASS_BAR:g}")
    for who in ("custodian", "reader"):
        print(f"  peak memory, {who:<12} {found[f'{who}_peak_gib']:8.2f} GiB  bar: at most {MEMORY_BAR:g}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
