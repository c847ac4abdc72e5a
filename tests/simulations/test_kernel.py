"""A simulation may choose what computes the sums: every released byte stays."""

from dataclasses import replace

import pytest

from fedcredit.models import mlp_compiled
from fedcredit.models.family import family_of
from fedcredit.models.mlp_spec import MlpSpec
from simulations.federation import JobSpec, run_in_process
from simulations.settings import read_settings
from simulations.simulate import compose_config
from tests import tiny


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """Sizes of the batches that compiled code summed."""
    sizes, compiled = [], mlp_compiled._clipped_sum

    def counted(network, inputs, *others):
        sizes.append(inputs.shape[1])
        return compiled(network, inputs, *others)

    monkeypatch.setattr(mlp_compiled, "_clipped_sum", counted)
    return sizes


def released(job: JobSpec) -> bytes:
    return family_of("mlp").final(run_in_process(tiny.federation(job), job).progress.state)


def test_a_job_releases_the_same_bytes_by_either_kernel(calls):
    model = MlpSpec(rounds=2, hidden_sizes=(6, 4), sampling_rate=0.5)
    job = replace(tiny.spec(tiny.NONE), model=model, noise_seed=1)
    by_numpy = released(job)
    assert calls == []
    assert released(replace(job, kernel="compiled")) == by_numpy
    assert sum(calls) > 400  # a half of the records in each of two rounds, and the rehearsals


def test_the_key_reaches_the_job():
    assert read_settings(compose_config(["model=mlp", "kernel=compiled"]), 3000).job.kernel == "compiled"
    assert read_settings(compose_config(["model=mlp"]), 3000).job.kernel == "numpy"
