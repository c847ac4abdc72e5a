"""The model card: the report's parts on purpose, quality, groups and explanation, short enough to travel with a model.

As Markdown for people and JSON for registries. Everything in it stands in the report, too.

References
----------
M. Mitchell et al., "Model cards for model reporting", FAccT 2019, arXiv 1810.03993.
"""

import json
from dataclasses import asdict, dataclass

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedcredit.evaluation.decision import Economics
from fedcredit.report.calibration import Reliability
from fedcredit.report.decisions import CutOff
from fedcredit.report.discrimination import Ranking
from fedcredit.report.drift import Drift
from fedcredit.report.explanation import FeaturePoints
from fedcredit.report.groups import Groups
from fedcredit.report.page import TEMPLATES, decimal, percent, sentence, shown, whole
from fedcredit.report.purpose import Purpose
from fedcredit.report.report import Report

SCHEMA = "fedcredit-card/1"
_SIMULATED = "Made from a simulation: where figures are exact, no deployed federation could compute them."
_DEPLOYED = "Computed from counts that were released with noise and charged; it records and does not judge."


@dataclass(frozen=True, slots=True)
class Card:
    """The card.

    Attributes
    ----------
    quality
        Of all customers, then per institution type.
    features
        Heaviest first.
    plan, roster, dictionary, model
        Hashes, as hex.
    """

    schema: str
    title: str
    statement: str
    purpose: Purpose
    privacy: tuple[str, ...]
    quality: tuple[tuple[Ranking, Reliability], ...]
    economics: Economics
    cut_off: CutOff | None
    stability: str
    groups: Groups
    features: tuple[FeaturePoints, ...]
    limits: tuple[str, ...]
    plan: str
    roster: str
    dictionary: str
    model: str | None
    receipts: tuple[str, ...]

    def to_text(self) -> str:
        """The JSON document, with a newline at the end."""
        return json.dumps(asdict(self), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def card_of(report: Report) -> Card:
    """Take the card out of a report."""
    features = sorted(report.explanation.features, key=lambda one: -one.spread)
    return Card(
        schema=SCHEMA,
        title=report.title,
        statement=_SIMULATED if report.simulated else _DEPLOYED,
        purpose=report.purpose,
        privacy=report.protection.words,
        quality=_quality(report),
        economics=report.decisions.economics,
        cut_off=next((row for row in report.decisions.rows if row.chosen), None),
        stability=_stability(report.drift),
        groups=report.groups,
        features=tuple(features),
        limits=report.limits.sentences,
        plan=report.signatures.plan,
        roster=report.signatures.roster,
        dictionary=report.signatures.dictionary,
        model=report.signatures.files.get("model.json"),
        receipts=report.signatures.receipts,
    )


def render_card(card: Card) -> str:
    """Return the card as Markdown."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # noqa: S701 (Markdown; it is read as text)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, decimal=decimal, whole=whole, sentence=sentence)
    environment.globals.update(shown=shown)
    return environment.get_template("card.md.jinja").render(card=card).rstrip() + "\n"


def _quality(report: Report) -> tuple[tuple[Ranking, Reliability], ...]:
    ranked, true = report.discrimination.overall, report.calibration.overall
    if ranked is None or true is None:
        return ()
    return ((ranked, true), *zip(report.discrimination.kinds, report.calibration.kinds, strict=True))


def _stability(drift: Drift) -> str:
    if drift.score is None:
        return sentence(drift.why or "not measured")
    found = drift.score.stability
    if found.why is not None:
        return sentence(found.why)
    return f"PSI of the score {decimal(found.index)}, of which chance and noise explain {decimal(found.floor)}."
