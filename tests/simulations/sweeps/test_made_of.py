"""One folder holds figures of one version of everything that its settings name, whole."""

import json
import os
from dataclasses import replace

import pytest

from fedcredit.errors import ConfigError
from simulations.simulation import compose_config
from simulations.sweeps.made_of import made_of
from simulations.sweeps.point import FinishedPoint, answer, check, point_of
from simulations.sweeps.store import SweepFolder, _whole, arrow_table
from simulations.sweeps.sweep import _keys, _require_same
from tests import own_table
from tests.simulations.sweeps.conftest import finished

QUICK = ("++model.rounds=1", "runtime=cohort", "compare=false", "privacy=none", "federation.banks=1", "seed=3")
MODULE = "class Net: pass  # {}\n"


def of_table(path, *overrides: str):
    return compose_config([*own_table.overrides(path), *QUICK, "federation.hospitals=1", *overrides])


def rewrite(path, text: str) -> None:
    path.write_text(text)
    now = path.stat()
    os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns + 1_000_000_000))  # clocks of file systems may be coarse


def test_an_edited_module_is_another_point(tmp_path, monkeypatch) -> None:
    """Its setting names a class, so a sweep once went on with figures of the file as it had been."""
    file = tmp_path / "my_sweep_net.py"
    file.write_text(MODULE.format(1))
    monkeypatch.syspath_prepend(str(tmp_path))
    config = compose_config(["model=module", "model.module=my_sweep_net:Net"])
    before = point_of(0, config)
    rewrite(file, MODULE.format(2))
    after = point_of(0, config)
    assert before.name != after.name
    assert [name for name in before.made_of if before.made_of[name] != after.made_of[name]] == [
        "model.module my_sweep_net:Net"
    ]


def test_points_of_an_edited_table_do_not_get_beside_those_of_the_old_one(tmp_path, run_result) -> None:
    table = own_table.write(tmp_path / "table.csv", own_table.rows(200))
    folder = SweepFolder(tmp_path / "sweep")
    old = of_table(table)
    folder.write(point_of(0, old), finished(old, run_result).to_json())
    rewrite(table, table.read_text().rsplit("\n", 2)[0] + "\n")
    new = of_table(table, "seed=4")
    folder.require_alike([])
    with pytest.raises(ConfigError, match=r"different .*table.csv.*new folder"):
        folder.require_alike([point_of(0, new)])
    folder.write(point_of(0, new), finished(new, run_result).to_json())
    with pytest.raises(ConfigError, match=r"different .*table.csv"):
        folder.write_tables()


def test_points_of_two_versions_do_not_get_into_one_table(tmp_path, composed, run_result) -> None:
    folder = SweepFolder(tmp_path)
    for version in ("1.0", "2.0"):
        one = finished(composed, run_result)
        one = replace(one, made_of={**one.made_of, "fedcredit": version})
        folder.write(replace(point_of(0, composed), name=one.name), one.to_json())
    with pytest.raises(ConfigError, match=r"versions [12].0 and [12].0 of fedcredit"):
        folder.points()


def test_a_worker_that_finds_another_file_is_refused(tmp_path) -> None:
    table = own_table.write(tmp_path / "table.csv", own_table.rows(1000))
    point = point_of(7, of_table(table))
    rewrite(table, table.read_text().rsplit("\n", 2)[0] + "\n")
    told = answer(point.config)
    with pytest.raises(ConfigError, match=r"run 7 of the sweep, at .*different .*table.csv"):
        _require_same(point, FinishedPoint.from_json(told.finished))
    _require_same(point_of(7, point.config), FinishedPoint.from_json(told.finished))


def test_a_point_under_another_name_is_refused(make_sweep) -> None:
    folder = make_sweep({"seed": [0]})
    (file,) = (folder / "points").iterdir()
    tree = json.loads(file.read_text())
    tree["settings"]["seed"] = 1
    file.write_text(json.dumps(tree))
    with pytest.raises(ConfigError, match="not those of its name"):
        SweepFolder(folder).points()


def test_what_is_torn_or_written_twice_at_once_stays_whole(tmp_path) -> None:
    target = tmp_path / "sweep.csv"
    with _whole(target) as first, _whole(target) as second:
        second.write_text("b\n")
        first.write_text("a")
    assert target.read_text() == "a"
    with pytest.raises(KeyboardInterrupt), _whole(target) as partial:  # noqa: PT012  (killed in the middle of a write)
        partial.write_text("to")
        raise KeyboardInterrupt
    assert target.read_text() == "a"
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.csv"]


def test_a_seed_beyond_sixty_four_bits_is_kept() -> None:
    assert arrow_table([{"settings.noise.seed": 2**70}]).to_pydict() == {"settings.noise.seed": [str(2**70)]}
    assert arrow_table([{"n": -(2**62)}]).to_pydict() == {"n": [-(2**62)]}


def test_a_sweep_has_one_folder() -> None:
    """The first one was taken and the others said nothing."""
    configs = [compose_config([f"run.dir={name}"]) for name in ("one", "two")]
    with pytest.raises(ConfigError, match="a key of run has several values"):
        _keys(configs)
    assert _keys(configs[:1]).launcher == "processes"


def test_a_dealing_without_rows_for_somebody_is_found_before_anything_runs() -> None:
    config = compose_config(["federation.split=dirichlet", "federation.alpha=0.01", "federation.banks=20"])
    with pytest.raises(ConfigError, match="got no training row"):
        check(point_of(0, config))


def test_what_is_named_and_missing_is_one_sentence(tmp_path) -> None:
    config = compose_config(["model=monitor", f"model.run={tmp_path}"])
    with pytest.raises(ConfigError):
        made_of(config)
