"""The joint view in a simulation: a linked job after the base job, within one budget.

The base job gives the released model; linked rows are scored with it; a second, ordinary job over the institutions that
hold linked rows fits the joint view. Both jobs are charged to the same population, so their costs must add up to the
target: a public share of it is the linked job's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.roles import content_fingerprint
from fedcredit.data.rows import Dataset, Rows, single
from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError, PrivacyError
from fedcredit.linked.budget import SHARES, require_share, split_epsilon
from fedcredit.linked.dictionary import linked_dictionary
from fedcredit.linked.scores import block_steps, file_codes, linked_cells, own_view
from fedcredit.models.family import family_of
from fedcredit.models.joint_release import JointView, read_joint_view
from fedcredit.models.joint_spec import JointSpec
from fedcredit.plan import Placement, Plan, PrivacyTerms
from fedcredit.planning import accountant_for
from fedcredit.privacy.accounting import GaussianAccountant
from fedcredit.privacy.printed import at_most_digits
from fedcredit.privacy.statement import PrivacyStatement, planned_cost
from fedcredit.wire.canonical import canonical_json, digest
from simulations.comparisons import Scores, privacy_of_fewer
from simulations.federation import Institution, JobOutcome, JobSpec, found, run_in_process
from simulations.partition import Part, PooledTable
from simulations.placement import Masks

_KEY = b"simulated institution key (not secret)"


@dataclass(frozen=True, slots=True)
class LinkedRows:
    """Customers of one institution of whom another one knows something, and who consent.

    Attributes
    ----------
    own
        Shape (n, J_own): grid cells of the holder's features, in the base dictionary's order.
    other
        Shape (n, J_other): grid cells of the other type's features.
    bad
        Shape (n,): the holder's own outcome.
    """

    own: NDArray[np.uint16]
    other: NDArray[np.uint16]
    bad: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LinkedInstitution:
    """One institution's linked rows in the two roles, which are those of the base job."""

    id: str
    train: LinkedRows
    evaluate: LinkedRows


@dataclass(frozen=True, slots=True)
class JointOutcome:
    """A fitted joint view.

    Attributes
    ----------
    base, linked
        Dictionaries of the two jobs.
    kind, other
        Whose customers are scored, and whose block is added.
    released
        JSON value of the base model.
    job
        The linked job.
    """

    base: DataDictionary
    linked: DataDictionary
    kind: str
    other: str
    released: Mapping[str, Any]
    job: JobOutcome

    @property
    def view(self) -> JointView:
        """The released joint view."""
        return read_joint_view(family_of(self.job.plan.model.family).release(self.job.progress.state))

    def score(self, own: NDArray[np.uint16], other: NDArray[np.uint16]) -> Scores:
        """Score linked persons; the shapes are those of `LinkedRows`."""
        family = family_of(self.job.plan.model.family)
        cells = cells_of(self.base, self.linked, self.released, self.kind, self.other, own, other)
        margins = family.margins(
            self.job.plan.model, self.linked, self.kind, family.final(self.job.progress.state), cells
        )
        return Scores(1.0 / (1.0 + np.exp(-margins / 1024.0)))


def split_budget(privacy: PrivacyTerms, percent: int) -> tuple[PrivacyTerms, PrivacyTerms]:
    """Terms of the base and of the linked job, whose costs together meet the target.

    Parameters
    ----------
    percent
        The linked job's share of the whole cost.

    Raises
    ------
    PrivacyError
        If the share leaves one of the jobs nothing.
    """
    require_share(percent)
    epsilon, delta = privacy.epsilon, privacy.delta
    if epsilon is None or delta is None:
        return privacy, privacy
    base, linked = split_epsilon(epsilon, delta, percent)
    return privacy.model_copy(update={"epsilon": base}), privacy.model_copy(update={"epsilon": linked})


def run_joint(
    base: DataDictionary,
    outcome: JobOutcome,
    institutions: tuple[LinkedInstitution, ...],
    kinds: tuple[str, str],
    spec: JobSpec,
    *,
    masks: Masks = "auto",
    folder: Path | None = None,
) -> JointOutcome:
    """Fit the joint view over linked rows.

    Parameters
    ----------
    outcome
        The finished base job.
    kinds
        Whose customers are scored, and whose block is added.
    spec
        The linked job: a model of family ``joint`` (or any other over the linked dictionary), and the terms that
        `split_budget` gave.
    masks
        As asked for.
    folder
        Where ledgers and the job store go; None keeps them in memory.

    Raises
    ------
    ConfigError, PrivacyError
        If the job cannot be planned.
    """
    kind, other = kinds
    released = family_of(outcome.plan.model.family).release(outcome.progress.state)
    linked = linked_dictionary(base, kind, other, digest("model", canonical_json(released)))
    members = tuple(Institution(one.id, kind, _dataset(base, linked, released, kinds, one)) for one in institutions)
    own = replace(spec, privacy=privacy_of_fewer(spec, len(members), masks))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    job = run_in_process(found(linked, members, own), own, folder=folder)
    return JointOutcome(base, linked, kind, other, released, job)


def require_within(target: PrivacyTerms, kind: str, *plans: Plan) -> None:
    """Check that some plans' costs for one institution type meet a target together.

    Raises
    ------
    PrivacyError
        If they do not.
    """
    if target.placement is Placement.NONE or target.epsilon is None or target.delta is None:
        return
    accountant = GaussianAccountant.for_target(target.epsilon, target.delta)
    cost = sum(planned_cost(plan, kind, accountant) for plan in plans)
    if cost > accountant.budget:
        raise PrivacyError(
            f"the base and the linked job together cost a {kind} more than epsilon {target.epsilon}; split it anew."
        )


