"""The rows of all institutions of one type, in one array: what the kernels take.

Cells are kept in the smallest unsigned type that holds them: half the memory, and half the way to the processor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.site import Site
from fedcredit.data.rows import Rows, concatenate
from fedcredit.dictionary.schema import DataDictionary
from simulations.federation import Institution

# Numbers of the vectors that are held at once: 32 MiB.
_NUMBERS = 2**22


@dataclass(frozen=True, slots=True)
class OfKind:
    """All institutions of one type.

    Attributes
    ----------
    site
        What a custodian of the type knows; the first institution's.
    members
        Shape (m,): indices in the roster, increasing.
    train, evaluate
        Their rows, in this order.
    """

    site: Site
    members: NDArray[np.int64]
    train: Rows
    evaluate: Rows


def of_kind(dictionary: DataDictionary, site: Site, institutions: Sequence[Institution]) -> OfKind:
    """Join the rows of all institutions of the site's type.

    Parameters
    ----------
    institutions
        All of the roster, in its order.
    """
    kind = site.kind
    members = [index for index, one in enumerate(institutions) if one.kind == kind]
    largest = max(feature.n_cells for feature in dictionary.owned_features(kind)) - 1
    train, evaluate = (
        _smallest(concatenate([getattr(institutions[index].data, role) for index in members]), largest)
        for role in ("train", "evaluate")
    )
    return OfKind(site, np.array(members, dtype=np.int64), train, evaluate)


def blocks(n_institutions: int, vector_length: int) -> list[slice]:
    """Institutions cut so that the vectors of one part fit into little memory."""
    size = max(1, _NUMBERS // vector_length)
    return [slice(start, min(start + size, n_institutions)) for start in range(0, n_institutions, size)]


def of_institutions(rows: Rows, part: slice) -> Rows:
    """The rows of some neighbours, as views."""
    offsets = rows.offsets[part.start : part.stop + 1]
    own = slice(int(offsets[0]), int(offsets[-1]))
    groups = None if rows.groups is None else rows.groups[own]
    return Rows(rows.cells[own], rows.bad[own], offsets - offsets[0], groups=groups)


def _smallest(rows: Rows, largest: int) -> Rows:
    cells = rows.cells.astype(np.min_scalar_type(largest), copy=False)
    # Whose a row is does not matter to sums of all rows at once.
    return Rows(np.ascontiguousarray(cells), rows.bad, rows.offsets, groups=rows.groups)
