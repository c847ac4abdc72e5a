"""The joint view: one cell a record, one message, and a fit that finds what is there and no more."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.data.rows import single
from fedcredit.errors import ConfigError, WireError
from fedcredit.models import joint_bins, joint_model
from fedcredit.models.family import family_of
from fedcredit.models.joint_bins import JointBins
from fedcredit.models.joint_layout import layout
from fedcredit.models.joint_model import JointModel
from fedcredit.models.joint_release import read_joint_view
from fedcredit.models.joint_spec import COUNT_SCALE, JointSpec
from fedcredit.models.scorecard_spec import MARGIN_LIMIT
from simulations.federation import run_in_process
from tests import linked_rows, tiny

SPEC, DICTIONARY = JointSpec(own_bins=6, other_bins=4), linked_rows.dictionary()
PLAN, FAMILY = layout(SPEC, DICTIONARY), family_of("joint")
SIZES = [feature.n_cells for feature in DICTIONARY.features]


def some_bins(seed: int = 0) -> JointBins:
    generator = np.random.default_rng(seed)
    own, other = (
        np.sort(generator.integers(0, most, size)) for size, most in zip(SIZES[:2], PLAN.shape[:2], strict=True)
    )
    return JointBins(own, other)


RECORDS = st.lists(st.tuples(*(st.integers(0, size - 1) for size in SIZES), st.integers(0, 1)), min_size=1, max_size=30)


@settings(max_examples=100, deadline=None)
@given(records=RECORDS, seed=st.integers(0, 5))
def test_a_record_changes_one_cell_by_one_and_a_label_two(records, seed):
    table = np.array(records)
    sent = some_bins(seed).encode()

    def counted(part: np.ndarray) -> np.ndarray:
        rows = single(part[:, :3].astype(np.uint16), part[:, 3].astype(np.uint8))
        return FAMILY.contribute(SPEC, DICTIONARY, "bank", sent, rows)[0]

    everyone, flipped = counted(table), table.copy()
    flipped[0, 3] ^= 1
    less_one, relabelled = everyone - counted(table[1:]), everyone - counted(flipped)
    assert sorted(less_one[less_one != 0].tolist()) == [COUNT_SCALE]
    assert sorted(relabelled[relabelled != 0].tolist()) == [-COUNT_SCALE, COUNT_SCALE]
    assert everyone.sum() == COUNT_SCALE * len(records)
    assert (less_one**2).sum() == FAMILY.terms(SPEC, DICTIONARY).sensitivity_squared["bank"]


def test_rows_of_many_institutions_are_counted_apart():
    parts = [linked_rows.rows(n, n) for n in (3, 40)]
    together = replace(
        parts[0], cells=np.concatenate([p.cells for p in parts]), bad=np.concatenate([p.bad for p in parts])
    )
    together = replace(together, offsets=np.array([0, 3, 43]))
    sums = joint_model.contribute(PLAN, some_bins(), together)
    for own, part in zip(sums, parts, strict=True):
        np.testing.assert_array_equal(own, joint_model.contribute(PLAN, some_bins(), part)[0])


def test_a_missing_file_counts_as_thick():
    cells = np.array([[5, 5, code] for code in (0, 1, 2)], dtype=np.uint16)
    by_file = joint_model.contribute(PLAN, some_bins(), single(cells, np.zeros(3, dtype=np.uint8)))
    assert by_file.reshape(PLAN.shape).sum(axis=(0, 1, 3)).tolist() == [COUNT_SCALE, 2 * COUNT_SCALE]


@pytest.mark.parametrize("fit", ["one", "by_file", "surface"])
def test_without_noise_the_truth_is_found(fit):
    truth = {"thin": (0.1, 1.1, 0.6), "thick": (0.1, 1.1, 0.6)} if fit == "one" else linked_rows.TRUTH
    job = linked_rows.job(tiny.NONE, fit)
    outcome = run_in_process(linked_rows.federation(job, 8_000, truth), job)
    view = read_joint_view(FAMILY.release(outcome.progress.state))
    assert view.noise_stddev == 0
    for name, expected in truth.items():
        found = view.files[name]
        values = np.array([found.intercept, found.slope, found.weight]) / 1024
        spread = np.array([found.intercept_stddev, found.slope_stddev, found.weight_stddev])
        # 4 standard errors, and what bins and shrinkage cost.
        assert np.all(np.abs(values - expected) < 4 * spread + 0.06)
    assert any(any(row) for row in view.surface) == (fit == "surface")
    assert outcome.progress.evaluation["type"].sum() == 3 * 2_000


def test_the_released_view_scores_as_custodians_do():
    job = linked_rows.job(tiny.NONE, "surface")
    outcome = run_in_process(linked_rows.federation(job, 2_000), job)
    state, rows = outcome.progress.state, linked_rows.rows(50, 9)
    view = read_joint_view(FAMILY.release(state))
    margins = FAMILY.margins(job.model, DICTIONARY, "bank", FAMILY.final(state), rows.cells)
    plan = layout(job.model, DICTIONARY)
    for margin, (own, other, file) in zip(margins.tolist(), rows.cells.tolist(), strict=True):
        part = view.files["thin" if file == 0 else "thick"]
        score = part.slope * int(plan.own_values[own]) + part.weight * int(plan.other_values[other])
        correction = view.surface[view.own_bins[own]][view.other_bins[other]]
        assert margin == part.intercept + (score + 512) // 1024 + correction


def test_heavy_noise_leaves_the_own_view():
    """At ε = .01 the counts drown; what is left is slope 1, and λ shrinks to nothing that matters."""
    # Seeded: now and then a draw leaves a little more than that.
    job = replace(linked_rows.job(tiny.LOCAL.model_copy(update={"epsilon": 0.01})), noise_seed=1)
    outcome = run_in_process(linked_rows.federation(job, 400), job)
    for found in read_joint_view(FAMILY.release(outcome.progress.state)).files.values():
        assert abs(found.slope - 1024) < 200
        assert 0 <= found.weight < 200
        assert found.weight_stddev > 0.45


def test_before_the_message_the_view_is_the_own_one():
    state = FAMILY.init(SPEC, DICTIONARY, _preflight(), np.zeros(PLAN.length), np.full(PLAN.length, 1000.0))
    model = joint_model.decode(PLAN, FAMILY.final(state))
    assert model.coefficients.tolist() == [[0, 1024, 0]] * 2


def test_noise_makes_bins_fewer():
    numbers = [joint_bins.numbers_of_bins((16, 8), 10_000, 0.2, stddev**2) for stddev in (0, 3, 10, 100)]
    assert numbers[0] == (16, 8)
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == (4, 2)


def test_bins_are_about_equal_and_cover_every_cell():
    masses = np.random.default_rng(0).random(SIZES[0] - 1)
    bins = joint_bins.equal_bins(masses, 5)
    assert len(bins) == SIZES[0]
    assert sorted(set(bins.tolist())) == [0, 1, 2, 3, 4]
    held = np.bincount(bins[:-1], weights=masses)
    assert np.all(np.abs(held / held.mean() - 1) < 0.1)
    atom = np.zeros(SIZES[1] - 1)
    atom[10] = 1.0
    assert set(joint_bins.equal_bins(atom, 4).tolist()) <= {0, 1, 2, 3}


def test_a_dictionary_of_another_shape_is_refused():
    with pytest.raises(ConfigError, match="own_view, other_block, file"):
        FAMILY.terms(SPEC, tiny.dictionary())


def test_foreign_models_are_refused():
    sent = some_bins().encode()
    with pytest.raises(WireError, match="bytes here"):
        joint_bins.decode(PLAN, sent[:-2])
    with pytest.raises(WireError, match="must be below"):
        joint_bins.decode(PLAN, np.full(sum(SIZES[:2]), 99, dtype="<u2").tobytes())
    model = JointModel(some_bins(), np.zeros((2, 3), np.int64), np.zeros(PLAN.shape[:2], np.int64))
    again = joint_model.decode(PLAN, model.encode())
    assert again.encode() == model.encode()
    with pytest.raises(WireError, match="its sender is foreign"):
        joint_model.decode(PLAN, model.encode() + b"\0")
    with pytest.raises(WireError, match="must lie within"):
        joint_model.decode(PLAN, replace(model, surface=model.surface + MARGIN_LIMIT + 1).encode())


def test_an_edited_release_is_refused():
    with pytest.raises(ConfigError, match="not a released joint view"):
        read_joint_view({"family": "joint"})


def _preflight():
    from fedcredit.preflight import Preflight

    counts = tuple(np.ones((size, 2)) for size in SIZES)
    return Preflight(counts, (0.0, 0.0, 0.0))
