"""A simulation may choose what computes the sums: every released byte stays."""

from dataclasses import replace

import pytest

from fedcredit.errors import ConfigError
from fedcredit.models import binned_torch, mlp_compiled
from fedcredit.models.binned_kernel import torch_kernel
from fedcredit.models.family import family_of
from fedcredit.models.mlp_spec import MlpSpec
from simulations.federation import JobSpec, run_in_process
from simulations.settings import read_settings
from simulations.simulation import compose_config
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


@pytest.mark.neural
@pytest.mark.parametrize("device", ["auto", "cpu"])
@pytest.mark.parametrize("has_cuda", [True, False])
def test_auto_takes_a_device_where_there_is_one(device, has_cuda, monkeypatch):
    monkeypatch.setattr(binned_torch, "has_cuda", lambda: has_cuda)
    assert torch_kernel(device) == ("torch-cuda" if has_cuda and device == "auto" else "torch-cpu")


@pytest.mark.neural
def test_a_device_that_is_not_there_is_said_and_nothing_falls_back(monkeypatch):
    monkeypatch.setattr(binned_torch, "has_cuda", lambda: False)
    with pytest.raises(ConfigError, match="torch finds no CUDA device on this machine; set device=auto or device=cpu"):
        read_settings(compose_config(["kernel=torch", "device=cuda"]), 3000)


@pytest.mark.neural
def test_torch_reaches_the_job_and_has_no_code_for_perceptrons():
    assert read_settings(compose_config(["kernel=torch", "device=cpu"]), 3000).job.kernel == "torch-cpu"
    with pytest.raises(ConfigError, match="not for perceptrons"):
        read_settings(compose_config(["kernel=torch", "device=cpu", "model=mlp"]), 3000)
