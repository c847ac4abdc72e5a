"""docs/own-model.md: its file and its commands, run as they stand there, on little data."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedcredit.models.module_source import Source
from tests import own_table

pytestmark = pytest.mark.neural

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "own-model.md").read_text(encoding="utf-8")
# The page's run takes minutes: fewer rows, rounds and institutions.
QUICK = ["model.rounds=2", "model.sampling_rate=0.05", "federation.banks=1", "federation.hospitals=1"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def run(arguments: list[str], folder: Path) -> str:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("own")
    (place / "my_model.py").write_text(blocks("python")[0], encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def commands() -> list[list[str]]:
    return [shlex.split(line) for line in blocks("bash")[0].splitlines()]


def test_the_first_command_accepts_the_example(folder, commands) -> None:
    path, program, *arguments = commands[0]
    assert (path, program) == ("PYTHONPATH=.", "fedcredit")
    printed = run([sys.executable, "-c", "from fedcredit.cli import main; main()", *arguments], folder)
    source = Source(folder / "my_model.py", (folder / "my_model.py").read_bytes())
    assert "accepted" in printed.splitlines()
    assert printed.splitlines()[-1] == f'modules: {{"my_model:ResidualNet": "{source.sha256}"}}'


def test_the_second_command_trains_it_and_the_page_reads_the_weights(folder, commands, monkeypatch) -> None:
    program, *arguments = commands[1]
    assert program == "python"
    table = own_table.write(folder / "table.parquet", own_table.rows(400))
    run([sys.executable, *arguments, *QUICK, *own_table.overrides(table)], folder)
    assert "model.safetensors" in {path.name for path in (folder / "run").iterdir()}
    n_inputs = load_file(folder / "run" / "model.safetensors")["first.weight"].shape[1]
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    names: dict[str, object] = {}
    exec(blocks("python")[1].replace("25", str(n_inputs)), names)
    assert torch.isfinite(names["model"](torch.zeros(1, n_inputs, dtype=torch.float64))).all()
