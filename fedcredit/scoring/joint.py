"""One number of another institution in a score: what it is made of, and how it joins.

The answering side adds up its own block's weights for a person, each less the population's mean, and rounds the sum to
a public step within a public limit: a whole number k of few values. On the asking side a person with a number is scored
by a card of their own: every weight of the own view times the slope that a job on linked rows fitted for the
thickness of the person's file, its intercept, and the number as one more feature with one bin per value of k, worth
λ·k·step. So a joint score is a sum of integer points as any other, and its reasons reproduce it. Without a number a
person's score is the own view.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import Feature, IntegersGrid
from fedcredit.errors import ConfigError
from fedcredit.models.scorecard_release import ScorecardFeature
from fedcredit.models.scorecard_spec import WEIGHT_SCALE
from fedcredit.package.contents import FileTerms, JointView, ModelPackage
from fedcredit.scoring.card import FeatureTable, ScoringCard, card_of
from fedcredit.scoring.kernel import Column, Scores, TableScorer

NO_JOINT_VIEW = "the package has no joint view (λ = 0): a peer's number would change nothing, so nobody asks for one"


def joint_view(package: ModelPackage) -> JointView:
    """The package's joint view.

    Raises
    ------
    ConfigError
        If it has none: nobody needs the number then.
    """
    if package.head.joint is None:
        raise ConfigError(f"{NO_JOINT_VIEW}; pack the run again after a job on linked rows, or with --joint-weight.")
    return package.head.joint


class JointScorer:
    """Scores columns of values, with a peer's number where there is one.

    Parameters
    ----------
    card
        The own view.
    block
        The peer's block.

    Attributes
    ----------
    card
        The own view with the number as its last feature, for names and texts.
    block
        The peer's block.

    Raises
    ------
    ConfigError
        If the package has no joint view for this view and block, or the card scores the block itself.
    """

    def __init__(self, card: ScoringCard, block: str) -> None:
        self._joint, self.block = _joint_of(card, block), block
        peer = _peer_feature(self._joint, block)
        own = {name: _scaled(card, terms) for name, terms in self._joint.files.items()}
        self._scorers = {
            name: TableScorer(_joined(own[name], peer, self._joint, terms.weight))
            for name, terms in self._joint.files.items()
        }
        self._alone = TableScorer(_joined(card, peer, self._joint, 0))
        self.card = self._alone.card

    def useful(self, columns: Sequence[Column], n_rows: int) -> NDArray[np.bool_]:
        """Customers whose score the number would change: those of whose file λ is not 0; shape (n_rows,).

        Parameters
        ----------
        columns
            Of the own view's features, as `TableScorer.score` takes them.
        """
        weights = {name: terms.weight > 0 for name, terms in self._joint.files.items()}
        return np.where(self._thin(columns, n_rows), weights["thin"], weights["thick"])

    def score(self, columns: Sequence[Column], numbers: NDArray[np.float64]) -> Scores:
        """Score rows.

        Parameters
        ----------
        columns
            Of the own view's features.
        numbers
            The peer's numbers, NaN where there is none; shape (n,).
        """
        n_rows, thin, there = len(numbers), self._thin(columns, len(numbers)), ~np.isnan(numbers)
        both = [*columns, numbers]
        found = self._alone.score(both, n_rows)
        for scorer, rows in ((self._scorers["thin"], thin & there), (self._scorers["thick"], ~thin & there)):
            which = np.flatnonzero(rows)
            if len(which):
                part = scorer.score([None if one is None else one[which] for one in both], len(which))
                _put(found, which, part)
        return found

    def _thin(self, columns: Sequence[Column], n_rows: int) -> NDArray[np.bool_]:
        """Whose file is thin, by the rule of the dictionary; shape (n_rows,)."""
        card = self._alone.card
        rule = card.package.dictionary.institution_type(card.view).thin_when_missing
        if not rule:
            return np.zeros(n_rows, dtype=np.bool_)
        thin = np.ones(n_rows, dtype=np.bool_)
        for table, column in zip(card.features, columns, strict=False):
            if table.feature.name in rule and column is not None:
                known = np.isfinite(column) if table.feature.range else column != table.feature.missing_cell
                thin &= ~known
        return thin


class BlockScorer:
    """Numbers of one block for a peer.

    Parameters
    ----------
    package
        The package; its joint view says step and limit.
    view
        Institution type that owns the block.
    block
        The block.

    Attributes
    ----------
    card
        The block's features only.

    Raises
    ------
    ConfigError
        If the package has no joint view of that block, or the type has no such block.
    """

    def __init__(self, package: ModelPackage, view: str, block: str) -> None:
        self._joint = joint_view(package)
        whole = card_of(package, view)
        if block not in whole.blocks:
            raise ConfigError(f"a {view} has no block {block!r:.80}; choose from: {', '.join(whole.blocks)}.")
        if self._joint.block not in (None, block):
            raise ConfigError(f"the package's joint view is of block {self._joint.block}, not {block}; serve that one.")
        own = tuple(table for table in whole.features if table.feature.block == block)
        self.card = replace(whole, features=own)
        self._mean = whole.base_weight + sum(int(table.weights[table.neutral]) for table in own)
        self._scorer = TableScorer(self.card)

    def steps(self, columns: list[Column], n_rows: int) -> NDArray[np.int64]:
        """Whole numbers of steps; shape (n_rows,)."""
        contributions = self._scorer.score(columns, n_rows).margins - self._mean
        steps = np.rint(contributions / self._joint.step).astype(np.int64)
        return np.clip(steps, -self._joint.limit, self._joint.limit)


def _joint_of(card: ScoringCard, block: str) -> JointView:
    joint, dictionary = joint_view(card.package), card.package.dictionary
    if block not in dictionary.blocks or block in card.blocks:
        others = [name for name in dictionary.blocks if name not in card.blocks]
        raise ConfigError(f"{block!r:.80} is no block that a {card.view} lacks; choose from: {', '.join(others)}.")
    if joint.view not in (None, card.view) or joint.block not in (None, block):
        raise ConfigError(
            f"the package's joint view adds block {joint.block} to the view of a {joint.view}, not {block} to that of "
            f"a {card.view}; choose those, or score without a peer."
        )
    return joint


def _scaled(card: ScoringCard, terms: FileTerms) -> ScoringCard:
    """The card with every weight of its view times the slope, and the intercept added, in whole 1/1024 logit."""
    model = card.package.model
    features = tuple(_times(feature, terms.slope) for feature in model.features)
    intercept = terms.intercept + _part(model.intercepts[card.view], terms.slope)
    changed = model.model_copy(update={"features": features, "intercepts": {**model.intercepts, card.view: intercept}})
    scaled = card_of(replace(card.package, model=changed), card.view)
    return replace(scaled, package=card.package)


def _times(feature: ScorecardFeature, slope: int) -> ScorecardFeature:
    bins = tuple(one.model_copy(update={"weight": _part(one.weight, slope)}) for one in feature.bins)
    return feature.model_copy(update={"bins": bins})


def _part(weight: int, slope: int) -> int:
    return (weight * slope + WEIGHT_SCALE // 2) // WEIGHT_SCALE


def _peer_feature(joint: JointView, block: str) -> Feature:
    return Feature(
        name=f"peer_{block}"[:63],
        block=block,
        type="integer",
        range=(-joint.limit, joint.limit),
        grid=IntegersGrid(kind="integers"),
        data_class="private",
        purpose="joint view of one person",
        basis="consent",
        reason=joint.reason,
    )


def _joined(card: ScoringCard, peer: Feature, joint: JointView, weight: int) -> ScoringCard:
    """The card with the number as its last feature."""
    steps = np.arange(-joint.limit, joint.limit + 1)
    logits = weight / WEIGHT_SCALE * joint.step * steps / 1024
    factor = card.package.head.scale.points_scale().factor
    nothing = np.zeros(2, dtype=np.int64)
    table = FeatureTable(
        peer,
        steps[1:].astype(np.float64),
        np.concatenate([np.rint(logits * 1024).astype(np.int64), nothing]),
        np.concatenate([np.rint(-factor * logits).astype(np.int64), nothing]),
        0,
    )
    return replace(card, features=(*card.features, table))


def _put(scores: Scores, rows: NDArray[np.int64], part: Scores) -> None:
    for name in ("margins", "points", "reasons", "lost"):
        getattr(scores, name)[rows] = getattr(part, name)
