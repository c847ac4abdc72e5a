"""The contribute step: exact integer sums over the institution's own rows, before noise.

The length of the result is the plan's whatever the rows hold, and so is the verdict. A model on which some records
fail and others do not would tell which of them an institution holds, exactly and for free. So every request is
rehearsed on public rows, in which each cell of each feature occurs with both labels: what it is refused for is then
no record's.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedcredit import preflight
from fedcredit.custodian.site import Site
from fedcredit.data.rows import Rows, single
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import PrivacyError
from fedcredit.evaluation import phase
from fedcredit.models.binned_kernel import binned_kernel_of
from fedcredit.models.family import Kernel, family_of
from fedcredit.plan import Plan
from fedcredit.privacy import poisson
from fedcredit.privacy.bits import BitSource
from fedcredit.wire.messages import Role


def rehearse(site: Site, plan: Plan, role: Role, model: bytes) -> None:
    """Try a request on public rows before a record is touched.

    Raises
    ------
    WireError
        If the model's bytes do not fit the plan.
    PrivacyError
        If the model family does not keep to the plan's vector.
    """
    _sums(site, plan, role, model, public_rows(site.dictionary, site.kind))


def contribute(
    site: Site, plan: Plan, role: Role, model: bytes, sampling: BitSource, context: bytes
) -> NDArray[np.int64]:
    """Exact lattice sums of one message, of which nothing may depend on a record but the numbers.

    Parameters
    ----------
    model
        The request's model bytes, rehearsed before.
    sampling, context
        Where the bits of a Poisson sample come from; unused at sampling rate 1.

    Returns
    -------
    ndarray of int64, shape (vector_length,)
    """
    if role is Role.EVALUATE:
        return _sums(site, plan, role, model, site.data.evaluate)
    rows = _sample(site.data.train, plan.phases.of(role).sampling_rate, sampling, context)
    return _sums(site, plan, role, model, rows)


def public_rows(dictionary: DataDictionary, kind: str) -> Rows:
    """Rows in which each cell of each feature that `kind` owns occurs with both labels."""
    sizes = np.array([feature.n_cells for feature in dictionary.owned_features(kind)], dtype=np.int64)
    cells = np.minimum(np.arange(sizes.max())[:, None], sizes - 1).astype(np.uint16)
    bad = np.repeat(np.array([0, 1], dtype=np.uint8), len(cells))
    return single(np.concatenate([cells, cells]), bad)


def exact_sums(
    plan: Plan, dictionary: DataDictionary, kind: str, kernel: Kernel, request: tuple[Role, bytes], rows: Rows
) -> NDArray[np.int64]:
    """Exact lattice sums of the rows of any number of institutions of one type; a custodian has one.

    Parameters
    ----------
    request
        Role, and model bytes.

    Returns
    -------
    ndarray of int64, shape (m, vector_length)

    Raises
    ------
    WireError
        If the model's bytes do not fit the plan.
    PrivacyError
        If the model family does not keep to the plan's vector.
    """
    role, model = request
    terms = plan.phases.of(role)
    match role:
        case Role.PREFLIGHT:
            sums = preflight.count(dictionary, kind, rows, binned_kernel_of(kernel).class_counts) * terms.scale
        case Role.TRAIN:
            sums = family_of(plan.model.family, kernel).contribute(plan.model, dictionary, kind, model, rows)
        case Role.EVALUATE:
            sums = phase.count(plan.model, dictionary, plan.evaluation, kind, model, rows, kernel) * terms.scale
    if sums.shape != (rows.n_institutions, terms.vector_length) or sums.dtype != np.int64:
        raise PrivacyError(f"{role.name} gave {sums.dtype} sums of shape {sums.shape}; the model family is at fault.")
    return sums


def _sums(site: Site, plan: Plan, role: Role, model: bytes, rows: Rows) -> NDArray[np.int64]:
    vector: NDArray[np.int64] = exact_sums(plan, site.dictionary, site.kind, site.kernel, (role, model), rows)[0]
    return vector


def _sample(rows: Rows, rate: float, sampling: BitSource, context: bytes) -> Rows:
    if rate == 1.0:
        return rows
    size = rows.n_units
    return rows.of_units(poisson.sample(Fraction(rate), size, sampling.stream(context, poisson.bytes_needed(size))))
