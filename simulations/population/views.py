"""What the tables record: noisy views of the latent traits, never the label rule.

Everybody's columns are drawn, also of those whom an institution never meets; `simulations.population.files` and the
simulation hand out the rows that each institution holds. NaN means missing; texts are categories.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulations.population.outcomes import Outcomes
from simulations.population.persons import Persons
from simulations.population.spec import PopulationSpec
from simulations.population.streams import Floats, Streams, sigmoid

Columns = dict[str, NDArray[Any]]


def applicant_view(spec: PopulationSpec, streams: Streams, persons: Persons) -> Columns:
    """What every institution asks of an applicant."""
    p = persons
    declared = p.income * np.exp(0.15 * streams.normal("declared"))
    unrecorded = p.rural & streams.chance("under-recording", spec.under_recording)
    years = np.minimum((p.age - 18) * streams.uniform("employment") ** 1.5 * sigmoid(1.2 + 0.5 * p.discipline), 45.0)
    owner = streams.chance("owner", sigmoid(-1.2 + 0.04 * (p.age - 40) + 0.6 * p.capacity))
    family = streams.chance("family", sigmoid(-0.8 - 0.06 * (p.age.astype(np.float64) - 30.0)))
    return {
        "age": p.age,
        "income": np.round(np.where(unrecorded, 0.5, 1.0) * declared * 1000.0, -1),
        "employment_years": np.round(years, 1),
        "residence": np.where(owner, "owner", np.where(family, "family", "tenant")),
        "loan_amount": np.round(
            np.exp(8.9 + 0.35 * p.capacity - 0.1 * p.discipline + 0.7 * streams.normal("loan")), -2
        ),
        "micro_business": np.where(p.micro_business, "yes", "no"),
    }


def bank_view(streams: Streams, persons: Persons) -> Columns:
    """A bank's own history of a customer; files without one are blanked later."""
    p = persons
    cards = 0.5 * p.discipline + 0.3 * p.capacity - 0.25 * p.burden
    used = sigmoid(-0.4 - cards + 1.0 * streams.normal("utilisation"))
    revolving = streams.chance("revolving", sigmoid(1.8 - 0.5 * p.discipline))
    turnover = 0.3 * p.volatility
    saves = streams.chance("saves", sigmoid(1.0 + 0.5 * p.discipline + 0.4 * p.capacity))
    savings = np.exp(7.6 + 0.8 * p.capacity + 0.4 * p.discipline + 1.1 * streams.normal("savings"))
    return {
        "utilisation": np.round(np.where(revolving, used, 0.0), 3),
        "delinquencies_24m": np.minimum(streams.poisson("delinquencies", np.exp(-1.5 - 1.2 * cards + turnover)), 12),
        "inquiries_6m": np.minimum(streams.poisson("inquiries", np.exp(0.1 - 0.6 * cards + turnover)), 15),
        "tenure_months": np.round(
            12.0 * np.minimum(p.age - 17, 30) * streams.uniform("tenure") * sigmoid(0.8 + 0.5 * p.discipline)
        ),
        "debt_to_income": np.round(
            np.exp(-1.1 - 0.25 * p.capacity - 0.15 * p.discipline + 0.5 * streams.normal("debt")), 3
        ),
        "savings": np.round(np.where(saves, savings, 0.0)),
    }


def hospital_view(streams: Streams, persons: Persons) -> Columns:
    """Billing and payment conduct; never what a bill was for."""
    p = persons
    bills = np.maximum(p.visits, 1)
    share = _self_pay_share(streams, persons)
    owed = p.spending * share
    pays = 1.0 * p.discipline + 0.3 * p.capacity - 0.5 * p.burden
    tardy = sigmoid(-1.0 - 1.3 * pays + 0.4 * streams.normal("tardiness"))
    late = np.minimum(streams.poisson("late bills", np.minimum(bills, 12) * tardy), bills)
    days = np.exp(2.9 - 0.4 * pays + 0.8 * streams.normal("days late"))
    return {
        "bills_12m": np.minimum(bills, 60),
        "self_pay_amount": np.round(owed),
        "self_pay_share": np.round(share, 2),
        "late_share": np.round(late / bills, 3),
        "days_late_max": np.where(late > 0, np.clip(np.ceil(days), 1, 180), 0.0),
        "payment_plan": _payment_plan(streams, owed, pays),
        "reminders_12m": np.minimum(streams.poisson("reminders", 0.1 + 1.1 * late * sigmoid(-0.5 * pays)), 20),
    }


def outcome_columns(outcomes: Outcomes) -> Columns:
    """The label of each institution type."""
    return {"bank_bad": outcomes.bank_bad, "hospital_bad": outcomes.hospital_bad}


def _self_pay_share(streams: Streams, persons: Persons) -> Floats:
    part = streams.uniform("self pay")
    insured = np.where(part < 0.35, 0.0, 0.45 * ((part - 0.35) / 0.65) ** 2)
    uninsured = np.where(part < 0.5, 1.0, 0.4 + 1.2 * (part - 0.5))
    return np.asarray(np.where(persons.insured, insured, uninsured))


def _payment_plan(streams: Streams, owed: Floats, pays: Floats) -> NDArray[np.str_]:
    asked = streams.chance("plan", sigmoid(-2.8 + 0.35 * np.log1p(owed / 100.0) - 0.3 * pays))
    broken = streams.chance("plan broken", sigmoid(-1.0 - pays))
    return np.where(asked, np.where(broken, "broken", "kept"), "none")
