"""The knobs of a population, checked.

Defaults describe a regional consortium: six banks, four hospitals, four regions that differ in income and risk. They
hold the realism gates (`simulations.population.gates`); the strength of the traits and the overlap were set with the
gain of a boosting model in view (docs/population.md), before any federated model was run on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Any

from fedcredit.errors import ConfigError

MAX_PERSONS = 20_000_000
MAX_INSTITUTIONS = 500


@dataclass(frozen=True, slots=True)
class UnitMistake:
    """One institution hands in one column in another unit: every value is multiplied by `factor`."""

    institution: str
    column: str
    factor: float


@dataclass(frozen=True, slots=True)
class PopulationSpec:
    """What to draw.

    Attributes
    ----------
    seed
        A population is a function of its specification alone. Person i stays the same person whatever `persons` is.
    persons
        Size of the population. Not everyone is a customer of a bank, or a patient.
    banks, hospitals, regions
        Numbers of each. The first banks serve one region each, further ones the whole country; hospital h serves
        region ``h mod regions``.
    rural_share
        Share of persons outside of towns, on average over regions.
    overlap
        Share of a region's persons who are patients of its hospitals: of the lowest and of the highest region.
    consent_share
        Share of persons who let bank and hospital link their rows.
    thin_share
        Share of persons on whom a bank holds no history: its block is missing.
    micro_business_share
        Share of persons who run a business of their own.
    region_shift
        How much regions differ in capacity; 0 makes them alike.
    label_shift
        How much regions differ in risk that no latent explains; 0 makes them alike.
    under_recording
        Share of rural persons half of whose income is on no paper.
    missingness
        Share of values of the bank and hospital blocks that are missing at random.
    months, drift
        Application months, counted from 1, and how many logits risk rises from the first to the last.
    unit_mistakes
        Columns that an institution hands in in another unit.
    poisoned
        Institutions that hand in every label inverted.
    """

    seed: int = 0
    persons: int = 60_000
    banks: int = 6
    hospitals: int = 4
    regions: int = 4
    rural_share: float = 0.3
    overlap: tuple[float, float] = (0.4, 0.6)
    consent_share: float = 0.8
    thin_share: float = 0.22
    micro_business_share: float = 0.12
    region_shift: float = 1.0
    label_shift: float = 1.0
    under_recording: float = 0.5
    missingness: float = 0.02
    months: int = 24
    drift: float = 0.2
    unit_mistakes: tuple[UnitMistake, ...] = ()
    poisoned: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for name, low, high in _LIMITS:
            for value in _numbers(getattr(self, name)):
                if not (isfinite(value) and low <= value <= high):
                    raise ConfigError(f"population.{name}={value} is outside [{low:g}, {high:g}]; choose another.")
        if self.overlap[0] > self.overlap[1]:
            raise ConfigError(f"population.overlap={list(self.overlap)} must be [lowest, highest]; swap them.")
        known = {*self.bank_ids, *self.hospital_ids}
        named = [("poisoned", name) for name in self.poisoned]
        for knob, name in [*named, *(("unit_mistakes", one.institution) for one in self.unit_mistakes)]:
            if name not in known:
                raise ConfigError(f"population.{knob}: no institution {name!r}; there are: {', '.join(sorted(known))}.")

    @property
    def bank_ids(self) -> tuple[str, ...]:
        """Names of the banks."""
        return tuple(f"bank-{i + 1}" for i in range(self.banks))

    @property
    def hospital_ids(self) -> tuple[str, ...]:
        """Names of the hospitals."""
        return tuple(f"hospital-{i + 1}" for i in range(self.hospitals))


_LIMITS: tuple[tuple[str, float, float], ...] = (
    ("seed", 0, 2**63 - 1),
    ("persons", 1, MAX_PERSONS),
    ("banks", 1, MAX_INSTITUTIONS),
    ("hospitals", 0, MAX_INSTITUTIONS),
    ("regions", 1, 100),
    ("rural_share", 0, 0.7),
    ("overlap", 0, 0.65),  # no more: three in ten persons see no doctor in a year
    ("consent_share", 0, 1),
    ("thin_share", 0, 0.7),
    ("micro_business_share", 0, 0.7),
    ("region_shift", 0, 3),
    ("label_shift", 0, 3),
    ("under_recording", 0, 1),
    ("missingness", 0, 0.9),
    ("months", 1, 120),
    ("drift", -2, 2),
)


def parse_spec(overrides: Sequence[str]) -> PopulationSpec:
    """Read ``knob=value`` texts, as on the command line.

    Parameters
    ----------
    overrides
        ``persons=1000000``, ``overlap=0.3,0.5``, ``poisoned=bank-2``,
        ``unit_mistakes=bank-1:debt_to_income:100``; lists are separated by commas.

    Raises
    ------
    ConfigError
        If a knob is unknown or its value cannot be read.
    """
    known = {one.name: one for one in fields(PopulationSpec)}
    chosen: dict[str, Any] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise ConfigError(f"{text!r} is no knob of a population; write knob=value with one of: {', '.join(known)}.")
        chosen[name] = _read(name, value)
    return PopulationSpec(**chosen)


def _read(name: str, value: str) -> Any:  # noqa: ANN401  (one of a few plain types)
    try:
        match getattr(PopulationSpec(), name):
            case int():
                return int(value)
            case float():
                return float(value)
            case _ if name == "overlap":
                low, high = (float(part) for part in value.split(","))
                return low, high
            case _ if name == "poisoned":
                return tuple(part for part in value.split(",") if part)
            case _:
                return tuple(_mistake(part) for part in value.split(",") if part)
    except ValueError as error:
        raise ConfigError(f"population.{name}={value!r} cannot be read ({error}); see --help for its form.") from error


def _mistake(text: str) -> UnitMistake:
    institution, column, factor = text.split(":")
    return UnitMistake(institution, column, float(factor))


def _numbers(value: Any) -> tuple[float, ...]:  # noqa: ANN401  (a number or a pair)
    return value if isinstance(value, tuple) else (value,)
