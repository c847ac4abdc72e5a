"""Rules of the repository: the wheel's content, what a custodian loads, names, sizes, documents that hold."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fedcredit import errors

ROOT = Path(__file__).resolve().parents[1]
CODE = ("fedcredit", "server", "clients", "simulations", "tests", "benches")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "server", "clients", "simulations")
MAX_MODULE_LINES = 400
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "misc"}
FRAMEWORKS = {"flwr", "hydra", "omegaconf", "torch", "ray", "sklearn", "matplotlib"}

# Who catches what is an interface: operators and scripts branch on these names.
ERROR_TREE = {
    "FedcreditError": "Exception",
    "ConfigError": "FedcreditError",
    "DictionaryError": "ConfigError",
    "DataError": "FedcreditError",
    "CheckError": "DataError",
    "PrivacyError": "FedcreditError",
    "BudgetError": "PrivacyError",
    "LedgerError": "PrivacyError",
    "WireError": "FedcreditError",
    "RefusalError": "FedcreditError",
    "JobError": "FedcreditError",
    "AbsenceError": "JobError",
}


def modules() -> list[Path]:
    """Hand-written Python files."""
    found = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if not path.stem.endswith("_pb2")]


def documents() -> list[Path]:
    """Every page that a reader can follow from the README."""
    roots = [ROOT / name for name in DOCUMENTS]
    return [path for path in roots if path.is_file()] + [page for path in roots for page in path.rglob("*.md")]


def python(*args: str) -> str:
    """Output of this interpreter, run in the repository; it must succeed."""
    done = subprocess.run([sys.executable, *args], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_library_only(tmp_path: Path) -> None:
    python("-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path))
    (wheel,) = tmp_path.glob("fedcredit-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    library = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fedcredit").rglob("*.py")}
    metadata = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    assert {name.split("/")[0] for name in names} == {"fedcredit", metadata}
    notices = {f"{metadata}/licenses/LICENSE", f"{metadata}/licenses/NOTICE"}
    assert library | notices | {"fedcredit/py.typed"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("package", ["custodian", "cli"])
def test_a_custodian_loads_no_framework(package: str) -> None:
    found = sorted((ROOT / "fedcredit" / package).glob("*.py"))
    names = [f"fedcredit.{package}.{path.stem}" for path in found if path.stem != "__init__"]
    loaded = python("-c", f"import sys, {', '.join(names)}; print(*(name.split('.')[0] for name in sys.modules))")
    assert "fedcredit" in loaded.split()
    assert not FRAMEWORKS & set(loaded.split())


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    assert max(lengths.values()) > 1
    assert not {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > MAX_MODULE_LINES}


def test_modules_are_named_after_an_idea() -> None:
    names = {part for path in modules() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert "errors" in names
    assert not names & VAGUE_NAMES


def test_error_names_are_pinned() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert {kind.__name__: kind.__mro__[1].__name__ for kind in kinds} == ERROR_TREE


def test_the_drawn_error_tree_is_the_real_one() -> None:
    drawn = re.findall(r"^\W*(\w+Error)\b", errors.__doc__ or "", flags=re.MULTILINE)
    assert drawn == list(ERROR_TREE)


def test_documents_name_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    quoted = {
        target
        for page in documents()
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), flags=re.MULTILINE)
    }
    assert {"demo", "test"} <= quoted
    assert quoted <= targets


def test_documents_link_to_files_that_exist() -> None:
    links = [
        (page, target)
        for page in documents()
        for target in re.findall(r"(?:\]\(|src=\")([^)#\"\s]+)", page.read_text())
        if "://" not in target
    ]
    assert len(links) > 1
    assert not [f"{page.name}: {target}" for page, target in links if not (page.parent / target).exists()]
