"""A table's scores, a part at a time: read, score, write, in bounded memory however long the table is.

The result is a Parquet file with one row per customer: id, probability, points, verdict, up to four reasons with the
dictionary's texts, flags, decision id, and the hashes of package, model and dictionary. It appears under its name only
when it is whole.
"""

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet
from numpy.typing import NDArray

from fedcredit.data.columns import ids
from fedcredit.data.sources import Source
from fedcredit.dictionary.mapping import Mapping
from fedcredit.errors import ConfigError
from fedcredit.scoring.card import MOST_REASONS, ScoringCard
from fedcredit.scoring.decisions import Decision, DecisionLog, subject_hash
from fedcredit.scoring.joint import JointScorer
from fedcredit.scoring.kernel import Column, TableScorer
from fedcredit.scoring.permission import Permitted, always_permitted
from fedcredit.scoring.reading import Reading, read_columns, reading_of
from fedcredit.scoring.result_table import ResultTable

CHUNK_ROWS = 65_536
_RUN_BYTES = 8


@dataclass(frozen=True, slots=True)
class Joined:
    """A peer's numbers that join the scores.

    Attributes
    ----------
    scorer
        What takes them in.
    ask
        Numbers of some customers, by their ids; NaN where there is none.
    """

    scorer: JointScorer
    ask: Callable[[Sequence[bytes]], NDArray[np.float64]]

    def numbers(self, columns: Sequence[Column], names: Sequence[bytes]) -> NDArray[np.float64]:
        """Numbers of customers whose score they would change, NaN for all others; shape (n,)."""
        useful = np.flatnonzero(self.scorer.useful(columns, len(names)))
        found = np.full(len(names), np.nan)
        found[useful] = self.ask([names[row] for row in useful.tolist()])
        return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is made of the scores.

    Attributes
    ----------
    cut_off
        Smallest number of points that is approved; None for no verdict.
    log
        Where decisions are written; None for nowhere.
    key
        The institution's secret for the log's hashes of persons; needed with a log.
    joined
        A peer's numbers, or None.
    permitted
        Raises a ConfigError while the package may not be used; asked before every part of the table.
    """

    cut_off: int | None = None
    log: DecisionLog | None = None
    key: bytes = b""
    joined: Joined | None = None
    permitted: Permitted = always_permitted


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written, in counts.

    Attributes
    ----------
    flagged
        Rows with a flag other than for a block that the whole table lacks.
    absent
        Blocks that the table lacks.
    """

    rows: int
    flagged: int
    absent: tuple[str, ...]


def score_table(
    card: ScoringCard,
    source: Source,
    mapping: Mapping | None,
    out: Path,
    wanted: Wanted | None = None,
    progress: Callable[[float, int], None] = lambda _done, _rows: None,
) -> Summary:
    """Score a table into a new Parquet file.

    Parameters
    ----------
    mapping
        The institution's columns; None for those called as the features.
    progress
        Told the share of the source that is done and the rows scored so far.

    Raises
    ------
    ConfigError
        If `out` exists or cannot be written, or the package is not permitted.
    DictionaryError, DataError
        As `fedcredit.scoring.reading.reading_of` and the source do.
    """
    chosen = wanted or Wanted()
    reading = reading_of(card, mapping, list(source.column_types()))
    final = card if chosen.joined is None else chosen.joined.scorer.card
    alone, form = TableScorer(card), ResultTable(final, secrets.token_hex(_RUN_BYTES), chosen.cut_off)
    rows = flagged = 0
    with _new_file(out) as write:
        for chunk in source.chunks(reading.columns, CHUNK_ROWS):
            chosen.permitted()
            columns, flags = read_columns(reading, chunk.table)
            if chosen.joined is None:
                scores = alone.score(columns, chunk.table.num_rows)
            else:
                numbers = chosen.joined.numbers(columns, _ids(reading, chunk.table))
                flags.append((f"block:{chosen.joined.scorer.block}", np.flatnonzero(np.isnan(numbers))))
                scores = chosen.joined.scorer.score(columns, numbers)
            named = None if reading.id_column is None else chunk.table.column(reading.id_column)
            table = form.table(named, scores, flags, rows)
            write(table)
            if chosen.log is not None:
                chosen.log.append(_decisions(table, card, chosen, _ids(reading, chunk.table)))
            rows += chunk.table.num_rows
            own = [which for label, which in flags if not label.startswith("block:")]
            flagged += len(np.unique(np.concatenate(own))) if own else 0
            progress(chunk.done, rows)
    return Summary(rows, flagged, reading.absent)


def _ids(reading: Reading, table: pa.Table) -> Sequence[bytes]:
    return [b""] * table.num_rows if reading.id_column is None else ids(table, reading.id_column)


def _decisions(table: pa.Table, card: ScoringCard, wanted: Wanted, names: Sequence[bytes]) -> Iterator[Decision]:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    for row, name in zip(table.to_pylist(), names, strict=True):
        reasons = [
            {"feature": row[key], "text": row[f"{key}_text"], "points_lost": row[f"{key}_points_lost"]}
            for key in (f"reason_{place + 1}" for place in range(MOST_REASONS))
            if row[key] is not None
        ]
        yield Decision(
            decision_id=row["decision_id"],
            at=at,
            package_hash=card.package.digest,
            subject_hash=subject_hash(wanted.key, name),
            pd=row["pd"],
            points=row["points"],
            reasons=tuple(reasons),
            flags=tuple(row["flags"]),
            verdict=row.get("verdict"),
            cut_off=wanted.cut_off,
        )


@contextmanager
def _new_file(out: Path) -> Iterator[Callable[[pa.Table], None]]:
    """A Parquet file that gets its name when the block ends without an error; the value writes a table."""
    if out.exists():
        raise ConfigError(f"{out} exists already and is never overwritten; choose another file.")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    writer: Any = None

    def write(table: pa.Table) -> None:
        nonlocal writer
        try:
            writer = writer or _writer(partial, table.schema)
            writer.write_table(table)
        except OSError as error:
            raise ConfigError(f"{out} cannot be written ({error}); choose another place.") from error

    try:
        yield write
        if writer is not None:
            writer.close()
            partial.replace(out)
    finally:
        if writer is not None:
            writer.close()
        partial.unlink(missing_ok=True)


def _writer(path: Path, schema: Any) -> Any:  # noqa: ANN401 - the stubs know neither
    # Statistics and dictionaries of ids would cost more than the scores.
    named = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    open_file: Any = pa_parquet.ParquetWriter
    return open_file(path, schema, use_dictionary=named, write_statistics=False)
