"""A model under watch: a whole job over the protocol, its histogram, its sensitivity, and no other model's bytes."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from fedcredit.errors import ConfigError
from fedcredit.evaluation.score_grid import score_bins
from fedcredit.models.family import family_of
from fedcredit.models.monitor_spec import MonitorSpec
from fedcredit.monitoring.draft import monitor_plan_yaml, monitor_spec
from fedcredit.outbox.vectors import vector_in_words
from fedcredit.plan import parse_plan
from fedcredit.terms import derive
from fedcredit.verify.run_files import find_run
from fedcredit.verify.verification import holds, verify_run
from fedcredit.wire.messages import Contribution, Refusal, Role
from server.plan_file import load_plan_file
from simulations.federation import found
from tests import privacy_checks as checks
from tests import tiny
from tests.verified_runs import run_job

MONITOR = family_of("monitor")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    job = tiny.spec(tiny.NONE)
    run_job(folder, tiny.federation(job), job)
    return folder


@pytest.fixture(scope="module")
def spec(trained):
    return monitor_spec(trained)


def watching(spec, privacy=tiny.LOCAL):
    return replace(tiny.spec(privacy, name="watch"), model=spec)


@pytest.fixture(scope="module")
def consortium(spec):
    return tiny.federation(watching(spec))


def scored(spec, kind, rows):
    """The histogram as plain numpy counts it, per type, class and bin."""
    margins = family_of("scorecard").margins(spec.scored, tiny.dictionary(), kind, spec.model_bytes, rows.cells)
    edges = np.array(score_bins(spec.score_bins, spec.score_low / 1024, spec.score_high / 1024, 1024).edges)
    bins = (margins[:, None] >= edges).sum(axis=1)
    out = np.zeros((2, 2, spec.score_bins), dtype=np.int64)
    np.add.at(out, (["bank", "hospital"].index(kind), rows.bad, bins), 1)
    return out


def test_without_noise_the_job_releases_the_exact_histogram_and_verifies(spec, tmp_path):
    job = watching(spec, tiny.NONE)
    consortium = tiny.federation(job)
    driver = tiny.coordinator(consortium)
    tiny.run(driver, tiny.custodians(consortium, job))
    exact = sum(scored(spec, one.kind, one.data.train) for one in consortium.institutions)
    released = MONITOR.release(driver.progress.state)
    np.testing.assert_array_equal(released["counts"], exact)
    assert released["trained_by"] == spec.trained_by
    run_job(tmp_path / "run", consortium, job)
    assert holds(verify_run(find_run(tmp_path / "run", None)))


def test_with_noise_the_release_says_how_much(consortium, spec):
    driver = tiny.coordinator(consortium)
    tiny.run(driver, tiny.custodians(consortium, watching(spec)))
    released = MONITOR.release(driver.progress.state)
    terms = consortium.plan.phases.train
    of_two_banks = (2 * terms.noise_variance["bank"]) ** 0.5 / terms.scale
    assert released["noise_stddev"][0] == pytest.approx(of_two_banks)
    exact = sum(scored(spec, one.kind, one.data.train) for one in consortium.institutions)[0]
    noise = (np.array(released["counts"])[0] - exact) / of_two_banks
    assert 0.4 < noise.std() < 2.0


def test_a_record_is_one_count_and_so_is_its_sensitivity(consortium, spec):
    derived = derive(tiny.dictionary(), spec, consortium.plan.evaluation, 3)[Role.TRAIN]
    assert derived.sensitivity_squared == dict.fromkeys(["bank", "hospital"], 9 * derived.scale**2)
    rows = tiny.rows("bank", 40, 9)
    squared = consortium.plan.phases.train.sensitivity_squared["bank"]
    for n in (0, 1, 17, 39):
        kept = np.arange(40) != n
        fewer = replace(rows, cells=rows.cells[kept], bad=rows.bad[kept], offsets=np.array([0, 39]))
        sums = [MONITOR.contribute(spec, tiny.dictionary(), "bank", spec.model_bytes, one)[0] for one in (rows, fewer)]
        assert ((sums[0] - sums[1]) ** 2).sum() == squared


def test_a_custodian_scores_no_other_model_than_the_plans(consortium, spec):
    bank = checks.joined(consortium, watching(spec))
    checks.ask(consortium, bank, checks.round_request(consortium, Role.PREFLIGHT, b""))
    # A model like any other, but for 1/1024 logit of the last intercept.
    other = spec.model_bytes[:-4] + bytes([spec.model_bytes[-4] ^ 1]) + spec.model_bytes[-3:]
    family_of("scorecard").margins(spec.scored, tiny.dictionary(), "hospital", other, tiny.rows("hospital", 5, 1).cells)
    before = bank.ledger.event_count
    for model in (other, b"\0", spec.model_bytes + b"\0"):
        reply = checks.ask(consortium, bank, checks.round_request(consortium, Role.TRAIN, model))
        assert (type(reply), reply.code) == (Refusal, "wire")
    assert bank.ledger.event_count == before
    reply = checks.ask(consortium, bank, checks.round_request(consortium, Role.TRAIN, spec.model_bytes))
    assert isinstance(reply, Contribution)


def test_what_leaves_is_said_in_words(consortium):
    assert "score bin of the released model" in vector_in_words(consortium.plan, Role.TRAIN, 3, 1)


def test_a_plan_file_that_watches_is_drafted_from_the_run(trained, spec, tmp_path):
    text = monitor_plan_yaml(trained, "watch-1", None)
    (tmp_path / "PLAN.yaml").write_text(text)
    file = load_plan_file(tmp_path / "PLAN.yaml")
    assert file.model == spec
    assert (file.job, file.shares.preflight, file.budget_shares().reserve) == ("watch-1", 30, 10)
    assert spec.trained_by == parse_plan((trained / "released" / "plan.json").read_bytes()).digest().hex()


def test_only_a_finished_run_with_its_store_can_be_watched(trained, consortium, spec, tmp_path):
    (tmp_path / "released").mkdir()
    (tmp_path / "released" / "plan.json").write_bytes((trained / "released" / "plan.json").read_bytes())
    with pytest.raises(ConfigError, match="no job store"):
        monitor_spec(tmp_path)
    run_job(tmp_path / "watch", consortium, watching(spec))
    with pytest.raises(ConfigError, match="'monitor' cannot be watched"):
        monitor_spec(tmp_path / "watch")


@pytest.mark.parametrize(
    "change",
    [{"rounds": 2}, {"model": "0g"}, {"model": "abc"}, {"score_low": 10, "score_high": 12}, {"trained_by": "x"}],
)
def test_a_spec_that_is_none_is_refused(spec, change):
    with pytest.raises(ValidationError):
        MonitorSpec.model_validate({**spec.model_dump(), **change})


def test_a_module_is_not_scored_through_the_back_door(spec):
    module = {"family": "module", "module": "a.b:C", "source_sha256": "0" * 64, "rounds": 1}
    with pytest.raises(ValidationError, match="'scorecard', 'mlp', 'additive'"):
        MonitorSpec.model_validate({**spec.model_dump(), "scored": module})


def test_the_model_is_part_of_the_plans_hash(consortium, spec):
    flipped = bytes([spec.model_bytes[0] ^ 1]) + spec.model_bytes[1:]
    other = watching(spec.model_copy(update={"model": flipped.hex()}))
    changed = found(tiny.dictionary(), tiny.federation().institutions, other)
    assert changed.plan.digest() != consortium.plan.digest()
