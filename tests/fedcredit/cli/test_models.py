"""``fedcredit models``: the whole life of a model, from a run's folder to a suspension by new records."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.monitoring.draft import monitor_spec
from simulations.federation import found
from tests import tiny
from tests.verified_runs import run_job

PEOPLE = {"dora": "developer", "vera": "validator", "abel": "approver"}


def institutions(seed, drift=0.0):
    """Banks and a hospital; under drift, a share of the rows has the worst status or the smallest payments."""
    members = [
        tiny.institution(name, name.split("-")[0], 1600, seed + place)
        for place, name in enumerate(("bank-1", "bank-2", "hospital-1"))
    ]
    return tuple(replace(one, data=drifted(one.data, drift, seed)) for one in members) if drift else tuple(members)


def drifted(data, share, seed):
    moved = np.random.default_rng(seed).random(data.train.n_rows) < share
    cells = data.train.cells.copy()
    cells[moved, 1] = 9 if data.kind == "bank" else 0
    return replace(data, train=replace(data.train, cells=cells))


def run(folder, model, members, name):
    job = replace(tiny.spec(tiny.NONE, name=name), model=model)
    run_job(folder, found(tiny.dictionary(), members, job), job)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A trained model, a run that finds nothing, one with drift, and one that a member has left."""
    folder = tmp_path_factory.mktemp("runs")
    trained = run(folder / "trained", ScorecardSpec(rounds=8), institutions(1), "trained")
    spec = monitor_spec(trained)
    run(folder / "calm", spec, institutions(50), "calm")
    run(folder / "drifted", spec, institutions(50, 0.6), "drifted")
    run(folder / "left", spec, institutions(50)[:2], "left")
    return folder


@pytest.fixture
def office(cli, tmp_path, runs):
    """A registry in which the trained model is approved; returns what runs a command on it."""
    people = {}
    for name, role in PEOPLE.items():
        ran = cli("models", "keygen", tmp_path / f"{name}.pem")
        people[name] = {"key": ran.out.split()[-1], "roles": [role]}
    registry = tmp_path / "REGISTRY.yaml"
    registry.touch(mode=0o600)
    thresholds = {"cut_off_pd": 0.3}
    content = {"name": "test", "registry": "r.sqlite", "people": people, "thresholds": thresholds}
    registry.write_text(yaml.safe_dump(content))

    def command(name, *words, by="", reason=""):
        signed = ["--key", tmp_path / f"{by}.pem"] if by else []
        return cli("models", name, registry, *words, *signed, *(["--reason", reason] if reason else []))

    assert command("add", "cards", runs / "trained", by="dora", reason="first").code == 0
    assert command("sandbox", "cards", by="vera", reason="validated").code == 0
    assert command("approve", "cards", by="abel", reason="committee").out == "cards is approved now\n"
    return command


def test_a_model_that_does_well_stays_approved(office, runs):
    ran = office("monitor", "cards", runs / "calm", by="abel")
    assert (ran.code, "suspend" in ran.out) == (0, False), ran.out
    assert "score of type hospital, PSI" in ran.out
    assert "approved" in office("list").out


def test_drift_suspends_and_only_an_approver_brings_it_back(office, runs):
    unsigned = office("monitor", "cards", runs / "drifted")
    assert unsigned.code == 3
    assert "with --key" in unsigned.err
    assert "approved" in office("list").out
    ran = office("monitor", "cards", runs / "drifted", by="vera")
    assert (ran.code, "cards is suspended now" in ran.err) == (3, True)
    shown = json.loads(office("show", "cards", "--json").out)
    assert shown["state"] == "suspended"
    assert "feature status drifted" in shown["history"][-1]["reason"]
    assert shown["history"][-1]["figures"]["features"]["status"]["index"] > 0.25
    assert "already" in office("monitor", "cards", runs / "drifted", by="vera").err
    refused = office("approve", "cards", by="vera", reason="fine again")
    assert (refused.code, "no approver" in refused.err) == (1, True)
    assert office("approve", "cards", by="abel", reason="recalibrated").code == 0
    assert office("verify").out.startswith("5 entries about 1 models, all hold")


def test_a_member_that_left_suspends(office, runs):
    ran = office("monitor", "cards", runs / "left", "--json")
    assert ran.code == 3
    assert json.loads(ran.out)["reasons"] == ["hospital-1 took part in training and no longer does"]


def test_figures_that_nobody_signed_suspend_nothing(office, runs, tmp_path):
    copy = tmp_path / "edited"
    shutil.copytree(runs / "calm", copy)
    counts = json.loads((copy / "released" / "counts.json").read_text())
    counts["preflight"][0]["counts"][0][0] += 500
    (copy / "released" / "counts.json").write_text(json.dumps(counts))
    ran = office("monitor", "cards", copy, by="abel")
    assert (ran.code, "does not verify" in ran.err) == (1, True)
    assert "approved" in office("list").out


def test_training_counts_that_nobody_signed_hide_no_drift(office, runs, tmp_path):
    """Doctored before the model was added, so that the registry's hash holds."""
    copy = tmp_path / "doctored"
    shutil.copytree(runs / "trained", copy)
    counts = json.loads((copy / "released" / "counts.json").read_text())
    counts["preflight"][0]["counts"][0][0] += 500
    (copy / "released" / "counts.json").write_text(json.dumps(counts))
    assert office("add", "doctored", copy, by="dora", reason="looks the same").code == 0
    ran = office("monitor", "doctored", runs / "calm", by="abel")
    assert (ran.code, f"run {copy} does not verify" in ran.err) == (1, True)


