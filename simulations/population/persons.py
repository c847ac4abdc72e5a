"""Who lives there: latent traits of persons, which no institution ever sees.

Income, insurance, chronic conditions, yearly spending and visits follow two public tables in shape and in how they go
together: Medical Expenditure Panel Survey (elderly persons, 2003-04) and RAND Health Insurance Experiment; the
comparison stands in docs/population.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.population.spec import PopulationSpec
from simulations.population.streams import Floats, Streams, sigmoid

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Persons:
    """Truth about persons; every array has shape (n,).

    Attributes
    ----------
    region
        From 0.
    capacity, discipline
        About standard normal: means to pay, and the habit of paying on time.
    insured
        Whether an insurer pays most of a bill.
    income
        True yearly income, in thousands of the currency.
    chronic
        Number of chronic conditions. Truth only: no table of an institution has it.
    spending
        Yearly health spending, whoever pays.
    visits
        Yearly visits.
    shock
        Spending far above what the chronic conditions explain, in standard deviations, from 0.
    burden
        What of the shock the person has to carry.
    volatility
        How unsteady the takings of a person's business are; 0 without one.
    month
        Application month, from 1.
    """

    region: Ints
    rural: Bools
    age: Ints
    capacity: Floats
    discipline: Floats
    insured: Bools
    micro_business: Bools
    volatility: Floats
    income: Floats
    chronic: Ints
    spending: Floats
    visits: Ints
    shock: Floats
    burden: Floats
    month: Ints


def draw_persons(spec: PopulationSpec, streams: Streams) -> Persons:
    """Draw everybody's latent traits."""
    region = np.minimum(streams.uniform("region") * spec.regions, spec.regions - 1).astype(np.int64)
    place = region_place(spec)[region]
    rural = streams.chance("rural", np.clip(spec.rural_share * (1.0 - 0.5 * place * (spec.regions > 1)), 0.0, 1.0))
    capacity = streams.normal("capacity") + 0.3 * spec.region_shift * place - 0.25 * rural
    insured = streams.chance("insured", sigmoid(0.62 + 0.6 * capacity))
    micro = streams.chance("micro_business", spec.micro_business_share)
    chronic = streams.poisson("chronic", np.exp(0.62 - 0.08 * capacity))
    surprise = _SPREAD * (np.log(-np.log(streams.uniform("spending"))) + np.euler_gamma)
    shock = np.maximum(surprise / _SPREAD, 0.0)
    return Persons(
        region=region,
        rural=rural,
        age=(18 + 62 * streams.uniform("age") ** 1.25).astype(np.int64),
        capacity=capacity,
        discipline=streams.normal("discipline"),
        insured=insured,
        micro_business=micro,
        volatility=np.where(micro, np.abs(streams.normal("volatility")), 0.0),
        income=np.exp(3.4 + 0.65 * capacity + 0.5 * streams.normal("income")),
        chronic=chronic,
        spending=np.exp(6.48 + 0.42 * (chronic - 1.86) + surprise),
        visits=streams.poisson(
            "visits",
            np.exp(0.3 + 0.2 * (chronic - 1.86) + 0.25 * insured + 0.2 * surprise + 1.1 * streams.normal("habit")),
        ),
        shock=shock,
        burden=shock * np.where(insured, 0.3, 1.0),
        month=1 + np.minimum(streams.uniform("month") * spec.months, spec.months - 1).astype(np.int64),
    )


_SPREAD = 0.93
"""Scale of the log-Weibull surprise in log spending; its standard deviation is π/√6 of it."""


def region_place(spec: PopulationSpec) -> Floats:
    """How well off each region is, evenly from -1 to 1; shape (regions,)."""
    return np.linspace(-1.0, 1.0, spec.regions) if spec.regions > 1 else np.zeros(1)
