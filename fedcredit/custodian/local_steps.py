"""Steps of an institution's own between two messages (FedAvg): all they see of the records are noised sums.

Each step draws its own sample and its own whole noise at the weights where the last one ended; the message is a
function of the noised sums alone, so it costs what they cost and nothing more. A restart in between loses nothing that
was charged: nothing is sent before the last step, and the charge of all steps is written before that.

Control variates (SCAFFOLD) are means of noised sums too: everybody's comes with the model, the institution's own is
kept in memory for its next message.

References
----------
McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
arXiv 1602.05629.
"""

from collections.abc import Callable, Mapping, MutableMapping

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.noise import step_context
from fedcredit.custodian.site import Site
from fedcredit.errors import PrivacyError
from fedcredit.models.family import LocalFamily, LocalStep, family_of
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Plan
from fedcredit.wire.messages import RoundRequest


def take_steps(
    site: Site,
    plan: Plan,
    request: RoundRequest,
    context: bytes,
    noised_sums: Callable[[bytes, bytes], NDArray[np.int64]],
    controls: MutableMapping[int, NDArray[np.float64]],
) -> NDArray[np.int64]:
    """The vector to mask and send.

    Parameters
    ----------
    context
        Names the message.
    noised_sums
        Exact sums plus noise for model bytes, under a context of their own; shape (vector_length,).
    controls
        The institution's own control variate of each round that it has answered; this round's is put there. One that
        is missing after a restart leaves the steps uncorrected.

    Raises
    ------
    PrivacyError
        If the plan gives local steps to a family that knows none.
    """
    steps = plan.phases.of(request.role).local_steps
    if steps == 1:
        return noised_sums(request.model, context)
    family = family_of(plan.model.family)
    if not isinstance(family, LocalFamily):
        raise PrivacyError(f"family {plan.model.family!r} takes no local steps; its plan states {steps}.")
    records = max(1.0, plan.training_records(site.institution))
    correction = _correction(site, plan, request, family, controls)
    model, total = request.model, np.zeros(plan.phases.of(request.role).vector_length, dtype=np.int64)
    for step in range(steps):
        sums = noised_sums(model, step_context(context, step))
        total += sums
        noised = LocalStep(sums, records, correction)
        model = family.local_step(plan.model, site.dictionary, request.model, model, noised)
    own = family.control(plan.model, site.dictionary, request.model, LocalStep(total, records))
    if own is not None:
        _keep(controls, request.round, own)
    return family.local_message(plan.model, site.dictionary, request.model, model, records)


def _keep(controls: MutableMapping[int, NDArray[np.float64]], round_: int, own: NDArray[np.float64]) -> None:
    """Put a round's control variate beside the last one before it, which a retry needs; older ones take memory."""
    for old in sorted(one for one in controls if one < round_)[:-1]:
        del controls[old]
    controls[round_] = own


def _correction(
    site: Site, plan: Plan, request: RoundRequest, family: LocalFamily, controls: Mapping[int, NDArray[np.float64]]
) -> NDArray[np.float64] | float:
    """C − c_i where the type owns the coordinate; 0 before the institution has a control variate of its own."""
    common = family.control(plan.model, site.dictionary, request.model, None)
    earlier = [round_ for round_ in controls if round_ < request.round]
    if common is None or not earlier:
        return 0.0
    owned = owned_coordinates(plan, site.dictionary, request.role, site.kind)
    return np.where(owned, common - controls[max(earlier)], 0.0)
