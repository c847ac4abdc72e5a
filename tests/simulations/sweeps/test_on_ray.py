"""Ray as a sweep's launcher: refusals without Ray, and a sweep over a cluster of two nodes on this machine."""

import contextlib
import json
import os
import sys

import pytest

from fedcredit.errors import ConfigError
from simulations.simulate import compose_config
from simulations.sweeps.on_ray import on_ray
from tests import own_table

QUICK = ("++model.rounds=1", "federation.banks=2", "federation.hospitals=1", "privacy.delta=1e-4", "runtime=cohort")


def test_without_ray_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match="extra `ray`"):
        next(on_ray([{}], None, None))


def test_workers_are_for_this_machine() -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=r"sweep\.workers=2"):
        next(on_ray([{}], 2, "127.0.0.1:1"))


@pytest.fixture
def two_nodes(monkeypatch):
    """A head and a worker with one core each, ended by the one who started them."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.shutdown)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_points_run_on_both_nodes_of_a_cluster(two_nodes, tmp_path) -> None:
    path = own_table.write(tmp_path / "table.parquet", own_table.rows(1000))
    configs = [compose_config([*own_table.overrides(path), *QUICK, f"seed={seed}"]) for seed in range(6)]
    answers = dict(on_ray(configs, None, two_nodes.address))
    assert [answers[index].error for index in range(6)] == [None] * 6
    points = [json.loads(answers[index].finished) for index in range(6)]
    assert [point["settings"]["seed"] for point in points] == list(range(6))
    # Each node has one core, so its tasks are in processes of its own, children of its own raylet.
    assert len({point["worker"] for point in points}) >= 2
    assert str(os.getpid()) not in {point["worker"].rpartition(":")[2] for point in points}
