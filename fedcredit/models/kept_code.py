"""Loops compiled for this machine once and kept as an object file, which a later process loads without the compiler.

numba's own cache must load all of numba before it gives back a function, which takes longer than many a job's whole
training. What numba makes of a loop over plain addresses needs nothing of numba's, so it is kept as the object file
that LLVM writes and loaded by LLVM alone. Its name says all that it depends on: the source, the types, the versions
and the processor. It is to be trusted as Python's own bytecode is, and lies beside it or in the user's cache; a file
that another account could have written is not loaded but made anew.
Needs the extra `fast`.

References
----------
Lam, Pitrou, Seibert, "Numba: a LLVM-based Python JIT compiler", LLVM-HPC 2015.
"""

import ctypes
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias, cast

import llvmlite.binding as llvm
import numpy as np

from fedcredit.errors import ConfigError

Argument: TypeAlias = type[np.generic] | type[int]
"""A NumPy type for the address of an array's values, or a whole number of 64 bits."""

FOLDER_VARIABLE = "NUMBA_CACHE_DIR"
_COMPILER = "compiling.py"


@dataclass(frozen=True, slots=True)
class Loop:
    """A function to compile, and what it takes.

    Attributes
    ----------
    function
        Python over flat arrays that numba compiles, and that returns nothing, allocates nothing and raises nothing.
    takes
        One for each argument.
    """

    function: Callable[..., None]
    takes: tuple[Argument, ...]


def load(loops: Mapping[str, Loop]) -> dict[str, Callable[..., None]]:
    """Compiled functions that take arrays in C order of exactly the types that were declared.

    They run without the interpreter's lock. Arrays of other types are refused by a `ctypes.ArgumentError`.

    Raises
    ------
    ConfigError
        If nothing is kept yet and there is no folder to keep it in, or the compiler is turned off.
    """
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name = f"fedcredit-{_key(loops)}.o"
    kept = next((code for folder in _folders() if (code := _read(folder / name)) is not None), None)
    if kept is None:
        kept = _compiled(loops)
        _keep(kept, name)
    engine = _engine(kept)
    return {own: _prototype(loop)(engine.get_function_address(own)) for own, loop in loops.items()}


def host_machine() -> llvm.TargetMachine:
    """LLVM's view of this processor, for code that may lie anywhere in memory."""
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=_features(), opt=3, reloc="pic", codemodel="jitdefault"
    )


def _features() -> str:
    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM does not know them on every platform, and then uses none
        return ""


def _key(loops: Mapping[str, Loop]) -> str:
    """32 hex digits over everything that the code depends on."""
    loops_from = sorted({str(sys.modules[loop.function.__module__].__file__) for loop in loops.values()})
    sources = [*map(Path, loops_from), Path(__file__), Path(__file__).with_name(_COMPILER)]
    parts = [
        *(source.read_bytes() for source in sources),
        repr([(name, loop.function.__name__, loop.takes) for name, loop in loops.items()]).encode(),
        " ".join((version("numba"), version("llvmlite"), llvm.get_default_triple())).encode(),
        f"{llvm.get_host_cpu_name()} {_features()}".encode(),
    ]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


def _prototype(loop: Loop) -> type["ctypes._CFunctionType"]:
    own = (ctypes.c_int64 if t is int else np.ctypeslib.ndpointer(t, flags="C_CONTIGUOUS") for t in loop.takes)
    return ctypes.CFUNCTYPE(None, *own)


@lru_cache
def _engine(code: bytes) -> llvm.ExecutionEngine:
    """The code in memory, where it stays: functions hold addresses only."""
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), host_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine


def _compiled(loops: Mapping[str, Loop]) -> bytes:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        raise ConfigError("NUMBA_DISABLE_JIT is set, so nothing is compiled; unset it, or set kernel=numpy.")
    return cast("bytes", import_module("fedcredit.models.compiling").object_file(loops))


def _folders() -> Iterator[Path]:
    """Where code may lie, the first choice first; a folder that is named is the only one."""
    if named := os.environ.get(FOLDER_VARIABLE):
        yield Path(named)
        return
    yield Path(__file__).with_name("__pycache__")
    yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedcredit"


def _read(path: Path) -> bytes | None:
    """What was kept; None where nothing is, or not all of it, or another account could have written it."""
    try:
        with path.open("rb") as file:
            status, found = os.fstat(file.fileno()), file.read()
    except OSError:
        return None
    trusted = status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022
    return found[32:] if trusted and hashlib.sha256(found[32:]).digest() == found[:32] else None


def _keep(code: bytes, name: str) -> None:
    """Write all of it or nothing, whoever else writes the same code now."""
    problems = []
    for folder in _folders():
        try:
            _write(folder, name, hashlib.sha256(code).digest() + code)
        except OSError as error:
            problems.append(f"{folder}: {error.strerror}")
        else:
            return
    raise ConfigError(
        f"kernel=compiled cannot keep compiled code ({'; '.join(problems)}); name a folder of this user's own in "
        f"{FOLDER_VARIABLE}, or set kernel=numpy."
    )


def _write(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{name}-", delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o644)  # as readable as the bytecode beside it
    Path(file.name).replace(folder / name)
