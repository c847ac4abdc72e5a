"""The page of attacks names every test of this folder, and no test that does not exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "attacks.md").read_text()


def written(path: Path) -> set[str]:
    """Test functions of a module."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def section(heading: str) -> str:
    """A section's text, without its heading."""
    return PAGE.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]


def named(text: str) -> set[str]:
    """Tests that a text names."""
    return set(re.findall(r"`(test_\w+)`", text))


def modules() -> list[Path]:
    return sorted(path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))


def test_the_page_and_the_folder_name_the_same_tests():
    tests = set().union(*map(written, modules()))
    assert len(tests) > 60
    assert named(PAGE) == tests


def test_each_section_names_the_tests_of_its_module():
    for name in ("keys", "views", "rosters", "rounds", "noise", "restarts", "messages", "linked", "fleet_port"):
        path = f"tests/adversary/test_{name}.py"
        heading = next(line for line in PAGE.splitlines() if line.startswith("## ") and path in line)
        assert named(section(heading.removeprefix("## "))) == written(ROOT / path)


def test_every_code_on_the_page_is_one_that_the_code_raises():
    sources = [
        path.read_text()
        for part in ("custodian", "secure_aggregation")
        for path in (ROOT / "fedcredit" / part).glob("*.py")
    ]
    rows = section("What a custodian refuses").strip().splitlines()[2:]
    codes = {code for row in rows for code in re.findall(r"`([a-z-]+)`", row.split("|")[2])}
    assert len(rows) == 21
    assert codes
    assert not {code for code in codes if not any(f'"{code}"' in source for source in sources)}
