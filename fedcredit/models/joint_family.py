"""The joint view as a model family: one charged histogram of consented linked rows, everything else free.

A linked row has two scores that exist already: the own view, by the released base model, and what the other
institution's block adds. Custodians count rows in bins of both, by file and label; so the family needs no phase of
its own, and a linked job is planned, charged, masked and verified like any other.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.binning import base_rate
from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import joint_model
from fedcredit.models.family import TrainTerms
from fedcredit.models.joint_bins import JointBins, bin_nodes, choose, densities
from fedcredit.models.joint_bins import decode as decode_bins
from fedcredit.models.joint_fit import JointFit, LinkedCounts, fit_joint
from fedcredit.models.joint_layout import layout
from fedcredit.models.joint_model import JointModel
from fedcredit.models.joint_release import describe
from fedcredit.models.joint_spec import COUNT_SCALE, JointSpec
from fedcredit.models.scorecard_model import to_integers
from fedcredit.preflight import Preflight


@dataclass(frozen=True, slots=True)
class JointState:
    """The fold of preflight and the one message.

    Attributes
    ----------
    masses
        Records in each value cell of own view and other block, from preflight.
    noise_stddev
        Of one count of the message, in records.
    records
        Public number of training records.
    sums
        Released sums of the message; None before it.
    """

    spec: JointSpec
    dictionary: DataDictionary
    bins: JointBins
    masses: tuple[NDArray[np.float64], NDArray[np.float64]]
    noise_stddev: float
    records: float
    sums: NDArray[np.int64] | None = None

    @property
    def released(self) -> LinkedCounts:
        """Counts in the bins in use; before the message all are 0, and the fit is its prior."""
        plan = layout(self.spec, self.dictionary)
        own = bin_nodes(self.masses[0], self.bins.own, plan.own_values)
        other = bin_nodes(self.masses[1], self.bins.other, plan.other_values)
        sums = np.zeros(plan.length) if self.sums is None else self.sums / COUNT_SCALE
        counts = sums.reshape(plan.shape)[: len(own), : len(other)]
        return LinkedCounts(own, other, counts, self.noise_stddev**2, self.records)

    def model(self, fitted: JointFit) -> JointModel:
        """The fitted view on the public grid of 1/1024."""
        shape = layout(self.spec, self.dictionary).shape
        surface = np.zeros(shape[:2], dtype=np.int64)
        surface[: fitted.surface.shape[0], : fitted.surface.shape[1]] = to_integers(fitted.surface)
        return JointModel(self.bins, to_integers(fitted.coefficients), surface)


class JointFamily:
    """Implements `fedcredit.models.family.Family`."""

    def terms(self, spec: JointSpec, dictionary: DataDictionary) -> TrainTerms:
        """Vector length, scale and sensitivity: a record stands in one cell."""
        length = layout(spec, dictionary).length
        return TrainTerms(length, COUNT_SCALE, 1.0, dict.fromkeys(dictionary.kinds, COUNT_SCALE**2))

    def owned_coordinates(self, spec: JointSpec, dictionary: DataDictionary, kind: str) -> NDArray[np.bool_]:  # noqa: ARG002
        """All of them: a linked dictionary has one institution type; shape (vector_length,)."""
        return np.ones(layout(spec, dictionary).length, dtype=np.bool_)

    def init(
        self,
        spec: JointSpec,
        dictionary: DataDictionary,
        preflight: Preflight,
        noise_stddev: NDArray[np.float64],
        records: NDArray[np.float64],
    ) -> JointState:
        """Bins from the released preflight."""
        noise = float(noise_stddev[0])
        plan, n_records = layout(spec, dictionary), float(records[0])
        masses = densities(plan, preflight, n_records)
        bins = choose(plan, masses, base_rate(preflight.counts[2]), n_records, noise)
        return JointState(spec, dictionary, bins, masses, noise, n_records)

    def broadcast(self, state: JointState) -> bytes:
        """Canonical bytes of the bins in which custodians count."""
        return state.bins.encode()

    def contribute(
        self,
        spec: JointSpec,
        dictionary: DataDictionary,
        kind: str,  # noqa: ARG002  (a linked dictionary has one type)
        model: bytes,
        rows: Rows,
    ) -> NDArray[np.int64]:
        """Exact counts of each institution's rows; shape (m, vector_length)."""
        plan = layout(spec, dictionary)
        return joint_model.contribute(plan, decode_bins(plan, model), rows)

    def update(self, state: JointState, sums: NDArray[np.int64]) -> JointState:
        """Keep the released sums; `final` and `release` fit to them."""
        return replace(state, sums=sums)

    def final(self, state: JointState) -> bytes:
        """Canonical bytes of the fitted view."""
        return state.model(fit_joint(state.spec.fit, state.released)).encode()

    def margins(
        self,
        spec: JointSpec,
        dictionary: DataDictionary,
        view: str,  # noqa: ARG002  (a linked dictionary has one type)
        model: bytes,
        cells: NDArray[np.uint16],
    ) -> NDArray[np.int64]:
        """Log-odds of bad in units of 1/1024 logit; shape (n,)."""
        plan = layout(spec, dictionary)
        return joint_model.margins(plan, joint_model.decode(plan, model), cells)

    def release(self, state: JointState) -> dict[str, Any]:
        """The released view as JSON values."""
        released = state.released
        fitted = fit_joint(state.spec.fit, released)
        return describe(state.dictionary, state.spec.fit, state.model(fitted), fitted, released).to_json()


FAMILY = JointFamily()