def linked_spec(job: JobSpec, privacy: PrivacyTerms, model: JointSpec) -> JobSpec:
    """The linked job that follows a base job: its own model and budget shares, everything else the same.

    Raises
    ------
    ConfigError
        If the base job is sampled: its ledger counts by another unit than shares of mu².
    """
    if not isinstance(accountant_for(job.privacy, _rate(job)), GaussianAccountant) and job.privacy.epsilon:
        raise ConfigError(
            f"a joint view after a sampled base job of family {job.model.family!r} is not supported; use a family of "
            "whole batches."
        )
    return replace(job, name="linked", model=model, privacy=privacy, shares=SHARES, kernel="numpy")


def cells_of(
    base: DataDictionary,
    linked: DataDictionary,
    released: Mapping[str, Any],
    kind: str,
    other: str,
    own: NDArray[np.uint16],
    others: NDArray[np.uint16],
) -> NDArray[np.uint16]:
    """Grid cells of linked rows under the linked dictionary; shape (n, 3)."""
    return linked_cells(
        linked,
        own_view(released, base, kind, own),
        block_steps(released, base, kind, other, others),
        file_codes(base, kind, own),
    )


def kinds_of(dictionary: DataDictionary, customers: str | None = None) -> tuple[str, str]:
    """Whose customers get a joint view, and whose block is added.

    Parameters
    ----------
    customers
        Institution type; None takes the first one of the dictionary. The block is that of the first other type.

    Raises
    ------
    ConfigError
        If there are not two types, or there is none of that name.
    """
    if len(dictionary.kinds) < 2:
        raise ConfigError(
            f"dictionary {dictionary.name!r} has one institution type; a joint view needs two. Set linked.percent=0."
        )
    kind = dictionary.kinds[0] if customers is None else customers
    if kind not in dictionary.kinds:
        known = ", ".join(dictionary.kinds)
        raise ConfigError(f"linked.customers={kind!r} is no institution type of {dictionary.name!r}; choose: {known}.")
    return kind, next(one for one in dictionary.kinds if one != kind)


def link_all(
    dictionary: DataDictionary,
    table: PooledTable,
    parts: Sequence[Part],
    names: Sequence[tuple[str, str]],
    kinds: tuple[str, str],
) -> tuple[LinkedInstitution, ...]:
    """Link every row of one type's institutions with another type's columns of the same row."""
    kind, other = kinds
    own, others = list(dictionary.owned(kind)), list(dictionary.owned(other))

    def rows(chosen: NDArray[np.int64]) -> LinkedRows:
        cells = table.cells[chosen]
        return LinkedRows(cells[:, own], cells[:, others], table.bad[chosen])

    return tuple(
        LinkedInstitution(name, rows(part.train), rows(part.test))
        for (name, of_kind), part in zip(names, parts, strict=True)
        if of_kind == kind
    )


def added_up(
    base: Mapping[str, PrivacyStatement], linked: Mapping[str, PrivacyStatement]
) -> dict[str, PrivacyStatement]:
    """What each institution spent in both jobs together; costs in mu² add up."""
    return {name: _sum(one, linked[name]) if name in linked else one for name, one in base.items()}


def linked_note(linked: JobSpec | None, target: PrivacyTerms, n_institutions: int) -> tuple[str, ...]:
    """What a reader of the plan has to know of the linked job, if there is one."""
    if linked is None:
        return ()
    rows = f"A linked job over the consented linked rows of {n_institutions} institutions follows and fits a joint view"
    if linked.privacy.epsilon is None:
        return (f"{rows}.",)
    own = at_most_digits(linked.privacy.epsilon)
    return (f"{rows}; its ε is {own}, and both jobs together keep ε = {target.epsilon:g}.",)


def _sum(first: PrivacyStatement, second: PrivacyStatement) -> PrivacyStatement:
    delta = first.delta
    if delta is None:
        return first

    def added(mine: float | None, theirs: float | None) -> float | None:
        if mine is None or theirs is None:
            return None
        costs = [GaussianAccountant.for_target(epsilon, delta).budget for epsilon in (mine, theirs) if epsilon]
        total = sum(costs, Fraction(0))
        return GaussianAccountant(total).epsilon(total, delta) if total else 0.0

    return replace(
        first,
        epsilon_outsider=added(first.epsilon_outsider, second.epsilon_outsider),
        epsilon_t=added(first.epsilon_t, second.epsilon_t),
        epsilon_all_others=added(first.epsilon_all_others, second.epsilon_all_others),
        epsilon_one_colludes=added(first.epsilon_one_colludes, second.epsilon_one_colludes),
        epsilon_half_collude=added(first.epsilon_half_collude, second.epsilon_half_collude),
        epsilon_planned=added(first.epsilon_planned, second.epsilon_planned),
        epsilon_spent=added(first.epsilon_spent, second.epsilon_spent),
    )


def _rate(job: JobSpec) -> float:
    return float(getattr(job.model, "sampling_rate", 1.0))


def _dataset(
    base: DataDictionary,
    linked: DataDictionary,
    released: Mapping[str, Any],
    kinds: tuple[str, str],
    one: LinkedInstitution,
) -> Dataset:
    train, evaluate = (_rows(base, linked, released, kinds, part) for part in (one.train, one.evaluate))
    cells, bad = np.concatenate([train.cells, evaluate.cells]), np.concatenate([train.bad, evaluate.bad])
    return Dataset(kinds[0], train, evaluate, content_fingerprint(_KEY, cells, bad, None))


def _rows(
    base: DataDictionary, linked: DataDictionary, released: Mapping[str, Any], kinds: tuple[str, str], part: LinkedRows
) -> Rows:
    return single(cells_of(base, linked, released, *kinds, part.own, part.other), part.bad)
