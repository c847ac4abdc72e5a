"""Packages on disk: what is written is read, and whatever was changed is named."""

import json
import shutil
import zipfile

import pytest

from fedcredit.errors import ConfigError
from fedcredit.package.contents import DICTIONARY, HEAD, MODEL, Scale
from fedcredit.package.packing import package_files
from fedcredit.package.storage import checked_package, load_package, write_package
from fedcredit.verify.run_files import STAMP
from tests import packages, tiny, verified_runs

FILES = {"thin": {"weight": 512}, "thick": {"weight": 512}}
JOINT = {"files": FILES, "source": "x"}
BOTH_KINDS = ("bank-1", "bank-2", "hospital-1")


def run_into(folder, privacy=tiny.NONE):
    job = tiny.spec(privacy)
    verified_runs.run_job(folder, verified_runs.consortium_of(job, BOTH_KINDS), job)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_into(tmp_path_factory.mktemp("package") / "run")


def with_head(changes):
    files = packages.files()
    return {**files, HEAD: json.dumps({**json.loads(files[HEAD]), **changes}).encode()}


def test_a_run_is_packed_with_the_hashes_of_all_it_follows_from(run, tmp_path):
    files = package_files(run, Scale(), None)
    write_package(files, tmp_path / "p")
    write_package(files, tmp_path / "p.zip")
    package = load_package(tmp_path / "p")
    assert package == load_package(tmp_path / "p.zip")
    lineage = package.head.lineage
    assert set(lineage.receipts) == set(BOTH_KINDS)
    assert {"plan.json", "model.json", "dictionary.yaml", "evaluation.json", "job.json"} <= set(lineage.released)
    assert package.dictionary == tiny.dictionary()
    assert package.head.not_private
    assert (tmp_path / "p" / MODEL).read_bytes() == (run / "released" / MODEL).read_bytes()
    write_package(files, tmp_path / "q.zip")
    assert (tmp_path / "p.zip").read_bytes() == (tmp_path / "q.zip").read_bytes()


def noised(folder):
    verified_runs.run_job(folder, verified_runs.consortium_of(tiny.spec(), BOTH_KINDS), tiny.spec())
    return folder


def test_a_simulation_is_said_to_be_one_whichever_of_its_folders_is_packed(tmp_path):
    run = noised(tmp_path / "run")

    def not_private(place):
        return json.loads(package_files(place, Scale(), None)[HEAD])["not_private"]

    assert not not_private(run)
    (run / STAMP).write_text("stamped")
    assert not_private(run)
    assert not_private(run / "released")
    copied = tmp_path / "elsewhere"
    shutil.copytree(run / "released", copied)
    assert not not_private(copied)
    (copied / STAMP).write_text("stamped")
    assert not_private(copied)


def test_nothing_is_overwritten(tmp_path):
    for name in ("p", "p.zip"):
        write_package(packages.files(), tmp_path / name)
        with pytest.raises(ConfigError, match="never overwritten"):
            write_package(packages.files(), tmp_path / name)


def test_a_run_of_two_halves_is_refused(run, tmp_path):
    for path in (run / "released").glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / DICTIONARY).write_bytes(tiny.DICTIONARY.replace(b"cells: 6", b"cells: 5"))
    with pytest.raises(ConfigError, match="files are of two runs"):
        package_files(tmp_path, Scale(), None)
    (tmp_path / MODEL).write_text('{"family": "mlp"}')
    with pytest.raises(ConfigError, match="'mlp' has no points table"):
        package_files(tmp_path, Scale(), None)


@pytest.mark.parametrize("name", [MODEL, DICTIONARY])
def test_a_changed_byte_is_named(name):
    files = packages.files()
    with pytest.raises(ConfigError, match=f"{name} is not the file that was packed"):
        checked_package({**files, name: files[name] + b" "}, "p")


def test_a_model_that_was_not_released_is_named():
    head = json.loads(packages.files()[HEAD])
    head["lineage"]["released"][MODEL] = "c" * 64
    with pytest.raises(ConfigError, match=r"model\.json is not the one that the job released"):
        checked_package({**packages.files(), HEAD: json.dumps(head).encode()}, "p")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 2}, "schema version 2, not 1; upgrade"),
        ({"dictionary": "c" * 64}, "another digest than its plan names"),
        ({"extra": 1}, "extra: is not a known key"),
        ({"files": {}}, r"must list model\.json and dictionary\.yaml"),
        ({"joint": {**JOINT, "files": {**FILES, "thin": {"weight": 2049}}}}, "joint · files · thin · weight"),
        ({"joint": {**JOINT, "step": 8192, "limit": 2}}, "over 8192"),
        ({"joint": {**JOINT, "files": {"thick": {"weight": 1}}}}, "thin and thick"),
        ({"joint": {**JOINT, "files": {name: {"weight": 0} for name in FILES}}}, "λ is 0 for every file"),
        ({"joint": {**JOINT, "view": "bank", "block": "applicant"}}, "which the dictionary does not allow"),
        ({"joint": {**JOINT, "view": "clinic", "block": "hospital"}}, "which the dictionary does not allow"),
    ],
)
def test_a_changed_head_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        checked_package(with_head(changes), "p")


def edited(edit):
    """A package whose hashes hold and whose model does not fit."""
    model = packages.scorecard(packages.dictionary()).to_json()
    edit(model)
    files = packages.files()
    content = json.dumps(model).encode()
    return packages.repacked(files, content)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda m: m["features"][0]["bins"][0].update(cells=[0, 0]), "age: the bins are not made of its 13 cells"),
        (lambda m: m["features"][0]["bins"][0].update(weight=9000), "beyond ±8192"),
        (lambda m: m.update(weight_scale=512), "512 units per logit"),
        (lambda m: m["views"].update(bank=["age"]), "does not read a bank's features"),
        (lambda m: m["features"].pop(), "other features than the dictionary"),
        (lambda m: m.update(family="mlp"), "not a released scorecard"),
    ],
)
def test_a_model_that_does_not_fit_its_dictionary_is_refused(edit, said):
    with pytest.raises(ConfigError, match=said):
        checked_package(edited(edit), "p")


def test_what_is_no_package_is_said(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ConfigError, match="no model package"):
        load_package(tmp_path / "text.zip")
    with pytest.raises(ConfigError, match=r"package\.json cannot be read"):
        load_package(tmp_path)
    with pytest.raises(ConfigError, match="no model package"):
        load_package(tmp_path / "nowhere")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("other", "x")
    with pytest.raises(ConfigError, match=r"no item named 'package\.json'"):
        load_package(tmp_path / "empty.zip")


def test_a_zip_file_cannot_unfold_without_end(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(HEAD, b" " * (17 * 2**20))
    with pytest.raises(ConfigError, match="longer than 16777216 bytes"):
        load_package(tmp_path / "bomb.zip")


def test_a_view_is_asked_for_only_where_there_are_several():
    with pytest.raises(ConfigError, match="set --view to one of: bank, hospital"):
        packages.package().view(None)
    with pytest.raises(ConfigError, match="'clinic' is none"):
        packages.package().view("clinic")
    assert packages.package().view("bank") == "bank"
