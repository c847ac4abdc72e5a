"""SITE.yaml's ``cells_on_disk``: off unless it is said, and the same bytes leave either way."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.custodian.site_file import load_site, load_site_file
from fedcredit.data.cell_files import append, cell_files, mapped
from fedcredit.data.rows import Dataset
from fedcredit.models.additive_spec import AdditiveSpec
from fedcredit.models.family import family_of
from fedcredit.models.mlp_spec import MlpSpec
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.models.specs import ModelSpec
from simulations.federation import run_in_process
from tests import tiny

MODELS = (ScorecardSpec(rounds=2), AdditiveSpec(rounds=2), MlpSpec(rounds=2, hidden_sizes=(4,), sampling_rate=0.5))


def on_disk(data: Dataset, folder: Path) -> Dataset:
    """The same rows, with the cells in files."""
    with cell_files(folder) as files:
        append(files.train, data.train.cells)
        append(files.evaluate, data.evaluate.cells)
        train, evaluate = (mapped(file, *rows.cells.shape) for file, rows in zip(
            (files.train, files.evaluate), (data.train, data.evaluate), strict=True
        ))  # fmt: skip
    return replace(data, train=replace(data.train, cells=train), evaluate=replace(data.evaluate, cells=evaluate))


def test_records_stay_in_memory_unless_the_site_says_otherwise(site):
    assert load_site(load_site_file(site.file)).data.train.cells.flags.writeable
    site.change("SITE.yaml", cells_on_disk=True)
    before = sorted(site.folder.rglob("*"))
    assert not load_site(load_site_file(site.file)).data.train.cells.flags.writeable
    assert sorted(site.folder.rglob("*")) == before


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.family)
def test_a_job_releases_the_same_bytes(model: ModelSpec, tmp_path):
    job = replace(tiny.spec(tiny.NONE), model=model, noise_seed=3)
    in_memory = tiny.federation(job)
    members = tuple(replace(one, data=on_disk(one.data, tmp_path)) for one in in_memory.institutions)
    ended = [run_in_process(own, job).progress for own in (in_memory, replace(in_memory, institutions=members))]
    first, second = (family_of(model.family).final(progress.state) for progress in ended)
    assert first == second
    assert ended[0].evaluation["type"].tolist() == ended[1].evaluation["type"].tolist()
