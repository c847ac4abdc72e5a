"""Loops into an object file by numba and LLVM, for `kept_code`; the only module of theirs that loads numba.

numba gives a C function a second half for errors, which needs numba's own symbols. Loops that raise nothing never
reach it, and LLVM, asked once more over both halves together, takes it out. What is left may need no other symbol.
"""

from collections.abc import Callable, Mapping

import llvmlite.binding as llvm
import numba
import numpy as np

from fedcredit.models.kept_code import Argument, Loop, host_machine


def object_file(loops: Mapping[str, Loop]) -> bytes:
    """Compile for this machine.

    Raises
    ------
    TypeError
        If a loop's code would need anything from outside, as what allocates or raises does.
    """
    machine, whole = host_machine(), llvm.parse_assembly("")
    whole.triple, whole.data_layout = machine.triple, str(machine.target_data)
    for name, loop in loops.items():
        whole.link_in(_module(name, loop))
    _reduce(whole, machine)
    if needed := [one.name for one in whole.functions if one.is_declaration and not one.name.startswith("llvm.")]:
        raise TypeError(f"compiled loops may need no other function, and these need {', '.join(needed)}.")
    return bytes(machine.emit_object(whole))


def _module(name: str, loop: Loop) -> llvm.ModuleRef:
    """One loop in LLVM's language, under our own name."""
    arguments = (_type(own) for own in loop.takes)
    compiled = numba.cfunc(numba.void(*arguments), error_model="numpy")(loop.function)
    module = llvm.parse_assembly(compiled.inspect_llvm())
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "external" if function.name == compiled.native_name else "internal"
    module.get_function(compiled.native_name).name = name
    return module


def _type(own: Argument) -> numba.types.Type:
    if own is int:
        return numba.int64
    pointer_to: Callable[[object], numba.types.Type] = numba.types.CPointer
    return pointer_to(numba.from_dtype(np.dtype(own)))


def _reduce(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
