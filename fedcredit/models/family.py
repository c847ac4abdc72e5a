"""What a model family is: pure functions on frozen state.

The coordinator and the custodian know a family only through this protocol, so a new model touches neither.
Preflight comes first for every family; ``contribute`` runs at the custodian, everything else at the coordinator on
released sums.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells, Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.models.specs import ModelSpec
from fedcredit.preflight import Preflight

Kernel: TypeAlias = Literal["numpy", "compiled", "torch-cpu", "torch-cuda"]
"""What computes an institution's sums; the integers are the same. Torch is for simulations."""


@dataclass(frozen=True, slots=True)
class TrainTerms:
    """What the plan states about training, derived from public constants alone.

    Attributes
    ----------
    vector_length
        Coordinates of a training vector.
    scale
        Lattice units per unit of the summed quantity.
    sampling_rate
        Probability with which a record takes part in a round.
    sensitivity_squared
        Per institution type, the squared L2 norm that one record can add to the integer vector; that one unit of
        privacy can, if the family clips units.
    local_steps
        Noised steps that an institution takes before it sends; more than one only from a `LocalFamily`.
    clips_units
        Whether all records of a person together are clipped to the sensitivity (`Rows.persons`).
    """

    vector_length: int
    scale: int
    sampling_rate: float
    sensitivity_squared: Mapping[str, int]
    local_steps: int = 1
    clips_units: bool = False


@dataclass(frozen=True, slots=True)
class LocalStep:
    """What an institution steps on.

    Attributes
    ----------
    sums
        Noised lattice sums, shape (vector_length,).
    records
        The institution's public number of training records.
    correction
        Of the gradient by control variates; shape (vector_length,), or 0.
    """

    sums: NDArray[np.int64]
    records: float
    correction: NDArray[np.float64] | float = 0.0


class Family(Protocol):
    """A model family; `State` is whatever frozen value the family folds."""

    def terms(self, spec: ModelSpec, dictionary: DataDictionary) -> TrainTerms:
        """Vector length, scale and sensitivity of a round."""
        ...

    def owned_coordinates(self, spec: ModelSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:
        """Coordinates that an institution type owns; shape (vector_length,)."""
        ...

    def init(
        self,
        spec: ModelSpec,
        dictionary: DataDictionary,
        preflight: Preflight,
        noise_stddev: NDArray[np.float64],
        records: NDArray[np.float64],
    ) -> Any:  # noqa: ANN401
        """Start from the released preflight.

        Parameters
        ----------
        noise_stddev
            Per coordinate of a released round, in units of the summed quantity.
        records
            Per coordinate, the public number of training records of the institutions that own it.
        """
        ...

    def broadcast(self, state: Any) -> bytes:  # noqa: ANN401
        """Canonical bytes of the model that custodians train on next."""
        ...

    def contribute(
        self, spec: ModelSpec, dictionary: DataDictionary, kind: str, model: bytes, rows: Rows
    ) -> NDArray[np.int64]:
        """Exact integer sums of each institution's rows; shape (m, vector_length)."""
        ...

    def update(self, state: Any, sums: NDArray[np.int64]) -> Any:  # noqa: ANN401
        """One round: released sums in, next state out."""
        ...

    def final(self, state: Any) -> bytes:  # noqa: ANN401
        """Canonical bytes of the released model, for `margins`."""
        ...

    def margins(
        self, spec: ModelSpec, dictionary: DataDictionary, view: str, model: bytes, cells: Cells
    ) -> NDArray[np.int64]:
        """Log-odds of the bad class in units of 1/1024 logit, from the columns that type `view` owns; shape (n,)."""
        ...

    def release(self, state: Any) -> dict[str, Any]:  # noqa: ANN401
        """The released model as JSON values."""
        ...


@runtime_checkable
class LocalFamily(Family, Protocol):
    """A family whose institutions can take steps of their own, on sums that are noised already."""

    def local_step(
        self, spec: ModelSpec, dictionary: DataDictionary, start: bytes, current: bytes, step: LocalStep
    ) -> bytes:
        """Model bytes after one step from `current`, in a round that began at `start`."""
        ...

    def control(
        self, spec: ModelSpec, dictionary: DataDictionary, model: bytes, step: LocalStep | None
    ) -> NDArray[np.float64] | None:
        """Control variate of everybody in the round's model bytes, or the institution's own of noised sums.

        Parameters
        ----------
        step
            Sums of all its steps in a message, and its records; None for everybody's.

        Returns
        -------
        ndarray of float64, shape (vector_length,), or None
            None where the plan has no control variates.
        """
        ...

    def local_message(
        self, spec: ModelSpec, dictionary: DataDictionary, start: bytes, end: bytes, records: float
    ) -> NDArray[np.int64]:
        """What to send for the way from `start` to `end`; shape (vector_length,)."""
        ...


@runtime_checkable
class KernelFamily(Protocol):
    """A family whose sums at an institution other code than NumPy can compute."""

    def computed_by(self, kernel: Kernel) -> Family:
        """The same integers, sooner.

        Raises
        ------
        ConfigError
            If that code is not there.
        """
        ...


_MODULES = {
    "scorecard": "fedcredit.models.scorecard_family",
    "mlp": "fedcredit.models.mlp_family",
    "additive": "fedcredit.models.additive_family",
    "module": "fedcredit.models.module_family",
    "joint": "fedcredit.models.joint_family",
    "monitor": "fedcredit.models.monitor_family",
}


@lru_cache
def family_of(name: str, kernel: Kernel = "numpy") -> Family:
    """The family of that name, imported when it is first asked for.

    Raises
    ------
    ConfigError
        If its sums are to be computed by other code than NumPy and cannot be.
    """
    family: Family = import_module(_MODULES[name]).FAMILY
    if kernel == "numpy":
        return family
    if not isinstance(family, KernelFamily):
        raise ConfigError(f"model family {name!r} has no {kernel.partition('-')[0]} code; set kernel=numpy.")
    return family.computed_by(kernel)
