"""The contribute step: exact integer sums over the institution's own rows, before noise.

Nothing here branches on a record, and the length of the result is the plan's whatever the rows hold.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fedcredit import preflight
from fedcredit.custodian.site import Site
from fedcredit.data.rows import Rows, single
from fedcredit.evaluation import phase
from fedcredit.models.family import family_of
from fedcredit.plan import Plan
from fedcredit.privacy import poisson
from fedcredit.privacy.bits import BitSource
from fedcredit.wire.messages import Role


def contribute(
    site: Site, plan: Plan, role: Role, model: bytes, sampling: BitSource, context: bytes
) -> NDArray[np.int64]:
    """Exact lattice sums of one message.

    Parameters
    ----------
    model
        The request's model bytes.
    sampling, context
        Where the bits of a Poisson sample come from; unused at sampling rate 1.

    Returns
    -------
    ndarray of int64, shape (vector_length,)

    Raises
    ------
    WireError
        If the model's bytes do not fit the plan.
    """
    terms = plan.phases.of(role)
    match role:
        case Role.PREFLIGHT:
            return preflight.count(site.dictionary, site.kind, site.data.train)[0] * terms.scale
        case Role.TRAIN:
            rows = _sample(site.data.train, terms.sampling_rate, sampling, context)
            return family_of(plan.model.family).contribute(plan.model, site.dictionary, site.kind, model, rows)[0]
        case Role.EVALUATE:
            rows = site.data.evaluate
            counts = phase.count(plan.model, site.dictionary, plan.evaluation, site.kind, model, rows)
            return counts[0] * terms.scale


def _sample(rows: Rows, rate: float, sampling: BitSource, context: bytes) -> Rows:
    if rate == 1.0:
        return rows
    mask = poisson.sample(Fraction(rate), rows.n_rows, sampling.stream(context, poisson.bytes_needed(rows.n_rows)))
    return single(rows.cells[mask], rows.bad[mask])
