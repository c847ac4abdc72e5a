"""Steps of an institution's own between two messages (FedAvg): all they see of the records are noised sums.

Each step draws its own sample and its own whole noise at the weights where the last one ended; the message is a
function of the noised sums alone, so it costs what they cost and nothing more. A restart in between loses nothing that
was charged: nothing is sent before the last step, and the charge of all steps is written before that.

References
----------
McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017,
arXiv 1602.05629.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedcredit.custodian.noise import step_context
from fedcredit.custodian.site import Site
from fedcredit.errors import PrivacyError
from fedcredit.models.family import LocalFamily, LocalStep, family_of
from fedcredit.plan import Plan
from fedcredit.wire.messages import RoundRequest


def take_steps(
    site: Site,
    plan: Plan,
    request: RoundRequest,
    context: bytes,
    noised_sums: Callable[[bytes, bytes], NDArray[np.int64]],
) -> NDArray[np.int64]:
    """The vector to mask and send.

    Parameters
    ----------
    context
        Names the message.
    noised_sums
        Exact sums plus noise for model bytes, under a context of their own; shape (vector_length,).

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
    model = request.model
    for step in range(steps):
        noised = LocalStep(noised_sums(model, step_context(context, step)), records)
        model = family.local_step(plan.model, site.dictionary, request.model, model, noised)
    return family.local_message(plan.model, site.dictionary, request.model, model, records)
