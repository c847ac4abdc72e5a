"""Part 2: who took part, how many records that is by the released counts, and what is missing in them."""

from dataclasses import dataclass

import numpy as np

from fedcredit.evaluation.figure import Figure, within
from fedcredit.evaluation.ratio import ratio
from fedcredit.evaluation.reliability import bad_share
from fedcredit.job.released_counts import FeatureCounts
from fedcredit.report.inputs import ReportInputs


@dataclass(frozen=True, slots=True)
class Participant:
    """One institution: its declared size, whether it stayed to the end, whether it signed a receipt."""

    institution: str
    kind: str
    region: str | None
    public_size: int
    stayed: bool
    receipt: bool


@dataclass(frozen=True, slots=True)
class KindTotals:
    """Evaluation records of one institution type, by the released counts, noise included."""

    kind: str
    records: float
    bads: float
    noise_stddev: float
    bad_rate: Figure


@dataclass(frozen=True, slots=True)
class Missing:
    """Share of a feature's training records without a usable value."""

    feature: str
    block: str
    share: Figure


@dataclass(frozen=True, slots=True)
class Participants:
    """The part.

    Attributes
    ----------
    rounds_planned, rounds_trained
        Of training.
    """

    coordinator: str
    coordinator_region: str | None
    roster_version: int
    participants: tuple[Participant, ...]
    rounds_planned: int
    rounds_trained: int
    totals: tuple[KindTotals, ...]
    missing: tuple[Missing, ...]


def participants_of(inputs: ReportInputs) -> Participants:
    """Compute the part."""
    plan = inputs.plan
    stayed = set(inputs.job["institutions"])
    return Participants(
        coordinator=plan.coordinator,
        coordinator_region=plan.coordinator_region,
        roster_version=plan.roster.version,
        participants=tuple(
            Participant(one.id, one.kind, one.region, one.public_size, one.id in stayed, one.id in inputs.statements)
            for one in plan.roster.members
        ),
        rounds_planned=int(inputs.job["rounds_planned"]),
        rounds_trained=int(inputs.job["rounds_trained"]),
        totals=_totals(inputs),
        missing=_missing(inputs),
    )


def _totals(inputs: ReportInputs) -> tuple[KindTotals, ...]:
    if not inputs.counts.groupings:
        return ()
    by_type = inputs.counts.groupings[0]
    width = by_type.counts.shape[2]
    return tuple(
        KindTotals(
            kind,
            records=float(good.sum() + bad.sum()),
            bads=float(bad.sum()),
            noise_stddev=float(noise) * (2 * width) ** 0.5,
            bad_rate=within(bad_share(good, bad, float(noise)), 0.0, 1.0),
        )
        for kind, (good, bad), noise in zip(by_type.groups, by_type.counts, by_type.noise_stddev, strict=True)
    )


def _missing(inputs: ReportInputs) -> tuple[Missing, ...]:
    blocks = {feature.name: feature.block for feature in inputs.dictionary.features}
    return tuple(Missing(one.name, blocks[one.name], missing_share(one)) for one in inputs.counts.features)


def missing_share(counts: FeatureCounts) -> Figure:
    """Share of records in a feature's last cell, the one of missing and unknown values."""
    cells = np.array([counts.counts[:-1].sum(), counts.counts[-1].sum()])
    variance = counts.noise_stddev**2 * 2.0 * np.array([len(counts.counts) - 1, 1])
    return within(ratio(np.array([0.0, 1.0]), np.ones(2), cells, variance), 0.0, 1.0)
