"""Part 1: what the model is for, whom it was made on, and what it was asked to predict."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.dictionary.schema import DataDictionary
from fedcredit.report.inputs import ReportInputs


@dataclass(frozen=True, slots=True)
class Target:
    """What bad means for one institution type; the window is in months."""

    kind: str
    name: str
    definition: str
    window_months: int | None


@dataclass(frozen=True, slots=True)
class Purpose:
    """Purpose and population.

    Attributes
    ----------
    population, exclusions, windows
        Sentences.
    settings
        What a simulation was asked to run, by name.
    """

    job: str
    purpose: str
    family: str
    data: str
    source: str
    licence: str
    currency: str | None
    targets: tuple[Target, ...]
    population: str
    exclusions: str
    windows: str
    settings: Mapping[str, str]


def purpose_of(inputs: ReportInputs) -> Purpose:
    """Compute the part."""
    plan, dictionary = inputs.plan, inputs.dictionary
    held_out = plan.evaluation_percent
    return Purpose(
        job=plan.job,
        purpose=plan.purpose,
        family=plan.model.family,
        data=dictionary.title,
        source=dictionary.source,
        licence=dictionary.licence,
        currency=dictionary.currency,
        targets=tuple(_target(dictionary, kind) for kind in dictionary.kinds),
        population=(
            f"Customers of {len(plan.members)} institutions, each scored with the columns of its institution's type. "
            f"About {held_out} % of the records, chosen by keyed hash, are held out and evaluate the model."
        ),
        exclusions=(
            "Each institution's mapping and selection stay with it. Records without an outcome take no part; a value "
            "out of range counts at the end of the range, an unknown one as missing."
        ),
        windows=(
            "Training and evaluation records are of the same period: nothing here is a test on later applications "
            "(out of time). Features are to be dated at or before the application; each institution answers for that."
        ),
        settings=dict(inputs.settings),
    )


def _target(dictionary: DataDictionary, kind: str) -> Target:
    target = dictionary.institution_type(kind).target
    return Target(kind, target.name, target.definition, target.window_months)
