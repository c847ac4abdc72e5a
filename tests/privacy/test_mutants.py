"""Every deliberate break is noticed: a suite that lets one through proves nothing about what it tests.

The run is a process of its own (`mutants`). Here go ten mutants, one of each kind; ``--long`` runs them all.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.privacy.circumstances import CIRCUMSTANCES
from tests.privacy.mutant_table import MUTANTS
from tests.privacy.mutants import Found, PatchError, difference, patched

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "privacy-audit.md"
SPREAD = (
    "half-noise",
    "share-by-plan",
    "vector-unbound",
    "residual-unbounded",
    "root-of-k",
    "groupings-uncounted",
    "divisor-from-data",
    "refund-on-restart",
    "loss-in-the-log",
    "no-witnesses",
)
NAMES = [mutant.name for mutant in MUTANTS]


@pytest.fixture(scope="module")
def found(request) -> dict[str, Found]:
    """What became of the mutants that are asked for, in one run of them all."""
    wanted = sorted({item.callspec.params["name"] for item in request.session.items if _of_a_mutant(item)})
    done = subprocess.run(
        [sys.executable, "-m", "tests.privacy.mutants", "--json", *wanted],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.stdout, done.stderr
    return {one["name"]: Found(**one) for one in json.loads(done.stdout)}


def _of_a_mutant(item) -> bool:
    return getattr(item, "originalname", "") in {"test_a_mutant_is_noticed", "test_every_other_mutant_is_noticed"}


@pytest.mark.timeout(920)
@pytest.mark.parametrize("name", SPREAD)
def test_a_mutant_is_noticed(found, name):
    assert found[name].killed, found[name]


@pytest.mark.long
@pytest.mark.timeout(920)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in SPREAD])
def test_every_other_mutant_is_noticed(found, name):
    assert found[name].killed, found[name]


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
def test_each_patch_still_applies_and_its_tests_exist(mutant):
    """Cheap, so always for all of them."""
    texts: dict[str, str] = {}
    for edit in mutant.edits:
        text = texts.get(edit.file) or (ROOT / edit.file).read_text(encoding="utf-8")
        texts[edit.file] = patched(text, edit.old, edit.new, edit.file)
    for file, text in texts.items():
        compile(text, file, "exec")
    assert mutant.circumstance in CIRCUMSTANCES
    for test in mutant.tests:
        file, _, function = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not function or f"def {function.partition('[')[0]}(" in text


def test_names_are_distinct_and_the_spread_is_of_them():
    assert len(set(NAMES)) == len(NAMES) >= 20
    assert set(SPREAD) <= set(NAMES)
    assert len(SPREAD) == 10


@pytest.mark.parametrize("text", ["nothing here", "here, here"])
def test_a_patch_that_fits_nowhere_or_twice_is_refused(text):
    old = "here" if "," in text else "there"
    with pytest.raises(PatchError):
        patched(text, old, "", "a file")


def test_a_survivor_is_not_called_killed():
    killed = Found("m", effect="message bank-1", exit_code=1)
    assert killed.killed
    for other in ({"exit_code": 0}, {"exit_code": 2}, {"exit_code": 70}, {"effect": ""}, {"problem": "does not apply"}):
        values = {"name": "m", "effect": "message bank-1", "exit_code": 1, **other}
        assert not Found(**values).killed


def test_a_difference_is_named():
    assert difference(["message a 1", "ledger a x"], ["message a 1", "ledger a y"]) == "ledger a"
    assert difference(["message a 1"], ["message a 1", "log INFO z"]) == "log INFO"
    assert difference(["message a 1"], ["message a 1"]) == ""


def test_the_page_lists_every_mutant_and_its_test():
    """`docs/privacy-audit.md` and the table agree, row by row."""
    page = PAGE.read_text(encoding="utf-8")
    for mutant in MUTANTS:
        assert row_of(mutant) in page, f"docs/privacy-audit.md lacks the row:\n{row_of(mutant)}"
    assert page.count("\n| `") == len(MUTANTS)


def row_of(mutant) -> str:
    """A mutant's line on the page."""
    tests = ", ".join(f"`{test.removeprefix('tests/')}`" for test in mutant.tests)
    return f"| `{mutant.name}` | {mutant.breaks} | {mutant.circumstance.replace('_', ' ')} | {tests} |"
