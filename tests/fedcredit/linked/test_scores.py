"""The two scores of a linked row, and the dictionary under which they stand."""

import numpy as np
import pytest
import yaml

from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import ConfigError, DictionaryError
from fedcredit.linked.dictionary import OTHER_STEP, linked_dictionary
from fedcredit.linked.scores import block_steps, file_codes, linked_cells, own_view
from fedcredit.models.joint_layout import layout
from fedcredit.models.joint_spec import JointSpec
from tests import tiny
from tests.fedcredit.linked.conftest import consenting_dictionary

MODEL = bytes(32)


def weights(released: dict, name: str) -> np.ndarray:
    feature = next(one for one in released["features"] if one["name"] == name)
    table = np.zeros(sum(len(one["cells"]) for one in feature["bins"]))
    for one in feature["bins"]:
        table[one["cells"]] = one["weight"]
    return table / 1024


def test_the_own_view_is_the_released_score(released, cells):
    expected = released["intercepts"]["bank"] / 1024 + sum(
        weights(released, name)[cells[:, place]] for place, name in enumerate(("age", "status", "bill"))
    )
    assert own_view(released, tiny.dictionary(), "bank", cells) == pytest.approx(expected)


def test_the_block_is_what_its_features_add_beside_their_mean(released):
    cells = tiny.rows("hospital", 80, 4).cells
    steps = block_steps(released, tiny.dictionary(), "bank", "hospital", cells)
    spread = weights(released, "paid")[cells[:, 1]]
    offset = np.median(spread - steps * OTHER_STEP)
    assert steps.dtype == np.int64
    assert np.all(np.abs(spread - offset - steps * OTHER_STEP) <= OTHER_STEP)
    assert len(set(steps.tolist())) > 1
    other_age = cells.copy()
    other_age[:, 0] = (other_age[:, 0] + 1) % tiny.dictionary().features[0].n_cells
    np.testing.assert_array_equal(steps, block_steps(released, tiny.dictionary(), "bank", "hospital", other_age))


def test_a_file_is_thin_where_nothing_of_the_rule_is_known():
    contract = consenting_dictionary()
    age, status, bill = contract.owned_features("bank")
    known, blank = [0, 0, 0], [age.missing_cell, status.missing_cell, bill.missing_cell]
    rows = np.array([known, blank, [0, status.missing_cell, 0], [0, *blank[1:]]], dtype=np.uint16)
    assert file_codes(contract, "bank", rows).tolist() == [1, 0, 1, 0]
    assert file_codes(tiny.dictionary(), "bank", rows).tolist() == [1, 1, 1, 1]


def test_a_linked_row_stands_in_the_cell_of_its_scores():
    linked = linked_dictionary(tiny.dictionary(), "bank", "hospital", MODEL)
    own, steps = np.array([-7.0, -1.51, 0.0, 9.0]), np.array([-16, 0, 3, 16])
    cells = linked_cells(linked, own, steps, np.array([0, 1, 1, 0]))
    plan = layout(JointSpec(), linked)
    assert plan.other_values[cells[:, 1]].tolist() == (steps * OTHER_STEP * 1024).tolist()
    assert np.all(np.abs(plan.own_values[cells[1:3, 0]] / 1024 - own[1:3]) <= 1 / 32)
    assert (cells[0, 0], cells[3, 0]) == (0, len(plan.own_values) - 2)
    assert cells[:, 2].tolist() == [0, 1, 1, 0]


def test_everybody_with_the_same_model_derives_the_same_dictionary():
    linked = linked_dictionary(tiny.dictionary(), "bank", "hospital", MODEL)
    again = parse_dictionary(yaml.safe_dump(linked.model_dump(mode="json"), sort_keys=False).encode())
    assert again.digest() == linked.digest()
    assert linked.kinds == ("bank",)
    assert linked.institution_type("bank").target == tiny.dictionary().institution_type("bank").target
    assert linked_dictionary(tiny.dictionary(), "bank", "hospital", bytes([1]) * 32).digest() != linked.digest()
    assert linked_dictionary(tiny.dictionary(), "hospital", "bank", MODEL).kinds == ("hospital",)


def test_a_dictionary_without_linking_says_nothing_of_it():
    """So its digest is what it was before anybody could declare any."""
    written = tiny.dictionary().model_dump(mode="json")["institution_types"]["bank"]
    assert set(written) == {"owns", "target", "id_column"}
    declared = consenting_dictionary()
    assert set(declared.model_dump(mode="json")["institution_types"]["bank"]) == {
        *written,
        "consent",
        "thin_when_missing",
    }
    assert declared.digest() != tiny.dictionary().digest()


def test_a_type_without_a_block_of_its_own_adds_nothing():
    text = tiny.DICTIONARY.replace(b"owns: [applicant, hospital]", b"owns: [applicant, bank, hospital]")
    with pytest.raises(ConfigError, match="nothing to add"):
        linked_dictionary(parse_dictionary(text), "hospital", "bank", MODEL)


def test_a_rule_for_thin_files_names_own_features():
    text = tiny.DICTIONARY.replace(
        b"    owns: [applicant, bank]\n", b"    owns: [applicant, bank]\n    thin_when_missing: [paid]\n"
    )
    with pytest.raises(DictionaryError, match="bank: thin_when_missing names 'paid', which it does not own"):
        parse_dictionary(text)
