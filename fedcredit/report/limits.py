"""Part 11: what the model and this report do not show, one sentence each, and nothing that was measured."""

from dataclasses import dataclass

from fedcredit.plan import Placement
from fedcredit.report.inputs import ReportInputs

_UCI = (
    (
        "The data are one month of one issuer's credit cards in Taiwan (2005): there is no test on a later month, so "
        "nothing here says how the model ages."
    ),
    (
        "The hospital block is a stand-in: payments of the same card customers, labelled as billing conduct. No "
        "hospital's records were used, and what a real hospital brings may differ."
    ),
)
_OF_DICTIONARY = {"uci_credit": _UCI, "uci_credit_flat": _UCI[:1]}
_NO_JOINT_VIEW = (
    "No view that joins the columns of two institution types for one person was validated: λ = 0. Each customer is "
    "scored with the columns of one type."
)
_REJECTS = (
    "Reject inference: none. Outcomes are those of customers who were accepted before; whom the new score would "
    "accept and the old practice declined has no outcome here."
)
_SIMULATED = (
    "The figures per institution and of the pooled model are exact and protected by no ε; only a simulation on public "
    "or synthetic data may show them."
)
_NOT_HONESTY = (
    "Signatures say who sent a sum, not that it is true: noise stops neither an institution that sends false counts "
    "nor conclusions about groups of people."
)
_INTERVALS = (
    "Intervals are of 95 % and hold sampling and noise, for a population from which the held-out records are a random "
    "sample; they know nothing of change over time or of selection."
)
_NOT_ADVICE = (
    "This report records figures. It does not judge whether the model may be used: that is for the people who sign, "
    "under the rules that bind them. It is no legal advice."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The part."""

    sentences: tuple[str, ...]


def limits_of(inputs: ReportInputs) -> Limits:
    """Compute the part."""
    several = len(inputs.dictionary.kinds) > 1
    simulated_only = inputs.dictionary.simulation_only
    noiseless = inputs.plan.privacy.placement in (Placement.NONE, Placement.CENTRAL)
    left_out = ", ".join(map(str, inputs.job["left_out"]))
    short = int(inputs.job["rounds_trained"]) < int(inputs.job["rounds_planned"])
    chosen = (
        *_OF_DICTIONARY.get(inputs.dictionary.name, ()),
        _NO_JOINT_VIEW if several else "",
        _REJECTS,
        _INTERVALS,
        _SIMULATED if inputs.metrics is not None else "",
        "Ranges of the dictionary were taken from data; it serves simulations only." if simulated_only else "",
        "The job had no noise that protects a record from its coordinator." if noiseless else "",
        f"Left out of the job's sums from some step on: {left_out}." if left_out else "",
        "Training ended before its planned rounds: the retry reserve was used up." if short else "",
        _NOT_HONESTY,
        _NOT_ADVICE,
    )
    return Limits(tuple(sentence for sentence in chosen if sentence))
