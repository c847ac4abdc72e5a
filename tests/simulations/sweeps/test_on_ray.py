"""Ray as a sweep's launcher: refusals without Ray, and a sweep over a cluster of two nodes on this machine."""

import contextlib
import json
import sys
from dataclasses import replace

import pytest

from fedcredit.errors import ConfigError
from simulations.simulation import compose_config
from simulations.sweeps.on_ray import on_ray
from simulations.sweeps.point import answer
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
def test_points_run_on_both_nodes_of_a_cluster(two_nodes, tmp_path, monkeypatch) -> None:
    def telling_where(config):  # defined here, so that Ray sends its code
        import ray

        return replace(answer(config), error=ray.get_runtime_context().get_node_id())

    monkeypatch.setattr("simulations.sweeps.on_ray.answer", telling_where)
    path = own_table.write(tmp_path / "table.parquet", own_table.rows(1000))
    configs = [compose_config([*own_table.overrides(path), *QUICK, f"seed={seed}"]) for seed in range(6)]
    answers = dict(on_ray(configs, None, two_nodes.address))
    points = [json.loads(answers[index].finished) for index in range(6)]
    assert [point["settings"]["seed"] for point in points] == list(range(6))
    assert {told.error for told in answers.values()} == {node.node_id for node in two_nodes.list_all_nodes()}
