"""A part of a table that is read a part at a time, so that memory stays bounded whatever the table's length."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a table.

    Attributes
    ----------
    table
        The columns that were asked for, in that order.
    done
        Share of the whole source that has been read so far, 0 to 1; what is shown as progress.
    """

    table: pa.Table
    done: float
