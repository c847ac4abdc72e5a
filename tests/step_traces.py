"""Local steps for tests: what a custodian does at each step, taken down, and the fold once more in plain floats.

Nothing is replaced: the custodian's own functions run, and what goes in and comes out of them is kept.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.custodian import contribute as contribute_module
from fedcredit.custodian import custodian as custodian_module
from fedcredit.custodian import local_steps as local_steps_module
from fedcredit.custodian.custodian import Custodian
from fedcredit.models.descent_spec import DescentSpec
from fedcredit.models.mlp_model import decode
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.ownership import owned_coordinates
from fedcredit.plan import Plan, PrivacyTerms
from fedcredit.privacy import poisson
from fedcredit.privacy.bits import BitSource
from fedcredit.wire.messages import Role
from simulations.federation import JobSpec
from tests import tiny

WEIGHT = 2**20


def job(privacy: PrivacyTerms = tiny.LOCAL, **model) -> JobSpec:
    """A perceptron's job over the tiny consortium."""
    settings = {"rounds": 2, "sampling_rate": 0.25, "local_steps": 3, "hidden_sizes": (8,), "learning_rate": 0.5}
    return replace(tiny.spec(privacy), model=MlpSpec(**{**settings, **model}))


@dataclass
class Trace:
    """Per step of one message: model, where its sample's bits come from, whom it took, sums before and after noise."""

    models: list[bytes] = field(default_factory=list)
    keys: list[BitSource] = field(default_factory=list)
    contexts: list[bytes] = field(default_factory=list)
    samples: list[NDArray[np.bool_]] = field(default_factory=list)
    exact: list[NDArray[np.int64]] = field(default_factory=list)
    noised: list[NDArray[np.int64]] = field(default_factory=list)

    def noise(self, custodian: Custodian, plan: Plan) -> list[NDArray[np.float64]]:
        """Noise of each step where the institution owes it, in planned standard deviations."""
        owned = owned_coordinates(plan, custodian._site.dictionary, Role.TRAIN, custodian._site.kind)
        stddev = plan.phases.train.noise_variance[custodian._site.kind] ** 0.5
        return [(noised - exact)[owned] / stddev for noised, exact in zip(self.noised, self.exact, strict=True)]


def traced(patch: pytest.MonkeyPatch) -> Trace:
    """Keep what the custodians' training steps read and made from now on."""
    trace = Trace()
    contribute, sample, step = custodian_module.contribute, poisson.sample, local_steps_module.LocalStep

    def kept_contribute(site, plan, role, model, sampling, context):
        exact = contribute(site, plan, role, model, sampling, context)
        if role is Role.TRAIN:
            for kept, value in ((trace.models, model), (trace.keys, sampling), (trace.contexts, context)):
                kept.append(value)
            trace.exact.append(exact)
        return exact

    def kept_sample(*arguments):
        trace.samples.append(sample(*arguments))
        return trace.samples[-1]

    def kept_step(sums, records, *correction):
        if correction:  # of a step; without one, of a whole message
            trace.noised.append(sums)
        return step(sums, records, *correction)

    patch.setattr(custodian_module, "contribute", kept_contribute)
    patch.setattr(contribute_module.poisson, "sample", kept_sample)
    patch.setattr(local_steps_module, "LocalStep", kept_step)
    return trace


def units(spec: MlpSpec, model: bytes) -> list[int]:
    """A perceptron's weights in weight units."""
    return decode(spec, tiny.dictionary(), model).units.tolist()


def slow_step(
    spec: DescentSpec,
    start: list[int],
    current: list[int],
    sums: list[int],
    records: float,
    correction: list[float] | None = None,
) -> list[int]:
    """One local step, a coordinate at a time."""
    moved = []
    corrections = correction or [0.0] * len(sums)
    for first, here, total, corrected in zip(start, current, sums, corrections, strict=True):
        gradient = total / (spec.gradient_scale * spec.sampling_rate * records)
        pulled = gradient + spec.proximal * (here / WEIGHT - first / WEIGHT) + corrected
        units_moved = round((here / WEIGHT - spec.learning_rate * pulled) * WEIGHT)
        moved.append(min(max(units_moved, -8 * WEIGHT), 8 * WEIGHT))
    return moved


def slow_message(
    spec: DescentSpec,
    start: list[int],
    sums: list[list[int]],
    records: float,
    correction: list[float] | None = None,
) -> list[int]:
    """What is sent after steps on these sums."""
    here = start
    for one in sums:
        here = slow_step(spec, start, here, one, records, correction)
    divisor = spec.gradient_scale * spec.sampling_rate * records
    return [round((a - b) / WEIGHT / spec.learning_rate * divisor) for a, b in zip(start, here, strict=True)]
