"""The charged sums of a job that reports and monitoring are arithmetic on, as one file.

Preflight released class counts of every feature, evaluation released class counts of the scores per group. Both are
in records, noise included: some are negative, none is a whole number of people. What noise stands on each of them
follows from the plan and from who took part, and stands beside them. The sums of the training rounds are not in the
file: they made the model, and nobody reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.errors import ConfigError
from fedcredit.evaluation.group_labels import group_labels
from fedcredit.evaluation.score_grid import ScoreGrid
from fedcredit.job.progress import Progress, noise_variance, scored_model
from fedcredit.plan import Plan
from fedcredit.wire.canonical import parse_json
from fedcredit.wire.messages import Role

Floats = NDArray[np.float64]
VERSION = 1


@dataclass(frozen=True, slots=True)
class FeatureCounts:
    """A feature's training records per grid cell and class.

    Attributes
    ----------
    counts
        Shape (n_cells, 2): goods and bads, in records; may be negative.
    noise_stddev
        Standard deviation of the noise on one count, in records; 0 without privacy.
    """

    name: str
    counts: Floats
    noise_stddev: float


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """Evaluation records per group, class and score bin.

    Attributes
    ----------
    grouping
        ``type`` or what else the plan groups by.
    groups
        Names of the G groups.
    counts
        Shape (G, 2, B): goods and bads, lowest PD first, in records; may be negative.
    noise_stddev
        Shape (G,): standard deviation of the noise on one count, in records.
    """

    grouping: str
    groups: tuple[str, ...]
    counts: Floats
    noise_stddev: Floats


@dataclass(frozen=True, slots=True)
class ReleasedCounts:
    """Everything in the file; an empty tuple for a phase that did not run.

    Attributes
    ----------
    grid
        The score bins; None where evaluation did not run.
    """

    features: tuple[FeatureCounts, ...]
    grid: ScoreGrid | None
    groupings: tuple[GroupCounts, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "version": VERSION,
            "preflight": [
                {"feature": one.name, "noise_stddev": one.noise_stddev, "counts": one.counts.tolist()}
                for one in self.features
            ],
            "score_edges": None if self.grid is None else list(self.grid.edges),
            "weight_scale": None if self.grid is None else self.grid.weight_scale,
            "evaluation": [
                {
                    "grouping": one.grouping,
                    "groups": list(one.groups),
                    "noise_stddev": one.noise_stddev.tolist(),
                    "counts": one.counts.tolist(),
                }
                for one in self.groupings
            ],
        }


def released_counts(plan: Plan, dictionary: DataDictionary, progress: Progress) -> ReleasedCounts:
    """Collect the released counts of a job with the noise that stands on them."""
    features: tuple[FeatureCounts, ...] = ()
    if progress.preflight is not None:
        released = progress.preflight
        features = tuple(
            FeatureCounts(*one)
            for one in zip(dictionary.feature_names, released.counts, released.noise_stddev, strict=True)
        )
    if progress.evaluation is None:
        return ReleasedCounts(features, None, ())
    grid = scored_model(plan, progress).grid(plan.evaluation)
    return ReleasedCounts(features, grid, _groupings(plan, dictionary, progress, progress.evaluation))


def parse_counts(data: bytes) -> ReleasedCounts:
    """Read what `ReleasedCounts.to_json` wrote.

    Raises
    ------
    ConfigError
        If the bytes are not that file, or of another version.
    """
    try:
        tree = parse_json(data)
        if tree["version"] != VERSION:
            raise ConfigError(f"the released counts are of version {tree['version']}, not {VERSION}; upgrade one side.")
        edges = tree["score_edges"]
        return ReleasedCounts(
            tuple(map(_feature, tree["preflight"])),
            None if edges is None else ScoreGrid(tuple(map(int, edges)), int(tree["weight_scale"])),
            tuple(map(_group, tree["evaluation"])),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"the bytes are not a job's released counts ({error!r}); were they edited?") from error


def _groupings(
    plan: Plan, dictionary: DataDictionary, progress: Progress, counts: Mapping[str, Floats]
) -> tuple[GroupCounts, ...]:
    variance = noise_variance(plan, dictionary, Role.EVALUATE, progress.members)
    ends = np.cumsum([one.size for one in counts.values()])[:-1]
    stddevs = np.split(np.sqrt(variance) / plan.phases.evaluate.scale, ends)
    return tuple(
        GroupCounts(name, group_labels(dictionary, name), one, noise.reshape(one.shape)[:, 0, 0])
        for (name, one), noise in zip(counts.items(), stddevs, strict=True)
    )


def _feature(tree: Mapping[str, Any]) -> FeatureCounts:
    counts = np.array(tree["counts"], dtype=np.float64).reshape(-1, 2)
    return FeatureCounts(str(tree["feature"]), counts, float(tree["noise_stddev"]))


def _group(tree: Mapping[str, Any]) -> GroupCounts:
    groups = tuple(map(str, tree["groups"]))
    counts = np.array(tree["counts"], dtype=np.float64).reshape(len(groups), 2, -1)
    noise = np.array(tree["noise_stddev"], dtype=np.float64).reshape(len(groups))
    return GroupCounts(str(tree["grouping"]), groups, counts, noise)
