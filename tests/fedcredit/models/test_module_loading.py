"""Import paths: found without running anything, hashed before anything runs, and the hashed bytes are what runs."""

import hashlib
import re
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from fedcredit.errors import ConfigError
from fedcredit.models.module_loading import network_of
from fedcredit.models.module_source import read_source
from fedcredit.models.module_spec import ModuleSpec

pytestmark = pytest.mark.neural

CODE = """
import torch
from torch import nn

class Line(nn.Module):
    def __init__(self, n_inputs, slope=1.0):
        super().__init__()
        self.linear = nn.Linear(n_inputs, 1)
        self.slope = slope

    def forward(self, records):
        return self.slope * FACTOR * self.linear(records)
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a module of the user's own, on Python's path; its spec."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str, name: str = "own_line") -> ModuleSpec:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
        return ModuleSpec(module=f"{name}:Line", source_sha256=hashlib.sha256(path.read_bytes()).hexdigest())

    return write


def with_factor(factor: float) -> str:
    return CODE.replace("FACTOR", str(factor))


def slope_of(spec: ModuleSpec) -> float:
    module = network_of(spec, 2).module
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
        return float(module(torch.zeros(1, 2, dtype=torch.float64)))


def test_a_file_is_found_and_hashed_without_running_it_or_its_packages(written, tmp_path):
    spec = written("raise SystemExit('ran')\n", "outer.inner.own")
    for folder in ("outer", "outer/inner"):
        (tmp_path / folder / "__init__.py").write_text("raise SystemExit('ran')\n")
    source = read_source(spec.module)
    assert (source.path, source.sha256) == (tmp_path / "outer/inner/own.py", spec.source_sha256)
    assert not {"outer", "outer.inner"} & sys.modules.keys()


@pytest.mark.parametrize(
    "path",
    ["nowhere:Line", "nowhere.at.all:Line", "json.nowhere:Line", "own_line.deeper:Line", "math:Line", "own:Line"],
)
def test_a_path_without_a_file_is_refused(written, tmp_path, path):
    written(with_factor(1))
    (tmp_path / "own").mkdir()  # a namespace has no file
    with pytest.raises(ConfigError, match=f"{path}.*no file.*add its folder to PYTHONPATH"):
        read_source(path)


@pytest.mark.parametrize(
    "path", ["line", ":Line", "own..line:Line", "own/line:Line", "own:A.B", "own:", "../own:A", "é:A"]
)
def test_what_is_no_import_path_is_refused(path):
    with pytest.raises(ValidationError, match="module"):
        ModuleSpec(module=path, source_sha256="0" * 64)


@pytest.mark.parametrize("wrong", ["", "0" * 63, "A" * 64, "0" * 65])
def test_what_is_no_hash_is_refused(wrong):
    with pytest.raises(ValidationError, match="source_sha256"):
        ModuleSpec(module="own:Line", source_sha256=wrong)


@pytest.mark.parametrize("wrong", [{"a": float("nan")}, {"a": float("inf")}, {"a": [1]}, {"a": None}, {"a b": 1}])
def test_arguments_are_plain_values(wrong):
    with pytest.raises(ValidationError, match="arguments"):
        ModuleSpec(module="own:Line", source_sha256="0" * 64, arguments=wrong)


def test_arguments_keep_their_types_through_json():
    given = {"flag": True, "number": 1, "real": 1.0, "word": "1"}
    spec = ModuleSpec(module="own:Line", source_sha256="0" * 64, arguments=given)
    read = ModuleSpec.model_validate_json(spec.model_dump_json()).arguments
    assert {name: (value, type(value)) for name, value in read.items()} == {
        name: (value, type(value)) for name, value in given.items()
    }


def test_another_hash_is_refused_before_a_line_runs(written, tmp_path):
    spec = written(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n{with_factor(1)}")
    with pytest.raises(ConfigError, match=f"sha256 {spec.source_sha256}.*{'0' * 64} was agreed on"):
        network_of(spec.model_copy(update={"source_sha256": "0" * 64}), 2)
    assert not (tmp_path / "ran").exists()
    network_of(spec, 2)
    assert (tmp_path / "ran").exists()


def test_the_hashed_bytes_run_whatever_the_file_or_its_compiled_copy_become(written):
    one = written(with_factor(1))
    assert slope_of(one) == 1.0
    two = written(with_factor(2))
    assert (slope_of(one), slope_of(two)) == (1.0, 2.0)
    # A construction that was not seen before reads the file, which is the second one by now.
    with pytest.raises(ConfigError, match="was agreed on"):
        network_of(one, 3)


def test_arguments_reach_the_constructor(written):
    spec = written(with_factor(1))
    assert slope_of(spec.model_copy(update={"arguments": {"slope": 4.0}})) == 4.0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError.*installed packages only"),
        ("from . import sibling", "Import.*installed packages only"),
        ("class Line(", "SyntaxError"),
        ("from torch.nn import Linear as Line", "its own file defines"),
        ("Line = 3", "no subclass"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(written, code, words):
    before = set(sys.modules)
    with pytest.raises(ConfigError, match=re.compile(words, re.DOTALL)):
        network_of(written(code), 2)
    left = [name for name in set(sys.modules) - before if name.startswith("fedcredit_module_")]
    assert all(vars(sys.modules[name]).get("Line") for name in left)


def test_an_argument_that_asks_for_endless_depth_is_refused(written):
    code = CODE.replace("self.slope = slope", "self.deep = [nn.Linear(1, 1) for _ in range(slope)]").replace(
        "self.slope * FACTOR * ", ""
    )
    spec = written(code, "endless")
    with pytest.raises(ConfigError, match="more than 10000 parameters"):
        network_of(spec.model_copy(update={"arguments": {"slope": 10**15}}), 2)
    assert network_of(spec.model_copy(update={"arguments": {"slope": 3}}), 2).names == ("linear.weight", "linear.bias")


def test_torchs_generator_threads_and_pythons_modules_stay_as_they_are(written):
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    network_of(written(with_factor(3)), 2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert "own_line" not in sys.modules


def test_a_file_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    Path(tmp_path / "own_gone.py").symlink_to(tmp_path / "own_gone.py")
    with pytest.raises(ConfigError, match=r"own_gone.*(no file|cannot be read)"):
        read_source("own_gone:Line")
