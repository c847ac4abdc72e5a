"""After the joint job: rows of consenting persons are linked, and the joint view is fitted and judged by segment.

The linked job is an ordinary job within the same budget (`simulations.joint_view`). A bank's customer who is linked is
scored by the joint view, everybody else by the bank's view.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.models.joint_spec import JointSpec
from simulations.comparisons import ALL_COLUMNS, Scores
from simulations.federation import JobOutcome, JobSpec
from simulations.joint_view import JointOutcome, linked_spec, require_within, run_joint, split_budget
from simulations.placement import Masks
from simulations.population.consortium import BANK, HOSPITAL, Consortium, linked_institutions, linked_rows
from simulations.population.segments import SegmentFigures, figures_by_segment

LINKED_PERCENT = 15
"""The linked job's share of the whole cost: three coefficients need less than a scorecard."""

ALONE, SAME_TYPE, OWN_VIEW, JOINT = "bank alone, no privacy", "banks together", "joint, bank columns", "joint, linked"
POOLED_BANK, POOLED_ALL = "pooled, bank columns, no privacy", "pooled, no privacy"


@dataclass(frozen=True, slots=True)
class Rivals:
    """Scores of the banks' test customers by other models; empty where they did not run.

    Attributes
    ----------
    alone
        Per bank its own model's.
    same_type, pooled
        Per view.
    """

    alone: Mapping[str, Scores]
    same_type: Mapping[str, Scores]
    pooled: Mapping[str, Scores]


@dataclass(frozen=True, slots=True)
class Linked:
    """What linking gave.

    Attributes
    ----------
    outcome
        The linked job; None where nobody can be linked.
    joint
        Every test customer of the banks, linked or not.
    figures
        By model and segment.
    """

    outcome: JointOutcome | None
    joint: Scores
    figures: tuple[SegmentFigures, ...]


@dataclass(frozen=True, slots=True)
class Linking:
    """How rows are linked after the joint job.

    Attributes
    ----------
    whole
        The job as asked for, with the whole budget: a rival that links nothing spends all of it.
    spec
        The linked job.
    """

    consortium: Consortium
    whole: JobSpec
    spec: JobSpec
    masks: Masks

    def run(self, outcome: JobOutcome, bank_view: Scores, rivals: Rivals) -> Linked:
        """Fit the joint view and judge every model by segment.

        Parameters
        ----------
        outcome
            The finished joint job.
        bank_view
            Its scores of the banks' test customers.
        """
        linked, joint = self._fit(outcome, bank_view)
        scores = {**_rival_scores(self.consortium, rivals), OWN_VIEW: bank_view.pd, JOINT: joint.pd}
        rows = self.consortium.test_customers(BANK)
        truth = self.consortium.population.outcomes.true_pd_bank[rows]
        figures = figures_by_segment(
            scores,
            segments_of(self.consortium),
            self.consortium.labels(BANK)[rows],
            truth,
            SAME_TYPE if SAME_TYPE in scores else OWN_VIEW,
        )
        return Linked(linked, joint, figures)

    def _fit(self, outcome: JobOutcome, bank_view: Scores) -> tuple[JointOutcome | None, Scores]:
        institutions = linked_institutions(self.consortium, BANK, HOSPITAL)
        if not all(one.train.bad.size for one in institutions):
            return None, bank_view
        found = run_joint(self.consortium.dictionary, outcome, institutions, (BANK, HOSPITAL), self.spec, self.masks)
        require_within(self.whole.privacy, BANK, outcome.plan, found.job.plan)
        persons = self.consortium.test_customers(BANK)
        linked = self.consortium.population.linked[persons]
        rows = linked_rows(self.consortium, BANK, HOSPITAL, persons[linked])
        pd = bank_view.pd.copy()
        pd[linked] = found.score(rows.own, rows.other).pd
        return found, Scores(pd)


def link(job: JobSpec, masks: Masks, consortium: Consortium) -> tuple[JobSpec, Linking]:
    """Divide a job's budget between the joint job, which is returned first, and the linked one."""
    base, linked = split_budget(job.privacy, LINKED_PERCENT)
    return replace(job, privacy=base), Linking(consortium, job, linked_spec(job, linked, JointSpec()), masks)


def segments_of(consortium: Consortium) -> dict[str, NDArray[np.bool_]]:
    """Members of each segment among the banks' test customers."""
    rows = consortium.test_customers(BANK)
    population = consortium.population
    thin, linked = population.places.thin_file[rows], population.linked[rows]
    return {
        "all": np.ones(rows.size, dtype=np.bool_),
        "rural": population.persons.rural[rows],
        "thin file": thin,
        "micro-business": population.persons.micro_business[rows],
        "linked": linked,
        "linked, thin file": linked & thin,
    }


def _rival_scores(consortium: Consortium, rivals: Rivals) -> dict[str, NDArray[np.float64]]:
    """Scores by name of the model; `alone` is each customer by the own bank's model."""
    scores: dict[str, NDArray[np.float64]] = {}
    if rivals.alone:
        own = consortium.population.places.bank[consortium.test_customers(BANK)]
        by_bank = np.stack([rivals.alone[name].pd for name in consortium.population.spec.bank_ids])
        scores[ALONE] = by_bank[own, np.arange(own.size)]
    named = (
        (SAME_TYPE, rivals.same_type, BANK),
        (POOLED_BANK, rivals.pooled, BANK),
        (POOLED_ALL, rivals.pooled, ALL_COLUMNS),
    )
    return {**scores, **{name: found[view].pd for name, found, view in named if view in found}}
