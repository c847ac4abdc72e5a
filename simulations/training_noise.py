"""How much a model's AUC owes to the draw of the noise in its training: the weights' noise drawn again.

The size of the noise that training left in each weight is public (`fedcredit.report.reason_stability`). The released
weights are moved by independent normal errors of that size, the same test records are scored again, and the spread of
the AUCs is what another draw of the noise would do, records fixed. The estimate errs towards more noise, as that module
says: about twofold where it was compared with jobs that differ in their noise only (docs/report.md). Nothing of it goes
into a release: it is a simulation's, over its own test records.
"""

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.rows import Cells
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.job.released import job_summary
from fedcredit.job.released_counts import released_counts
from fedcredit.models.family import family_of
from fedcredit.models.scorecard_release import read_release
from fedcredit.models.scorecard_spec import ScorecardSpec
from fedcredit.report.inputs import ReportInputs
from fedcredit.report.reason_stability import weight_noise
from simulations.federation import JobOutcome
from simulations.paired import Ranked, auc_difference

DRAWS = 24
_SEED = 20261122


def auc_noise(
    dictionary: DataDictionary, outcome: JobOutcome, kind: str, cells: Cells, labels: NDArray[np.uint8]
) -> float | None:
    """Standard deviation of the AUC over the training's noise; None where single weights' noise is not known.

    Parameters
    ----------
    kind
        Institution type whose view scores.
    cells
        Shape (n, J): grid cells of all features.
    labels
        Shape (n,): 1 for bad.
    """
    if not isinstance(outcome.plan.model, ScorecardSpec):
        return None
    inputs = _inputs(dictionary, outcome)
    noise = weight_noise(inputs, outcome.plan.model)
    if not any(stddev.any() for stddev in noise.values()):
        return 0.0
    features = {one.name: one for one in read_release(inputs.model).features}
    columns, stddevs, fixed = [], [], np.zeros(len(labels))
    for index in dictionary.owned(kind):
        one = features[dictionary.features[index].name]
        bin_of_cell = np.zeros(dictionary.features[index].n_cells, dtype=np.int64)
        for number, found in enumerate(one.bins):
            bin_of_cell[list(found.cells)] = number
        columns.append(bin_of_cell[cells[:, index]])
        stddevs.append(noise[one.name])
        fixed += np.array([found.weight for found in one.bins])[columns[-1]] / 1024
    before, generator, moved = Ranked(labels, fixed), np.random.default_rng(_SEED), []
    for _ in range(DRAWS):
        errors = (generator.normal(0.0, stddev)[column] for column, stddev in zip(columns, stddevs, strict=True))
        difference = auc_difference(Ranked(labels, fixed + sum(errors)), before)
        if difference is None:
            return None
        moved.append(difference.value)
    return float(np.std(moved, ddof=1))


def _inputs(dictionary: DataDictionary, outcome: JobOutcome) -> ReportInputs:
    plan, progress = outcome.plan, outcome.progress
    return ReportInputs(
        plan=plan,
        dictionary=dictionary,
        model=family_of(plan.model.family).release(progress.state),
        counts=released_counts(plan, dictionary, progress),
        job=job_summary(plan, progress),
        statements={},
        hashes={},
    )
