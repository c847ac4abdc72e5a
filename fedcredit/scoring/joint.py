"""One number of another institution in a score: what it is made of, and how it joins.

The answering side adds up its own block's weights for a person, each less the population's mean, and rounds the sum to
a public step within a public limit: a whole number k of few values. The asking side adds λ·k·step to its log-odds and
the points that belong to it, as if the number were one more feature with one bin per value of k. Without a number
nothing is added.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import Feature, IntegersGrid
from fedcredit.errors import ConfigError
from fedcredit.package.contents import JointView, ModelPackage
from fedcredit.scoring.card import FeatureTable, ScoringCard, card_of
from fedcredit.scoring.kernel import Column, TableScorer

NO_JOINT_VIEW = "the package has no joint view (λ = 0): a peer's number would change nothing, so nobody asks for one"


def joint_view(package: ModelPackage) -> JointView:
    """The package's joint view.

    Raises
    ------
    ConfigError
        If it has none: nobody needs the number then.
    """
    if package.head.joint is None:
        raise ConfigError(f"{NO_JOINT_VIEW}; pack one with --joint-weight after a job on linked rows.")
    return package.head.joint


def joint_card(card: ScoringCard, block: str) -> ScoringCard:
    """The card with the number of another block as its last feature.

    Raises
    ------
    ConfigError
        If the package has no joint view, or the card scores the block itself, or there is no such block.
    """
    joint, dictionary = joint_view(card.package), card.package.dictionary
    if block not in dictionary.blocks or block in card.blocks:
        others = [name for name in dictionary.blocks if name not in card.blocks]
        raise ConfigError(f"{block!r:.80} is no block that a {card.view} lacks; choose from: {', '.join(others)}.")
    steps = np.arange(-joint.limit, joint.limit + 1)
    logits = joint.weight * joint.step * steps / 1024
    factor = card.package.head.scale.points_scale().factor
    feature = Feature(
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
    nothing = np.zeros(2, dtype=np.int64)
    table = FeatureTable(
        feature,
        steps[1:].astype(np.float64),
        np.concatenate([np.rint(logits * 1024).astype(np.int64), nothing]),
        np.concatenate([np.rint(-factor * logits).astype(np.int64), nothing]),
        0,
    )
    return replace(card, features=(*card.features, table))


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
        If the package has no joint view, or the type has no such block.
    """

    def __init__(self, package: ModelPackage, view: str, block: str) -> None:
        self._joint = joint_view(package)
        whole = card_of(package, view)
        if block not in whole.blocks:
            raise ConfigError(f"a {view} has no block {block!r:.80}; choose from: {', '.join(whole.blocks)}.")
        own = tuple(table for table in whole.features if table.feature.block == block)
        self.card = replace(whole, features=own)
        self._mean = whole.base_weight + sum(int(table.weights[table.neutral]) for table in own)
        self._scorer = TableScorer(self.card)

    def steps(self, columns: list[Column], n_rows: int) -> NDArray[np.int64]:
        """Whole numbers of steps; shape (n_rows,)."""
        contributions = self._scorer.score(columns, n_rows).margins - self._mean
        steps = np.rint(contributions / self._joint.step).astype(np.int64)
        return np.clip(steps, -self._joint.limit, self._joint.limit)
