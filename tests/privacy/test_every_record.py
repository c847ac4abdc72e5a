"""Every record that a type can have, alone, through every family and phase: none adds more than the plan states.

The other replays try chosen records. Here a small dictionary's records are all there are, with both labels, so that the
largest norm is the sensitivity itself. The model is the one that an honest coordinator sends.
"""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from fedcredit.custodian.contribute import exact_sums
from fedcredit.data.rows import Rows, single
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.models.monitor_spec import MonitorSpec
from fedcredit.plan import EvaluationTerms
from fedcredit.wire.messages import Role
from tests import linked_rows, own_module, tiny
from tests import privacy_checks as checks

GROUPED = EvaluationTerms(score_bins=10, groupings=("type", "age", "status"))
# So little that nearly every gradient is longer.
TIGHT = {"rounds": 1, "sampling_rate": 1.0, "clip_l2_norm": 0.25}
MODULE = {"module": f"{own_module.PATH}:ResidualNet", "source_sha256": own_module.source_sha256()}
MODELS = {
    "scorecard": {},
    "additive": {"model": AdditiveSpec(rounds=1)},
    "mlp": {"model": MlpSpec(hidden_sizes=(4,), **TIGHT)},
    "blocks": {"model": MlpSpec(hidden_sizes=(4,), encoder_units=3, **TIGHT)},
    "module": {"model": ModuleSpec(**TIGHT, **MODULE)},
}
CLIPPED = {"mlp", "blocks", "module"}
HISTOGRAMS = {"monitor", "joint"}


class World:
    """A job, its plan, and the model bytes of every phase."""

    def __init__(self, consortium, job):
        self.dictionary, self.plan = consortium.dictionary, consortium.plan
        self.models = checks.models(consortium, job)

    def sums(self, role, kind, rows):
        """Exact sums of the rows of each institution."""
        return exact_sums(self.plan, self.dictionary, kind, "numpy", (role, self.models[role]), rows)

    def of_each(self, role, kind, label):
        """What every possible record adds; shape (records, vector_length)."""
        cells = every_record(self.dictionary, kind)
        if self.plan.model.family == "module":  # one after the other, each a millisecond
            cells = cells[::5]
        bad = np.full(len(cells), label, dtype=np.uint8)
        return self.sums(role, kind, Rows(cells, bad, np.arange(len(cells) + 1)))

    def sensitivity_squared(self, role, kind):
        return self.plan.phases.of(role).sensitivity_squared[kind]


def every_record(dictionary, kind):
    sizes = [range(feature.n_cells) for feature in dictionary.owned_features(kind)]
    return np.array(list(product(*sizes)), dtype=np.uint16)


def norms(vectors):
    assert np.abs(vectors).max(initial=0) < 2**26  # fewer than 2^11 coordinates: nothing overflows
    return (vectors**2).sum(axis=1)


@cache
def built(name) -> World:
    if name == "joint":
        return World(linked_rows.federation(linked_rows.job(), n=60), linked_rows.job())
    job = replace(tiny.spec(), evaluation=GROUPED, **({"model": watched()} if name == "monitor" else MODELS[name]))
    return World(tiny.federation(job), job)


def watched() -> MonitorSpec:
    model = built("scorecard").models[Role.TRAIN].hex()
    bins = {"score_low": -3000, "score_high": 3000, "score_bins": 10}
    return MonitorSpec(trained_by="0" * 64, scored=tiny.spec().model, model=model, **bins)


FAMILIES = pytest.mark.parametrize("name", [*MODELS, *sorted(HISTOGRAMS)])
ROLES = pytest.mark.parametrize("role", list(Role))


@FAMILIES
@ROLES
def test_no_record_adds_more_than_what_is_charged(name, role):
    job = built(name)
    for kind in job.dictionary.kinds:
        largest = max(int(norms(job.of_each(role, kind, label)).max()) for label in (0, 1))
        stated = job.sensitivity_squared(role, kind)
        assert largest <= stated
        if role is Role.PREFLIGHT or (role is Role.TRAIN and name in HISTOGRAMS):
            assert largest == stated
        if role is Role.TRAIN and name in CLIPPED:
            assert largest > 0.99 * stated
        if role is Role.EVALUATE and name != "joint":
            assert largest * 3 == stated * {"bank": 3, "hospital": 2}[kind]  # a hospital knows no status


@FAMILIES
@ROLES
def test_a_label_changes_no_more_than_what_is_stated(name, role):
    """√2 in a histogram, once in a table of residuals, and twice where gradients are clipped: they point both ways."""
    job = built(name)
    clipped = role is Role.TRAIN and name in CLIPPED
    times = 4 if clipped else 1 if role is Role.TRAIN and name not in HISTOGRAMS else 2
    for kind in job.dictionary.kinds:
        distances = norms(job.of_each(role, kind, 0) - job.of_each(role, kind, 1))
        assert int(distances.max()) <= times * job.sensitivity_squared(role, kind)
        if clipped:
            assert distances.max() > 3.9 * job.sensitivity_squared(role, kind)


@pytest.mark.parametrize("name", sorted(CLIPPED))
def test_a_person_whose_records_are_clipped_stays_within_the_radius(name):
    job = built(name)
    for kind, number in product(job.dictionary.kinds, (2, 7)):
        cells = every_record(job.dictionary, kind)
        for record in cells[:: len(cells) // 12]:
            alike, nobody_else = np.tile(record, (number, 1)), np.zeros(number, dtype=np.int64)
            person = single(alike, np.zeros(number, dtype=np.uint8), nobody_else)
            assert norms(job.sums(Role.TRAIN, kind, person))[0] <= job.sensitivity_squared(Role.TRAIN, kind)
