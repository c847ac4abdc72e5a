"""What a package takes over from a job on linked rows, and that scores with it are those that the job evaluated."""

import json

import numpy as np
import pytest

from fedcredit.dictionary.cells import cell_bounds
from fedcredit.dictionary.schema import parse_dictionary
from fedcredit.errors import ConfigError
from fedcredit.linked.scores import block_steps, own_view
from fedcredit.models.joint_spec import JointSpec
from fedcredit.package.contents import Scale
from fedcredit.package.joint_terms import fitted_terms, linked_run_of
from fedcredit.package.packing import package_files
from fedcredit.package.storage import checked_package, load_package
from fedcredit.scoring.card import card_of
from fedcredit.scoring.joint import JointScorer
from fedcredit.wire.canonical import canonical_json
from simulations import joint_view
from simulations.federation import found, run_in_process
from simulations.run_folder import _release
from tests import tiny

DICTIONARY = parse_dictionary(
    tiny.DICTIONARY.replace(
        b"owns: [applicant, bank]", b"owns: [applicant, bank]\n    thin_when_missing: [status, bill]"
    )
)
KINDS = ("bank", "hospital")


def rows(n: int, seed: int) -> joint_view.LinkedRows:
    """A third of the files are thin; the hospital's column says more than the bank's."""
    own, other = tiny.rows("bank", n, seed), tiny.rows("hospital", n, seed + 50)
    cells = own.cells.copy()
    for column, feature in enumerate(DICTIONARY.owned_features("bank")):
        if feature.name in ("status", "bill"):
            cells[: n // 3, column] = feature.missing_cell
    return joint_view.LinkedRows(cells, other.cells, np.maximum(own.bad, other.bad))


def values_of(cells: np.ndarray, kind: str) -> list[np.ndarray]:
    """A value in each cell, as a table would hold it; NaN where it is missing."""
    out = []
    for column, feature in zip(cells.T, DICTIONARY.owned_features(kind), strict=True):
        lows = np.array([low for low, _ in cell_bounds(feature)] + [np.nan])
        out.append(lows[column])
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A base run and the one on linked rows beside it, as a simulation leaves them."""
    folder = tmp_path_factory.mktemp("joint") / "run"
    (folder / "linked").mkdir(parents=True)
    base = tiny.spec(tiny.NONE, rounds=6)
    outcome = run_in_process(found(DICTIONARY, tiny.federation(base).institutions, base), base, folder=folder)
    linked = tuple(
        joint_view.LinkedInstitution(f"bank-{seed}", rows(600, seed), rows(100, 90 + seed)) for seed in (1, 2, 3)
    )
    spec = joint_view.linked_spec(base, tiny.NONE, JointSpec())
    after = joint_view.run_joint(DICTIONARY, outcome, linked, KINDS, spec, folder=folder / "linked")
    _release(folder, DICTIONARY, outcome)
    _release(folder / "linked", after.linked, after.job)
    return folder, after


def test_scores_with_a_number_are_those_of_the_linked_job(runs):
    folder, after = runs
    terms = fitted_terms(folder, linked_run_of(folder))
    assert (terms.view, terms.block, terms.step) == ("bank", "hospital", 256)
    assert {name: (one.intercept, one.slope, one.weight) for name, one in terms.files.items()} == {
        name: (one.intercept, one.slope, one.weight) for name, one in after.view.files.items()
    }
    assert terms.files["thin"] != terms.files["thick"]
    package = checked_package(package_files(folder, Scale(), terms), "p")
    scorer = JointScorer(card_of(package, "bank"), "hospital")
    some = rows(300, 7)
    steps = block_steps(after.released, DICTIONARY, "bank", "hospital", some.other)
    assert np.abs(steps).max() <= terms.limit
    found_scores = scorer.score(values_of(some.own, "bank"), steps.astype(np.float64))
    # The job reads the own view off a grid of 1/16 logit.
    expected = after.score(some.own, some.other).pd
    logits = np.log(expected / (1 - expected)) - found_scores.margins / 1024
    slopes = np.array([one.slope for one in terms.files.values()]) / 1024
    assert np.abs(logits).max() < slopes.max() / 32 + 0.01
    own = own_view(after.released, DICTIONARY, "bank", some.own)
    assert np.abs(own - found_scores.margins / 1024).max() > 0.1


def test_another_model_s_view_is_refused(runs, tmp_path):
    folder, _ = runs
    for name in ("plan.json", "dictionary.yaml", "model.json"):
        content = (folder / "released" / name).read_bytes()
        (tmp_path / name).write_bytes(content)
    model = json.loads((tmp_path / "model.json").read_text())
    model["intercepts"]["bank"] += 1
    (tmp_path / "model.json").write_bytes(canonical_json(model))
    with pytest.raises(ConfigError, match="linked rows of another model"):
        fitted_terms(tmp_path, folder / "linked")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"surface": [[5]]}, "corrects by both scores at once"),
        ({"files": {"thin": {"slope": 9000}}}, "files · thin · slope"),
        ({"files": {"thin": {"weight": 0}, "thick": {"weight": 0}}}, None),
    ],
    ids=["surface", "slope", "no weight"],
)
def test_what_a_package_cannot_say_is_refused(runs, tmp_path, changes, said):
    folder, after = runs
    view = after.view.to_json()
    for name, one in changes.get("files", {}).items():
        view["files"][name] |= one
    view |= {name: value for name, value in changes.items() if name != "files"}
    for name in ("plan.json", "dictionary.yaml"):
        (tmp_path / name).write_bytes((folder / "linked" / "released" / name).read_bytes())
    (tmp_path / "model.json").write_bytes(canonical_json(view))
    if said is None:
        assert fitted_terms(folder, tmp_path) is None
        return
    with pytest.raises(ConfigError, match=said):
        fitted_terms(folder, tmp_path)


def test_two_blocks_at_once_are_no_one_number(runs, monkeypatch):
    folder, _ = runs
    monkeypatch.setattr("fedcredit.package.joint_terms.added_blocks", lambda *_: ("hospital", "pharmacy"))
    with pytest.raises(ConfigError, match="hospital and pharmacy as one number"):
        fitted_terms(folder, folder / "linked")


def test_the_command_packs_the_view_beside_the_run(cli, runs, tmp_path):
    folder, _ = runs
    ran = cli("model", "pack", folder, tmp_path / "p.zip")
    assert (ran.code, ran.err) == (0, "")
    assert "joint view: thin file" in ran.out
    both = ("--linked", folder / "linked", "--joint-weight", ".5", "--joint-source", "x")
    assert "give one of them" in cli("model", "pack", folder, tmp_path / "q.zip", *both).err
    loaded = load_package(tmp_path / "p.zip")
    with pytest.raises(ConfigError, match="adds block hospital to the view of a bank"):
        JointScorer(card_of(loaded, "hospital"), "bank")
    assert JointScorer(card_of(loaded, "bank"), "hospital").block == "hospital"


def test_a_run_without_linked_rows_has_no_view_beside_it(tmp_path):
    assert linked_run_of(tmp_path) is None
    (tmp_path / "linked").mkdir()
    assert linked_run_of(tmp_path / "released") == tmp_path / "linked"
