"""The task that `benches.cohort` times: made-up customers, a scorecard, its first model, and the rivals' sums."""

import ctypes
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benches.made_up import dictionary_of
from fedcredit.data.rows import Dataset, Rows
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.models import binned_numpy
from fedcredit.models.binned_tables import BinnedTables, tables_of
from fedcredit.models.residual_table import residual_table
from fedcredit.models.scorecard_layout import layout
from fedcredit.models.scorecard_spec import MARGIN_LIMIT, ScorecardSpec
from fedcredit.plan import EvaluationTerms, Placement, PrivacyTerms, PrivacyUnit
from fedcredit.planning import BudgetShares
from fedcredit.privacy import gdp, rounded_gaussian
from fedcredit.privacy.bits import OsBitSource
from simulations.federation import Federation, Institution, JobSpec, found

CELLS = 10
SCALE = 1024
EPSILON = 1.0


@dataclass(frozen=True)
class Task:
    """Rows of all institutions, and a model of one round for those who only compute sums."""

    dictionary: DataDictionary
    rows: Rows
    tables: BinnedTables


def made_up(institutions: int, rows: int, features: int) -> Task:
    """Institutions of equal size; cells in the smallest type."""
    dictionary = dictionary_of(features, CELLS - 1)
    generator, n = np.random.default_rng(0), institutions * rows
    sizes = [feature.n_cells for feature in dictionary.features]
    cells = np.stack([generator.integers(0, size, n, dtype=np.uint8) for size in sizes], axis=1)
    bad = (generator.random(n) < 0.1 + 0.3 * (cells[:, 0] > CELLS // 2)).astype(np.uint8)
    bins = tuple(np.arange(size, dtype=np.int64) for size in sizes)
    spec = ScorecardSpec(max_bins=16, residual_scale=SCALE)
    weights = generator.integers(-400, 401, layout(spec.max_bins, dictionary).length)
    tables = tables_of(spec, dictionary, "bank", bins, weights)
    return Task(dictionary, Rows(cells, bad, np.arange(institutions + 1) * rows), tables)


def job_of(task: Task, rounds: int) -> tuple[Federation, JobSpec]:
    """A whole job over the task's institutions: distributed noise, ε 1, δ below one over the records, no masks."""
    delta = gdp.default_delta(task.rows.n_rows + task.rows.n_institutions)
    privacy = PrivacyTerms(
        placement=Placement.DISTRIBUTED, unit=PrivacyUnit.RECORD, epsilon=EPSILON, delta=delta, masks=False
    )
    model = ScorecardSpec(rounds=rounds, max_bins=16, residual_scale=SCALE)
    spec = JobSpec("bench", model, privacy, BudgetShares(), EvaluationTerms(score_bins=20), kernel="compiled")
    offsets = task.rows.offsets.tolist()
    institutions = tuple(
        Institution(f"bank-{number + 1}", "bank", _dataset(task.rows, slice(*bounds)))
        for number, bounds in enumerate(pairwise(offsets))
    )
    return found(task.dictionary, institutions, spec), spec


def _dataset(rows: Rows, part: slice) -> Dataset:
    own = Rows(rows.cells[part], rows.bad[part], np.array([0, part.stop - part.start]))
    few = slice(part.start, part.start + 1)
    return Dataset("bank", own, Rows(rows.cells[few], rows.bad[few], np.array([0, 1])), bytes(32))


def one_dp_vector(task: Task, institution: int, noise_variance: int, bits: OsBitSource) -> NDArray[np.int64]:
    """One institution's noised sums by NumPy: what a loop and Flower's clients compute."""
    start, stop = task.rows.offsets[institution : institution + 2].tolist()
    offsets = np.array([0, stop - start])
    sums = binned_numpy.residual_sums(
        task.tables, SCALE, task.rows.cells[start:stop], task.rows.bad[start:stop], offsets
    )[0]
    words = bits.stream(institution.to_bytes(8, "big"), rounded_gaussian.bytes_needed(sums.size))
    return sums + rounded_gaussian.draw(noise_variance, sums.size, words)


def numpy_loop(task: Task, noise_variance: int) -> NDArray[np.int64]:
    """A round by a plain loop over institutions."""
    bits, total = OsBitSource(), np.zeros(task.tables.length, dtype=np.int64)
    for institution in range(task.rows.n_institutions):
        total += one_dp_vector(task, institution, noise_variance, bits)
    return total


class Floor:
    """The same round in C, compiled here by `cc`."""

    def __init__(self, folder: Path) -> None:
        source, library = Path(__file__).with_name("cohort_floor.c"), folder / "floor.so"
        flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
        subprocess.run(["cc", *flags, "-o", str(library), str(source), "-lm"], check=True)
        self._round = ctypes.CDLL(str(library)).dp_round

    def total(self, task: Task, stddev: float) -> NDArray[np.int64]:
        """Released sums of a round, noised unless `stddev` is 0."""
        rows, tables = task.rows, task.tables
        arrays = (tables.starts[:-1].astype(np.int32), tables.weights.astype(np.int32), tables.places.astype(np.int32))
        residuals, total = residual_table(SCALE).astype(np.int16), np.empty(tables.length, dtype=np.int64)
        integer = ctypes.c_int64
        self._round(
            _at(rows.cells), _at(rows.bad), _at(rows.offsets), integer(rows.n_institutions),
            integer(rows.cells.shape[1]), *(_at(one) for one in arrays), integer(len(tables.weights)),
            ctypes.c_int32(tables.intercept), integer(tables.intercept_place), _at(residuals), integer(MARGIN_LIMIT),
            integer(tables.length), ctypes.c_double(stddev), ctypes.c_uint64(7), _at(total),
        )  # fmt: skip
        return total


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