def test_figures_without_their_job_store_are_judged_by_request_only(office, runs, tmp_path):
    copy = tmp_path / "bare"
    shutil.copytree(runs / "calm" / "released", copy)
    ran = office("monitor", "cards", copy)
    assert (ran.code, "--unproved" in ran.err) == (1, True)
    assert office("monitor", "cards", copy, "--unproved").code == 0


def test_another_models_run_is_refused(office, runs):
    assert "trained a model" in office("monitor", "cards", runs / "trained").err
    assert "no model 'shops'" in office("monitor", "shops", runs / "calm").err


def test_champion_and_challenger(office, runs):
    assert office("add", "cards-2", runs / "calm", by="dora", reason="the same scores on new records").code == 0
    ran = office("compare", "cards", "cards-2", "--json")
    found = json.loads(ran.out)
    assert [one["figure"] for one in found] == ["auc", "ks", "brier"]
    assert all(one["delta"]["noise_stddev"] == 0 and one["delta"]["sampling_stddev"] > 0 for one in found)
    assert "auc" in office("compare", "cards", "cards-2").out


def test_a_challengers_figures_that_were_edited_afterwards_are_not_compared(office, runs, tmp_path):
    copy = tmp_path / "edited"
    shutil.copytree(runs / "calm", copy)
    assert office("add", "cards-3", copy, by="dora", reason="a draft, whose bytes nothing else looks at").code == 0
    figures = json.loads((copy / "released" / "evaluation.json").read_text())
    (copy / "released" / "evaluation.json").write_text(json.dumps({**figures, "auc": 0.99}))
    ran = office("compare", "cards", "cards-3")
    assert (ran.code, "its bytes have changed" in ran.err) == (1, True)


def test_a_package_is_compared_by_the_figures_in_it_or_its_report(cli, office, runs, tmp_path):
    assert cli("model", "pack", runs / "trained", tmp_path / "p.zip").code == 0
    assert office("add", "packed", tmp_path / "p.zip", by="dora", reason="the same").code == 0
    by_run, by_package = (json.loads(office("compare", "cards", name, "--json").out) for name in ("cards", "packed"))
    for one, other in zip(by_run, by_package, strict=True):
        assert (one["delta"]["value"], other["delta"]["value"]) == (0, 0)
        assert other["delta"]["high"] == pytest.approx(one["delta"]["high"], rel=1e-9)
    assert [one["delta"]["noise_stddev"] for one in by_package] == [0, None, None]
    own = tmp_path / "report.json"
    assert cli("report", runs / "trained", "--json", own).code == 0
    reported = office("compare", "cards", "packed", "--challenger-figures", own, "--json")
    assert [one["delta"]["noise_stddev"] for one in json.loads(reported.out)] == [0, 0, 0]
    assert office("add", "reported", own, by="dora", reason="a report alone").code == 0
    assert json.loads(office("compare", "cards", "reported", "--json").out)[0]["delta"]["value"] == 0
    foreign = json.loads(own.read_text())
    foreign["signatures"]["files"]["model.json"] = "00" * 32
    own.write_text(json.dumps(foreign))
    refused = office("compare", "cards", "packed", "--challenger-figures", own)
    assert "about another model than the registered one" in refused.err


def test_figures_of_another_form_are_refused_with_a_sentence(office, tmp_path):
    for content, said in (
        (b"{", "is not JSON"),
        (b"[]", "no JSON object"),
        (b'{"schema": "x"}', "has schema 'x'"),
        (b'{"schema": "fedcredit-report/1"}', "is no report of ours"),
        (b'{"auc": 1}', "about another model"),
    ):
        (tmp_path / "f.json").write_bytes(content)
        assert said in office("compare", "cards", "cards", "--champion-figures", tmp_path / "f.json").err
    assert "cannot be read" in office("compare", "cards", "cards", "--champion-figures", tmp_path / "no.json").err


def test_a_model_has_an_owner_and_a_tier(office, runs):
    said = ("--owner", "retail risk", "--tier", "1")
    assert office("add", "owned", runs / "calm", *said, by="dora", reason="x").code == 0
    shown = json.loads(office("show", "owned", "--json").out)
    assert (shown["owner"], shown["tier"]) == ("retail risk", 1)
    assert "retail risk" in office("list").out
    assert "tier: 1" in office("show", "owned").out
    assert json.loads(office("show", "cards", "--json").out)["owner"] is None
    assert office("add", "lower", runs / "calm", "--tier", "4", by="dora", reason="x").code == 2
    assert "no name for an owner" in office("add", "lower", runs / "calm", "--owner", "", by="dora", reason="x").err


def test_a_cut_off_registry_is_noticed_by_a_hash_that_was_written_down(office, runs, tmp_path):
    head = office("verify").out.split("newest ")[1].split()[0]
    assert office("verify", "--head", head).code == 0
    assert office("suspend", "cards", by="dora", reason="x").code == 0
    assert office("verify", "--head", head).code == 0
    (tmp_path / "r.sqlite").unlink()
    assert "cut back" in office("verify", "--head", head).err


def test_a_plan_is_drafted_and_never_overwritten(cli, runs, tmp_path):
    out = tmp_path / "PLAN.yaml"
    assert cli("models", "watch", runs / "trained", "--job", "w-1", "--out", out).code == 0
    assert yaml.safe_load(out.read_text())["model"]["family"] == "monitor"
    assert cli("models", "watch", runs / "trained", "--job", "w-1", "--out", out).code == 1


def test_keys_are_secret_and_never_overwritten(cli, tmp_path):
    assert cli("models", "keygen", tmp_path / "a.pem").code == 0
    assert (tmp_path / "a.pem").stat().st_mode & 0o777 == 0o600
    assert "never overwritten" in cli("models", "keygen", tmp_path / "a.pem").err
