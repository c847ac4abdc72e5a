"""``fedcredit model pack|show|export`` on a real run."""

import json

import pytest

from fedcredit.package.storage import load_package, write_package
from tests import packages, tiny, verified_runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, job = tmp_path_factory.mktemp("command") / "run", tiny.spec(tiny.NONE)
    verified_runs.run_job(folder, verified_runs.consortium_of(job, ("bank-1", "bank-2", "hospital-1")), job)
    return folder


def test_a_run_is_packed_shown_and_exported(cli, run, tmp_path):
    out = tmp_path / "p"
    ran = cli("model", "pack", run, out, "--base-score", "500", "--joint-weight", ".25", "--joint-source", "by hand")
    assert (ran.code, ran.err) == (0, "")
    assert "NOT PRIVATE" in ran.out
    package = load_package(out)
    assert (package.head.scale.base_score, package.head.joint.files["thin"].weight) == (500, 256)
    shown = cli("model", "show", out)
    assert shown.code == 0
    assert package.digest in shown.out
    assert "thick file +0.000 + 1.000 × own view + 0.250 × block; by hand" in shown.out
    assert json.loads(cli("model", "show", out, "--json").out)["package_hash"] == package.digest
    assert cli("model", "export", out, "--to", "csv").out.startswith("Variable,Bin id,Bin,Count")
    assert 'FROM "t"' in cli("model", "export", out, "--to", "sql", "--view", "bank", "--table", "t").out
    graph = ("model", "export", out, "--to", "onnx", "--view", "bank")
    assert "is not text" in cli(*graph).err
    assert cli(*graph, "--out", tmp_path / "m.onnx").code == 0
    assert "never overwritten" in cli(*graph, "--out", tmp_path / "m.onnx").err


def test_faults_are_sentences(cli, run, tmp_path):
    assert "joint_source" not in cli("model", "pack", run, tmp_path / "a").err
    assert "source" in cli("model", "pack", run, tmp_path / "b", "--joint-weight", "1").err
    assert "at most 2, got 2.5" in cli("model", "pack", run, tmp_path / "b", "--joint-weight", "2.5").err
    assert "base_odds" in cli("model", "pack", run, tmp_path / "c", "--base-odds", "-1").err
    assert "holds no plan.json" in cli("model", "pack", tmp_path, tmp_path / "d").err
    write_package(packages.files(), tmp_path / "e")
    (tmp_path / "e" / "model.json").write_text("{}")
    ran = cli("model", "show", tmp_path / "e")
    assert (ran.code, ran.out) == (1, "")
    assert "model.json is not the file that was packed" in ran.err
