"""The family of user-written modules: sensitivity, bytes, scoring, whole jobs."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit import preflight
from fedcredit.data.rows import Rows, concatenate, single
from fedcredit.errors import WireError
from fedcredit.models.descent import WEIGHT_SCALE, on_grid
from fedcredit.models.family import LocalFamily, family_of
from fedcredit.models.module_family import ModuleFamily
from fedcredit.models.module_inputs import inputs_of
from fedcredit.models.module_loading import network_of
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.models.network_model import NetworkModel, decode
from fedcredit.wire.canonical import canonical_json
from tests import own_module, tiny

pytestmark = pytest.mark.neural

FAMILY = family_of("module")
DICTIONARY = tiny.dictionary()


def spec_of(name: str, **changes: Any) -> ModuleSpec:
    return ModuleSpec(
        module=f"{own_module.PATH}:{name}",
        source_sha256=own_module.source_sha256(),
        **{"rounds": 4, "sampling_rate": 1.0, "clip_l2_norm": 0.5, **changes},
    )


SPEC = spec_of("ResidualNet")
LENGTH = (6 * 5 + 5) + (5 + 5) + 2 * (5 * 5 + 5) + (5 + 1)  # 4 features and 2 types in


def released(*parts: tuple[str, Rows]) -> preflight.Preflight:
    sums = sum(preflight.count(DICTIONARY, kind, rows).sum(axis=0) for kind, rows in parts)
    return preflight.read_release(DICTIONARY, sums, 1, dict.fromkeys(range(4), 0))


@cache
def start(spec: str = "ResidualNet", init_seed: int = 0) -> Any:
    parts = (("bank", tiny.rows("bank", 300, 1)), ("hospital", tiny.rows("hospital", 300, 2)))
    chosen = spec_of(spec, init_seed=init_seed)
    length = FAMILY.terms(chosen, DICTIONARY).vector_length
    return FAMILY.init(chosen, DICTIONARY, released(*parts), np.zeros(length), np.full(length, 600.0))


def model_with(seed: int, size: float = 0.5) -> bytes:
    weights = size * np.random.default_rng(seed).standard_normal(LENGTH)
    return NetworkModel(start().values, on_grid(weights)).encode()


def sums_of(model: bytes, rows: Rows, kind: str = "bank", spec: ModuleSpec = SPEC) -> np.ndarray:
    return FAMILY.contribute(spec, DICTIONARY, kind, model, rows)


def taken(rows: Rows, chosen: Any) -> Rows:
    return single(rows.cells[chosen], rows.bad[chosen])


# --- the plan's side -----------------------------------------------------------------------------------------------


def test_terms_follow_from_the_plan_alone():
    terms = FAMILY.terms(SPEC, DICTIONARY)
    assert isinstance(FAMILY, LocalFamily)
    assert (terms.vector_length, terms.scale, terms.sampling_rate, terms.local_steps) == (LENGTH, 2**20, 1.0, 1)
    assert terms.clips_units
    assert dict(terms.sensitivity_squared) == {"bank": 2**38, "hospital": 2**38}
    assert all(
        FAMILY.owned_coordinates(SPEC, DICTIONARY, kind).tolist() == [True] * LENGTH for kind in DICTIONARY.kinds
    )


# --- contribute ----------------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["bank", "hospital"]), st.floats(0.01, 8))
def test_removing_a_record_takes_exactly_its_own_integers_away(seed, kind, size):
    model, rows = model_with(seed, size), tiny.rows(kind, 6, seed)
    moved = sums_of(model, rows, kind) - sums_of(model, taken(rows, slice(1, None)), kind)
    own = sums_of(model, taken(rows, [0]), kind)
    np.testing.assert_array_equal(moved, own)
    assert sum(int(value) ** 2 for value in own[0]) <= SPEC.clip_radius**2


@pytest.mark.parametrize("place", [0, 7, 39])
def test_a_module_that_changes_itself_at_weights_of_the_coordinators_choice_carries_nothing_on(place):
    spec, rows = spec_of("Shrinks"), tiny.rows("bank", 40, 1)
    length = FAMILY.terms(spec, DICTIONARY).vector_length
    units = np.random.default_rng(2).integers(-(2**19), 2**19, length).astype(np.int32)
    units[-5:-1] = 2**23  # the last layer's weights
    model = NetworkModel(decode(DICTIONARY, LENGTH, model_with(2), "module").values, units).encode()
    alone, others = np.arange(40) == place, np.arange(40) != place
    apart = [sums_of(model, taken(rows, chosen), spec=spec) for chosen in (alone, others)]
    np.testing.assert_array_equal(sums_of(model, rows, spec=spec), np.sum(apart, axis=0))
    scores = FAMILY.margins(spec, DICTIONARY, "bank", model, rows.cells)
    assert scores[place] == FAMILY.margins(spec, DICTIONARY, "bank", model, rows.cells[[place]])[0]


def test_a_large_gradient_reaches_the_radius_so_clipping_is_not_loose():
    rows = taken(tiny.rows("bank", 40, 0), slice(None))
    norms = [sum(int(v) ** 2 for v in sums_of(model_with(1, 4.0), taken(rows, [i]))[0]) for i in range(40)]
    assert 0.999 * SPEC.clip_radius**2 < max(norms) <= SPEC.clip_radius**2


def test_order_chunks_and_institutions_change_nothing(monkeypatch):
    model = model_with(3)
    parts = [tiny.rows("bank", n, n) for n in (7, 1, 13)]
    parts.insert(1, taken(parts[0], []))
    alone = [sums_of(model, part)[0] for part in parts]
    together = sums_of(model, concatenate(parts))
    np.testing.assert_array_equal(together, alone)
    assert not together[1].any()
    order = np.random.default_rng(0).permutation(13)
    np.testing.assert_array_equal(sums_of(model, taken(parts[3], order))[0], alone[3])
    monkeypatch.setattr("fedcredit.models.module_family._CHUNK_RECORDS", 3)
    np.testing.assert_array_equal(sums_of(model, concatenate(parts)), together)


def test_all_records_of_a_person_together_stay_within_the_radius():
    rows = tiny.rows("bank", 12, 5)
    person = replace(rows, cells=rows.cells[[0] * 12], bad=rows.bad[[0] * 12], persons=np.repeat([0, 1], [10, 2]))
    vector = sums_of(model_with(1, 4.0), person.of_units(np.array([True, False])))[0]
    squared = sum(int(value) ** 2 for value in vector)
    assert 0.99 * SPEC.clip_radius**2 < squared <= SPEC.clip_radius**2


def test_no_failure_depends_on_a_record():
    spec = spec_of("Fails")  # it raises on banks' records and gives NaN on hospitals'
    for kind in ("bank", "hospital"):
        sums = FAMILY.contribute(spec, DICTIONARY, kind, model_with(1), tiny.rows(kind, 3, 1))
        np.testing.assert_array_equal(sums, np.zeros((1, LENGTH)))


# --- the coordinator's side ----------------------------------------------------------------------------------------


def test_the_start_is_the_public_seed_and_the_constructors_constants():
    torch.manual_seed(3)
    network, weights = network_of(SPEC, 6), start().descent.weights
    network_of.__globals__["_network"].cache_clear()
    torch.manual_seed(4)
    np.testing.assert_array_equal(start.__wrapped__().descent.weights, weights)
    parts = dict(zip(network.names, np.split(weights, np.cumsum(network.sizes)[:-1]), strict=True))
    assert parts["norm.weight"].tolist() == [1.0] * 5
    assert all(not parts[name].any() for name in parts if name.endswith("bias"))
    assert 0.3 < np.abs(parts["first.weight"]).max() <= 6**-0.5
    assert 0.2 < np.abs(parts["last.weight"]).max() <= 5**-0.5
    assert np.mean(parts["first.weight"] != start(init_seed=1).descent.weights[:30]) > 0.5


def test_a_tied_parameter_stands_once_and_an_unused_one_stays():
    spec = spec_of("Tied", arguments={"scale": 0.25})
    network = network_of(spec, 6)
    assert network.names == ("unused", "scale", "first.weight", "first.bias", "last.weight", "last.bias")
    state = start("Tied")
    sums = FAMILY.contribute(spec, DICTIONARY, "bank", FAMILY.broadcast(state), tiny.rows("bank", 20, 1))
    assert not sums[0, :3].any()
    assert sums[0, 3:].any()


def test_a_step_divides_by_the_public_constants_only():
    sums = np.arange(LENGTH, dtype=np.int64) * 1000
    moved = start().descent.weights - FAMILY.update(start(), sums).descent.weights
    np.testing.assert_allclose(moved, SPEC.learning_rate * sums / (2**20 * 600), rtol=0, atol=1e-14)


def test_training_sorts_good_from_bad():
    spec = spec_of("ResidualNet", rounds=8, learning_rate=4.0, clip_l2_norm=2.0)
    parts = {kind: tiny.rows(kind, 150, seed) for kind, seed in (("bank", 1), ("hospital", 2))}
    state = FAMILY.init(spec, DICTIONARY, released(*parts.items()), np.zeros(LENGTH), np.full(LENGTH, 300.0))
    for _ in range(spec.rounds):
        model = FAMILY.broadcast(state)
        state = FAMILY.update(state, sum(sums_of(model, rows, kind, spec)[0] for kind, rows in parts.items()))
    for kind, seed in (("bank", 11), ("hospital", 12)):
        rows = tiny.rows(kind, 300, seed)
        margins = FAMILY.margins(spec, DICTIONARY, kind, FAMILY.final(state), rows.cells)
        assert margins[rows.bad == 1].mean() - margins[rows.bad == 0].mean() > 512  # half a logit, on rows never seen


# --- bytes, scoring, release ---------------------------------------------------------------------------------------


def test_model_bytes_survive_a_round_trip_and_have_one_length():
    data = model_with(7)
    model = decode(DICTIONARY, LENGTH, data, "module")
    assert model.encode() == data
    assert len(data) == 2 * sum(feature.n_cells for feature in DICTIONARY.features) + 4 * LENGTH
    assert data[:2] == int(model.values[0][0]).to_bytes(2, "little", signed=True)
    assert data[-4:] == int(model.units[-1]).to_bytes(4, "little", signed=True)
    for wrong in (data[:-1], data + b"\0", data[:-4], b""):
        with pytest.raises(WireError, match=f"has {len(data)} bytes, got {len(wrong)}"):
            sums_of(wrong, tiny.rows("bank", 1, 0))
        with pytest.raises(WireError, match=f"has {len(data)} bytes"):
            FAMILY.margins(SPEC, DICTIONARY, "bank", wrong, tiny.rows("bank", 1, 0).cells)


@pytest.mark.parametrize(("place", "value"), [(slice(0, 2), 3073), (slice(-4, None), 2**23 + 1)])
def test_bytes_beyond_the_public_ranges_are_refused(place, value):
    data = bytearray(model_with(7))
    data[place] = value.to_bytes(len(data[place]), "little")
    with pytest.raises(WireError, match="public value ranges"):
        decode(DICTIONARY, LENGTH, bytes(data), "module")


@pytest.mark.parametrize("view", ["bank", "hospital"])
def test_margins_are_the_modules_log_odds(view):
    data, rows = model_with(5), tiny.rows(view, 30, 9)
    model = decode(DICTIONARY, LENGTH, data, "module")
    module = own_module.ResidualNet(6).double()
    torch.nn.utils.vector_to_parameters(torch.tensor(model.units / WEIGHT_SCALE), module.parameters())
    with torch.no_grad():
        logits = module(torch.tensor(inputs_of(DICTIONARY, view, model.values, rows.cells)))[:, 0].numpy()
    margins = FAMILY.margins(SPEC, DICTIONARY, view, data, rows.cells)
    assert margins.dtype == np.int64
    np.testing.assert_allclose(margins, 1024 * logits, rtol=0, atol=0.5 + 1e-6)


def test_inputs_are_the_public_values_of_the_owned_features_and_the_type():
    rows, values = tiny.rows("hospital", 5, 1), start().values
    inputs = inputs_of(DICTIONARY, "hospital", values, rows.cells)
    for record, cells in zip(inputs, rows.cells, strict=True):
        expected = [values[0][cells[0]] / 1024, 0, 0, values[3][cells[1]] / 1024, 0, 1]
        assert record.tolist() == expected


def test_the_release_is_canonical_json_with_the_final_integers():
    state = FAMILY.update(start(), np.arange(LENGTH, dtype=np.int64) * 10**4)
    value = FAMILY.release(state)
    assert canonical_json(value) == canonical_json(FAMILY.release(state))
    numbers = [number for one in value["parameters"] for number in one["weights"]]
    assert numbers == decode(DICTIONARY, LENGTH, FAMILY.final(state), "module").units.tolist()
    assert value["parameters"][0] == {"name": "first.weight", "shape": [5, 6], "weights": numbers[:30]}
    assert (value["module"], value["source_sha256"]) == (SPEC.module, SPEC.source_sha256)


# --- the seam ------------------------------------------------------------------------------------------------------

LOCAL_STEPS = {"local_steps": 2, "proximal": 0.01, "learning_rate": 1.0}


@pytest.mark.parametrize(
    ("privacy", "changes"),
    [(tiny.LOCAL, {}), (tiny.SHARED, {}), (tiny.LOCAL, LOCAL_STEPS), (tiny.NONE, {})],
    ids=["local", "distributed", "local steps", "none"],
)
def test_coordinator_and_custodians_run_it_like_any_family(privacy, changes):
    if privacy is tiny.SHARED:
        privacy = privacy.model_copy(update={"min_owners": 1, "colluders": 1})
    job = replace(tiny.spec(privacy), model=spec_of("ResidualNet", rounds=2, sampling_rate=0.1, **changes))
    consortium = tiny.federation(job)
    members, driver = tiny.custodians(consortium, job), tiny.coordinator(consortium)
    tiny.run(driver, members)
    assert driver.progress.next_phase == "done"
    assert isinstance(FAMILY, ModuleFamily)
    assert driver.progress.state.descent.rounds_done == 2
    assert canonical_json(FAMILY.release(driver.progress.state))
