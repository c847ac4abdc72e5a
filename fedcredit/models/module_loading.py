"""From a plan's import path to a checked torch module: the file's hash is compared before a line of it runs.

The bytes that were hashed are the bytes that run, under a private name that holds the hash. A file that changes later
is another file, and what ``import`` has loaded under its own name is not used.
"""

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from fedcredit.errors import ConfigError
from fedcredit.models.module_check import check_module, outputs_alone, public_rows, refuse_parameters
from fedcredit.models.module_source import Source, read_source
from fedcredit.models.module_spec import ModuleSpec
from fedcredit.wire.canonical import canonical_json

# Weight matrices, biases and the like; far above what a network has that trains under noise.
_MOST_PARAMETERS = 10_000


@dataclass(frozen=True, slots=True)
class Network:
    """A checked module and the order of its weights.

    Attributes
    ----------
    module
        In float64 and evaluation mode; use it within `fedcredit.models.module_gradients.holding`.
    names, shapes
        Of each parameter, in the order of ``module.named_parameters()``.
    constants
        Per parameter the values that its constructor gives it whatever torch's generator holds, flat; or None.
    """

    module: nn.Module
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    constants: tuple[NDArray[np.float64] | None, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of weights of each parameter."""
        return tuple(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes)


def network_of(spec: ModuleSpec, n_inputs: int) -> Network:
    """The plan's module for some number of inputs, checked.

    Raises
    ------
    ConfigError
        If its file is missing or another one, or the class cannot be used.
    """
    return _network(spec.module, spec.source_sha256, canonical_json(spec.arguments), n_inputs)


@lru_cache(maxsize=16)
def _network(path: str, source_sha256: str, arguments: bytes, n_inputs: int) -> Network:
    chosen = _class(path, source_sha256)
    given: dict[str, Any] = json.loads(arguments)
    # Without storage and counted first: a plan's arguments must not fill an institution's memory, or go on for ever.
    with torch.device("meta"), _bounded():
        refuse_parameters(_built(chosen, n_inputs, given, seed=0))
    module, other = (_built(chosen, n_inputs, given, seed).double() for seed in (0, 1))
    check_module(module, n_inputs)
    constants = _constants(module, other)
    _refuse_hidden_chance(module, other, n_inputs)
    named = dict(module.named_parameters())
    return Network(module.eval(), tuple(named), tuple(tuple(one.shape) for one in named.values()), constants)


def _class(path: str, source_sha256: str) -> type[nn.Module]:
    source = read_source(path)
    if source.sha256 != source_sha256:
        raise ConfigError(
            f"the file of {path} has sha256 {source.sha256}, and source_sha256={source_sha256} was agreed on; "
            "exchange the file, or make the plan anew."
        )
    name = path.partition(":")[2]
    defined = _executed(path, source)
    chosen = vars(defined).get(name)
    if not isinstance(chosen, type) or chosen.__module__ != defined.__name__ or not issubclass(chosen, nn.Module):
        raise ConfigError(f"{path} is no subclass of torch.nn.Module that its own file defines; correct the path.")
    return chosen


def _executed(path: str, source: Source) -> ModuleType:
    name = f"fedcredit_module_{source.sha256}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(source.path)
    sys.modules[name] = module  # dataclasses look their own module up
    try:
        exec(compile(source.code, source.path, "exec", dont_inherit=True), vars(module))  # noqa: S102  (allow-listed)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"the file of {path} cannot be run: {type(error).__name__}: {error}; it may import installed packages only."
        ) from error
    return module


@contextmanager
def _bounded() -> Iterator[None]:
    """Stop a constructor in this thread as soon as its parameters are too many: a plan may ask for any depth."""
    caller, count = threading.get_ident(), 0

    def registered(_module: nn.Module, _name: str, _parameter: nn.Parameter | None) -> None:
        nonlocal count
        count += threading.get_ident() == caller
        if count > _MOST_PARAMETERS:
            raise ConfigError(f"it registers more than {_MOST_PARAMETERS} parameters")

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()


def _built(chosen: type[nn.Module], n_inputs: int, arguments: Mapping[str, Any], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = chosen(n_inputs, **arguments)
        except Exception as error:
            raise ConfigError(
                f"{chosen.__qualname__}({n_inputs}, **{dict(arguments)}) cannot be made: {type(error).__name__}: "
                f"{error}; it takes the number of inputs and model.arguments, and reads no value of a tensor."
            ) from error
    return module


def _constants(module: nn.Module, other: nn.Module) -> tuple[NDArray[np.float64] | None, ...]:
    """What two constructions with different seeds agree on is the constructor's, not chance."""
    pairs = zip(module.parameters(), other.parameters(), strict=True)
    return tuple(
        mine.detach().reshape(-1).numpy().copy() if torch.equal(mine, theirs) else None for mine, theirs in pairs
    )


def _refuse_hidden_chance(module: nn.Module, other: nn.Module, n_inputs: int) -> None:
    """With equal weights two constructions must agree, or what they compute is not in the weights alone."""
    with torch.no_grad():
        for mine, theirs in zip(module.parameters(), other.parameters(), strict=True):
            theirs.copy_(mine)
    rows = public_rows(n_inputs)
    if not torch.equal(outputs_alone(module, rows), outputs_alone(other.eval(), rows)):
        raise ConfigError(
            "two constructions with equal weights compute differently: the constructor draws at random what is no "
            "parameter; write such constants down, or make them nn.Parameter."
        )
