"""The runner of the benchmarks: what it finds, what it keeps of a run, and what it refuses."""

import ast
import json
import sys
from pathlib import Path

import pytest

from benches.__main__ import FOLDER, HEAVY, found, main, measure


def test_benchmarks_are_the_modules_with_a_main() -> None:
    with_main = {path.stem for path in FOLDER.glob("*.py") if "\ndef main(" in path.read_text()}
    assert set(found()) == with_main - {"__main__"}
    assert {"masking", *HEAVY} - set(found()) <= {"cohort"}


@pytest.mark.parametrize("name", found())
def test_a_benchmark_needs_no_argument(name) -> None:
    """The runner gives none but ``--json``."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in (one for one in calls if isinstance(one.func, ast.Attribute) and one.func.attr == "add_argument"):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        is_option = call.args[0].value.startswith("-")
        assert keywords.get("required") != "True"
        assert is_option or keywords.get("nargs") in {"'?'", "'*'"}, ast.unparse(call)


def test_a_run_keeps_lines_time_and_figures(tmp_path, capsys) -> None:
    place = tmp_path / "figures.json"
    code = f"import pathlib; pathlib.Path({str(place)!r}).write_text('[1.5]'); print('a'); print(sum(range(10**6)))"
    outcome = measure([sys.executable, "-c", code], place)
    assert (outcome.exit_code, outcome.lines, outcome.figures) == (0, ["a", "499999500000"], [1.5])
    assert outcome.cpu_seconds > 0
    assert outcome.peak_mib > 5
    assert "  a\n" in capsys.readouterr().out


def test_a_failing_run_is_told(tmp_path) -> None:
    outcome = measure([sys.executable, "-c", "import sys; print('so far'); sys.exit('broken')"])
    assert (outcome.exit_code, outcome.lines, outcome.figures) == (1, ["so far", "broken"], None)


def test_an_unknown_benchmark_runs_nothing(tmp_path: Path, capsys) -> None:
    place = tmp_path / "results.json"
    with pytest.raises(SystemExit) as ended:
        main(["--skip", "nonsense", "--results", str(place)])
    assert ended.value.code == 2
    assert "nonsense" in capsys.readouterr().err
    assert not place.exists()


def test_results_hold_machine_facts_and_what_ran(tmp_path: Path, capsys) -> None:
    place = tmp_path / "results.json"
    with pytest.raises(SystemExit) as ended:
        main(["masking", "--results", str(place)])
    assert ended.value.code == 0
    kept = json.loads(place.read_text())
    assert kept["machine"]["cores"] >= 1
    assert kept["machine"]["packages"]["numpy"]
    assert any("coordinates" in line for line in kept["benches"]["masking"]["lines"])
    assert "masking" in capsys.readouterr().out
