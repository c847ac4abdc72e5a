"""Arrow columns as numbers, as code texts and as ids, without ever branching on a value.

What a column *type* cannot give raises; what a *value* cannot give is missing. Both rules hold inside a job,
where no verdict may depend on a record, so texts are matched against one pattern and everything else becomes
null before anything is converted.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.errors import DataError

# Three exponent digits at most: longer ones are no measurements, and some converters stumble over them.
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,19}", re.ASCII)
_WHOLE = r"^\+?(-?[0-9]+)(\.0*)?$"


def numbers(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Read a column as numbers.

    Returns
    -------
    NDArray[np.float64]
        Shape (n,); NaN where the value is missing or cannot be read.

    Raises
    ------
    DataError
        The column's type holds no numbers (a date, a list, …).
    """
    array = _plain(table, column)
    if pa.types.is_string(array.type):
        text = _trimmed(array)
        text = pc.if_else(pc.match_substring_regex(text, _NUMBER), text, pa.scalar(None, pa.binary()))
        text = pc.replace_substring_regex(text, pattern=r"^\+", replacement="")
        array = text.cast(pa.string())
    elif not _numeric(array.type):
        raise _wrong_type(column, array.type, "numbers", "a number or text")
    values = array.cast(pa.float64(), safe=False)
    if values.null_count == 0:  # as it lies: the other way loads pandas wherever that is installed
        return np.asarray(np.from_dlpack(values), dtype=np.float64)
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def positions(table: pa.Table, column: str, codes: Sequence[str]) -> NDArray[np.int64]:
    """Find each value of a column among `codes`.

    Values are compared as text: trimmed, and whole numbers in one spelling (``1.0`` and ``+1`` as ``1``).

    Returns
    -------
    NDArray[np.int64]
        Shape (n,): position in `codes`, -1 where the value is not among them or missing.

    Raises
    ------
    DataError
        The column's type holds no codes (a date, a list, …).
    """
    array = _plain(table, column)
    if pa.types.is_integer(array.type):
        # The same, sooner: the text of an integer is its decimal spelling, so other codes match none.
        return _integer_positions(array, codes)
    found = pc.index_in(_code_texts(table, column), value_set=pa.array([code.encode() for code in codes], pa.binary()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(zero_copy_only=False), dtype=np.int64)


def ids(table: pa.Table, column: str) -> tuple[bytes, ...]:
    """Read an id column in the spelling of `positions`; a missing id is ``b""``.

    Raises
    ------
    DataError
        The column's type is neither whole numbers nor text: a fraction is no stable id.
    """
    kind = _plain(table, column).type
    if not (pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise _wrong_type(column, kind, "ids", "whole numbers or text")
    texts = _code_texts(table, column)
    return tuple((pc.fill_null(texts, b"") if texts.null_count else texts).to_pylist())


def blank(table: pa.Table, column: str) -> NDArray[np.bool_]:
    """Tell which values of a column are null or empty; shape (n,)."""
    array = _plain(table, column)
    if pa.types.is_integer(array.type):
        return _nulls(array)
    empty: Any = pc.equal(pc.fill_null(_code_texts(table, column), b""), pa.scalar(b"", pa.binary()))
    return np.asarray(empty.to_numpy(zero_copy_only=False), dtype=np.bool_)


def require_columns(have: Sequence[str], names: Sequence[str], where: str) -> None:
    """Raise one DataError that lists every column that is missing or stands twice."""
    missing = [name for name in names if name not in have]
    if missing:
        raise DataError(f"{where} lacks {_count(missing)}: {', '.join(missing)}; add or map them")
    twice = [name for name in names if list(have).count(name) > 1]
    if twice:
        raise DataError(f"{where} has {_count(twice)} more than once: {', '.join(twice)}; rename the copies")


def _integer_positions(array: Any, codes: Sequence[str]) -> NDArray[np.int64]:  # noqa: ANN401
    """Position of each integer among the codes, -1 where it is none of them or missing."""
    width = array.type.bit_width
    signed = pa.types.is_signed_integer(array.type)
    low, high = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1)
    spelled = {int(code): place for place, code in reversed([*enumerate(codes)]) if _INTEGER.fullmatch(code)}
    known = sorted((number, place) for number, place in spelled.items() if low <= number <= high)
    whole = pc.fill_null(array, 0) if array.null_count else array
    values = np.from_dlpack(whole)
    if not known:
        return np.full(len(values), -1, dtype=np.int64)
    numbers = np.array([number for number, _ in known], dtype=values.dtype)
    places = np.array([place for _, place in known], dtype=np.int64)
    nearest = np.minimum(np.searchsorted(numbers, values), len(known) - 1)
    return np.where((numbers[nearest] == values) & ~_nulls(array), places[nearest], -1)


def _nulls(array: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    return np.from_dlpack(array.is_null().cast(pa.uint8())).astype(np.bool_)


def _code_texts(table: pa.Table, column: str) -> Any:  # noqa: ANN401 - an Arrow array of type binary
    array = _plain(table, column)
    if not (pa.types.is_string(array.type) or _numeric(array.type)):
        raise _wrong_type(column, array.type, "codes", "text or a number")
    text = pc.replace_substring_regex(_trimmed(array.cast(pa.string())), pattern=_WHOLE, replacement=r"\1")
    return pc.replace_substring_regex(text, pattern="^-0+$", replacement="0")


def _trimmed(array: Any) -> Any:  # noqa: ANN401
    # As bytes: kernels for text raise on broken UTF-8, which would let a record decide whether a job runs.
    return pc.replace_substring_regex(array.cast(pa.binary()), pattern=r"^\s+|\s+$", replacement="")


def _plain(table: pa.Table, column: str) -> Any:  # noqa: ANN401
    """Return one contiguous array, with dictionary encoding, large strings and foreign wrappers undone."""
    array: Any = table.column(column).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    return array


def _numeric(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def _wrong_type(column: str, kind: pa.DataType, wanted: str, remedy: str) -> DataError:
    return DataError(f"column {column!r} has type {kind}, which holds no {wanted}; convert it to {remedy}")


def _count(names: list[str]) -> str:
    return "the column" if len(names) == 1 else f"{len(names)} columns"
