"""Rules of the code that no linter knows, each with samples that it must catch and others that it must allow.

A rule looks at a module's syntax tree and yields the lines that break it.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALL_CODE = ("fedcredit", "server", "clients", "simulations")
# Formats that run code when they are read.
UNSAFE_FORMATS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def dotted(node: ast.AST) -> str:
    """Source name of `a.b.c`; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Absolute names that a module imports, and the lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def imports_of(packages: set[str], tree: ast.AST) -> Iterator[int]:
    """Lines that import any of some top-level packages."""
    yield from (line for name, line in imports(tree) if name.split(".")[0] in packages)


def public_definitions(scope: ast.AST) -> Iterator[Definition]:
    """Public classes and functions of a module, and the public methods of those classes."""
    for node in ast.iter_child_nodes(scope):
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        if not any(dotted(d).endswith(("overload", ".setter")) for d in node.decorator_list):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node)


def assert_statements(tree: ast.AST) -> Iterator[int]:
    """Under `python -O` they check nothing."""
    yield from (node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert))


def swallowed_exceptions(tree: ast.AST) -> Iterator[int]:
    """A handler of everything (bare, Exception, BaseException) raises again or logs the traceback."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = {"Exception"} if node.type is None else {dotted(name) for name in ast.walk(node.type)}
        if caught & {"Exception", "BaseException"} and not any(leaves_a_trace(inner) for inner in ast.walk(node)):
            yield node.lineno


def leaves_a_trace(node: ast.AST) -> bool:
    """`raise`, or a logger's `exception(...)`."""
    return isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and dotted(node.func).endswith(".exception"))


def unsafe_formats(tree: ast.AST) -> Iterator[int]:
    """Nothing is read from a format that can run code."""
    yield from imports_of(UNSAFE_FORMATS, tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            refused = isinstance(node.value, ast.Constant) and node.value.value is False
            yield from () if refused else (node.value.lineno,)


def seedable_randomness(tree: ast.AST) -> Iterator[int]:
    """The wheel's randomness comes from the operating system, through `privacy.bits`; nobody can seed it."""
    yield from imports_of({"random"}, tree)
    yield from (line for name, line in imports(tree) if name.startswith("numpy.random"))
    for node in ast.walk(tree):
        name = dotted(node)
        if name.startswith(("np.random", "numpy.random")) or name.endswith(".rvs"):
            yield getattr(node, "lineno", 0)


def torch_imports(tree: ast.AST) -> Iterator[int]:
    """Torch serves modules that an institution lists, and simulations: the joint privacy loss and cohorts."""
    yield from imports_of({"torch", "opacus"}, tree)


def flower_imports(tree: ast.AST) -> Iterator[int]:
    """Flower is named in the two apps, the strategy and one adapter module beside each."""
    yield from imports_of({"flwr"}, tree)


def undocumented(tree: ast.AST) -> Iterator[int]:
    """Public functions and classes have a docstring."""
    yield from (node.lineno for node in public_definitions(tree) if ast.get_docstring(node) is None)


def unannotated(tree: ast.AST) -> Iterator[int]:
    """Public functions leave no type open."""
    for node in public_definitions(tree):
        if isinstance(node, ast.ClassDef):
            continue
        spec = node.args
        taken = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *filter(None, [spec.vararg, spec.kwarg])]
        if node.returns is None or any(a.annotation is None and a.arg not in {"self", "cls"} for a in taken):
            yield node.lineno


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, where it holds, and samples on both sides of it."""

    broken_lines: Callable[[ast.AST], Iterator[int]]
    caught: tuple[str, ...]
    allowed: tuple[str, ...]
    folders: tuple[str, ...] = ALL_CODE
    exempt: tuple[str, ...] = ()


RULES = [
    Rule(assert_statements, caught=("assert x",), allowed=("'assert x'",)),
    Rule(
        swallowed_exceptions,
        caught=(
            "try: f()\nexcept: pass",
            "try: f()\nexcept Exception: pass",
            "try: f()\nexcept (OSError, BaseException) as e: g(e)",
        ),
        allowed=(
            "try: f()\nexcept OSError: pass",
            "try: f()\nexcept Exception:\n    g()\n    raise",
            "try: f()\nexcept Exception: log.exception('f failed')",
        ),
    ),
    Rule(
        unsafe_formats,
        caught=(
            "import pickle",
            "from joblib import load",
            "def f(): import marshal",
            "f(x, allow_pickle=True)",
        ),
        allowed=("import json", "f(x, allow_pickle=False)"),
    ),
    Rule(
        seedable_randomness,
        caught=(
            "import random",
            "from random import choice",
            "from numpy import random",
            "from numpy.random import default_rng",
            "g = np.random.default_rng()",
            "x = norm.rvs(size=3)",
        ),
        allowed=("import secrets", "from fedcredit.privacy.bits import random_bits"),
        folders=("fedcredit",),
    ),
    Rule(
        torch_imports,
        caught=("import torch.nn", "def f(): from opacus import GradSampleModule"),
        allowed=("import numpy",),
        exempt=(
            *("fedcredit/privacy/pld.py", "fedcredit/models/module_*.py"),
            *("fedcredit/models/mlp_cohort.py", "fedcredit/models/binned_torch.py"),
        ),
    ),
    Rule(
        flower_imports,
        caught=("import flwr", "def f(): from flwr.serverapp import Grid"),
        allowed=("import server.flower_adapter",),
        exempt=(
            *("server/app.py", "server/strategy.py", "server/superlink.py", "*/flower_adapter.py"),
            *("clients/app.py", "clients/site_runner.py", "clients/flower_runtime.py"),
        ),
    ),
    Rule(
        undocumented,
        caught=("def f() -> None: pass", "class A: pass", 'class A:\n    "a"\n    def f(self) -> None: pass'),
        allowed=("def _f() -> None: pass", 'def f() -> None:\n    "f"\n    def g() -> None: pass'),
    ),
    Rule(
        unannotated,
        caught=("def f(x) -> None: pass", "def f(x: int): pass", "def f(*x) -> None: pass"),
        allowed=("def f(x: int) -> None: pass", "class A:\n    def f(self) -> None: pass"),
    ),
]


def modules(rule: Rule) -> list[Path]:
    """Hand-written modules that a rule binds, relative to the repository."""
    found = [path.relative_to(ROOT) for folder in rule.folders for path in (ROOT / folder).rglob("*.py")]
    bound = (path for path in found if not path.stem.endswith("_pb2"))
    return sorted(path for path in bound if not any(map(path.match, rule.exempt)))


def rule_name(rule: Rule) -> str:
    return rule.broken_lines.__name__


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_the_code_obeys(rule: Rule) -> None:
    trees = {path: ast.parse((ROOT / path).read_text(), str(path)) for path in modules(rule)}
    broken = [f"{path}:{line}" for path, tree in trees.items() for line in rule.broken_lines(tree)]
    assert Path("fedcredit/errors.py") in trees
    assert not broken, rule.broken_lines.__doc__


@pytest.mark.parametrize("rule", RULES, ids=rule_name)
def test_the_rule_tells_its_samples_apart(rule: Rule) -> None:
    assert [sample for sample in rule.caught if not [*rule.broken_lines(ast.parse(sample))]] == []
    assert [sample for sample in rule.allowed if [*rule.broken_lines(ast.parse(sample))]] == []
