"""Which rows take part, and in which role: by a keyed hash of a unit's own id and plan constants only.

Positions, counts, other rows and strata would let one record move another between roles, which breaks the
sensitivity on which the whole accounting rests. The key is the institution's own and never leaves it, so
nobody outside can tell a record's role.
"""

import hmac
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.keyed_hashes import keyed_hashes
from fedcredit.errors import ConfigError

MIN_KEY_BYTES = 16

_ROLE = b"fedcredit/role/1\0"
_ORDER = b"fedcredit/kept-row/1\0"
_CONTENT = b"fedcredit/content/1\0"


def evaluation_mask(ids: Sequence[bytes], key: bytes, fraction: float) -> NDArray[np.bool_]:
    """Draw the rows of phase evaluate: all rows of an id share one role.

    Parameters
    ----------
    ids
        Per row the unit's id, length n.
    key
        The institution's secret, at least 16 bytes.
    fraction
        Plan constant in [0, 1): expected share of ids.

    Returns
    -------
    NDArray[np.bool_]
        Shape (n,): True = evaluate, False = train.

    Raises
    ------
    ConfigError
        Key too short or fraction outside [0, 1).
    """
    if not 0.0 <= fraction < 1.0:
        raise ConfigError(f"the evaluation fraction must be in [0, 1), got {fraction}; set for example 0.2")
    return _hash64(ids, key, _ROLE) < np.uint64(int(fraction * 2**64))


def kept_rows(
    ids: Sequence[bytes], cells: NDArray[np.uint16], bad: NDArray[np.uint8], key: bytes, cap: int
) -> NDArray[np.bool_]:
    """Keep at most `cap` rows of each person, chosen by a keyed hash of the row's own content.

    Which rows of a person stay depends on that person's rows alone, so one person changes at most `cap` rows.

    Parameters
    ----------
    ids
        Per row the person's id, length n.
    cells, bad
        Quantised content, shapes (n, J) and (n,).
    key
        The institution's secret, at least 16 bytes.
    cap
        Plan constant k >= 1.

    Returns
    -------
    NDArray[np.bool_]
        Shape (n,). Rows with equal content are interchangeable.

    Raises
    ------
    ConfigError
        Key too short or cap below 1.
    """
    _, person = np.unique(np.array(ids, dtype=np.object_), return_inverse=True)
    return first_of_each(person, content_order(key, ids, cells, bad), cap)


def content_order(
    key: bytes, ids: Sequence[bytes], cells: NDArray[np.uint16], bad: NDArray[np.uint8]
) -> NDArray[np.uint64]:
    """Keyed number of each row by its own content, in whose order a person's rows are kept; shape (n,).

    Raises
    ------
    ConfigError
        Key too short.
    """
    return _hash64(_contents(ids, cells, bad), key, _ORDER)


def first_of_each(person: NDArray[np.int64], order_of: NDArray[np.uint64], cap: int) -> NDArray[np.bool_]:
    """The `cap` rows of each person that come first; shape (n,).

    Parameters
    ----------
    person
        Shape (n,): number of each row's person.
    order_of
        From `content_order`, of any number of parts.

    Raises
    ------
    ConfigError
        Cap below 1.
    """
    if cap < 1:
        raise ConfigError(f"the cap on a person's rows must be at least 1, got {cap}")
    order = np.lexsort((order_of, person))
    ranked = person[order]
    first = np.searchsorted(ranked, ranked, side="left")
    keep = np.empty(len(order), dtype=np.bool_)
    keep[order] = np.arange(len(order)) - first < cap
    return keep


def content_fingerprint(
    key: bytes,
    cells: NDArray[np.uint16],
    bad: NDArray[np.uint8],
    ids: Sequence[bytes] | None,
    groups: NDArray[np.uint16] | None = None,
) -> bytes:
    """Keyed hash of a set of rows, whatever their order: 32 bytes.

    Keyed, because an unkeyed hash would let anyone who sees it test guesses about the data. Group labels count where
    there are any, so that they are frozen with the rest.

    Raises
    ------
    ConfigError
        Key too short.
    """
    return fingerprint_of(key, np.frombuffer(bytearray(row_digests(key, cells, bad, ids, groups)), dtype="S32"))


def row_digests(
    key: bytes,
    cells: NDArray[np.uint16],
    bad: NDArray[np.uint8],
    ids: Sequence[bytes] | None,
    groups: NDArray[np.uint16] | None,
) -> bytes:
    """Keyed hash of each row's content, 32 bytes each, one after another; of a part of a table as of all.

    Raises
    ------
    ConfigError
        Key too short.
    """
    _check_key(key)
    rows = _contents(ids if ids is not None else [b""] * len(bad), cells, bad)
    if groups is not None:
        rows = [row + labels.astype("<u2").tobytes() for row, labels in zip(rows, groups, strict=True)]
    return b"".join(keyed_hashes(key, _CONTENT, rows))


def fingerprint_of(key: bytes, digests: NDArray[np.bytes_]) -> bytes:
    """`content_fingerprint` from the hashes of all rows, which are sorted in their place.

    Parameters
    ----------
    digests
        Shape (n,), dtype ``S32``: from `row_digests`, of any number of parts.
    """
    digests.sort()  # fixed width: numpy compares such bytes in full, and makes no copy of millions
    whole = hmac.new(key, _CONTENT + len(digests).to_bytes(8, "big"), "sha256")
    whole.update(digests.view(np.uint8).data)
    return whole.digest()


def _contents(ids: Sequence[bytes], cells: NDArray[np.uint16], bad: NDArray[np.uint8]) -> list[bytes]:
    """Spell out each row: length-prefixed id, label, cells."""
    width = 2 * cells.shape[1]
    body = np.ascontiguousarray(cells, dtype="<u2").tobytes()
    labels = bad.astype(np.uint8).tobytes()
    return [
        len(unit).to_bytes(4, "big") + unit + labels[i : i + 1] + body[i * width : (i + 1) * width]
        for i, unit in enumerate(ids)
    ]


def _hash64(messages: Sequence[bytes], key: bytes, tag: bytes) -> NDArray[np.uint64]:
    """First eight bytes of HMAC-SHA256 of each message as an integer."""
    _check_key(key)
    stream = b"".join(whole[:8] for whole in keyed_hashes(key, tag, messages))
    return np.frombuffer(stream, dtype=">u8").astype(np.uint64)


def _check_key(key: bytes) -> None:
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(f"the institution's key has {len(key)} bytes; use at least {MIN_KEY_BYTES} random bytes")
