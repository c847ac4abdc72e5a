"""One self-contained HTML page per run: what was run, what it protects, what it found, what it does not say.

No script, no network, no external file: figures are inline SVG, colours follow the reader's light or dark
setting, and it prints. Every text is escaped by the template engine; only the SVG that `figures` drew is
trusted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fedcredit.evaluation.summary import FederatedMetrics
from fedcredit.privacy.statement import PrivacyStatement
from simulations import tables
from simulations.figures import Drawing, inline_svg
from simulations.results import PlanSummary, RunResult

_TEMPLATES = Path(__file__).parent / "templates"

#: What the packaged data cannot show, whatever the run.
UCI_LIMITS = (
    (
        "The data are one month of one issuer's credit cards in Taiwan (2005): there is no test on a later "
        "month, so nothing here says how the model ages."
    ),
    (
        "The hospital block is a stand-in: payments of the same card customers, labelled as billing conduct. "
        "No hospital's records were used, and what a real hospital brings may differ."
    ),
)
#: What drawn persons cannot show.
SYNTHETIC_LIMITS = (
    (
        "Everybody in this run is SYNTHETIC: what a hospital's columns add was put in when the population was drawn. "
        "The run demonstrates a mechanism and is no evidence about real people."
    ),
    "Who consents, who is a patient and who has a thin file hang together in simpler ways than in any real region.",
)
_ALWAYS_LIMITS = (
    (
        "The figures per institution and the pooled model are exact and protected by no ε; only a simulation "
        "on public or synthetic data may show them."
    ),
    (
        "Differential privacy stops neither an institution from poisoning the model nor conclusions about "
        "groups of people."
    ),
)
_NO_JOINT_VIEW = (
    "No view that joins both institution types' columns for one person was validated: λ = 0, since no "
    "consented linked rows were declared. Each customer is scored with the columns of one type."
)
_JOINT_VIEW = (
    "The column “all” is a joint view: own view and other block, weighed by λ = {:.2f} where enough is known of a "
    "person. It was fitted on the rows that are linked with consent; of a single table, those are all rows."
)


@dataclass(frozen=True, slots=True)
class Points:
    """One line of the scorecard.

    Parameters
    ----------
    feature, bin
        Feature name and the values in the bin, in words.
    points
        Points that the bin adds; more points mean less risk.
    """

    feature: str
    bin: str
    points: float


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A drawing with its heading and a short name (letters, digits, hyphens) that is unique on the page."""

    name: str
    heading: str
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class RunPage:
    """Everything that the page of one run shows.

    Parameters
    ----------
    title
        Heading of the page.
    created
        When the run ended, in words.
    data
        What the records are and where they come from, with attribution.
    settings
        What was run: name and value of each setting worth reading.
    plan, result
        As printed and as in `metrics.json`.
    released
        All released estimates with their calibration table, or None where phase evaluate did not run.
    figures
        In the order of the page.
    points
        The scorecard's lines in feature order; empty for a model without one.
    points_scale
        What the points mean, one sentence; empty without points.
    joint_weight
        λ of the joint view for persons with a thick file; None where none was fitted.
    limits
        Limits of the data, one sentence each.
    """

    title: str
    created: str
    data: str
    settings: Mapping[str, str]
    plan: PlanSummary
    result: RunResult
    released: FederatedMetrics | None
    figures: Sequence[PageFigure]
    points: Sequence[Points]
    points_scale: str
    joint_weight: float | None
    limits: Sequence[str]


@dataclass(frozen=True, slots=True)
class _PointsBlock:
    """A feature's lines; `left` and `width` place each bar, in per cent of the widest range of points."""

    feature: str
    lines: list[tuple[str, str, float, float]]


def render_page(page: RunPage) -> str:
    """Return the page as HTML text in UTF-8.

    Raises
    ------
    jinja2.UndefinedError
        If the template names something that the page lacks.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["epsilon"] = tables.epsilon
    return environment.get_template("run.html.jinja").render(
        page=page,
        privacy=page.result.privacy,
        is_private=any(one.epsilon_t is not None for one in page.result.privacy.values()),
        outsiders_unstated=any(one.epsilon_outsider is None for one in page.result.privacy.values()),
        kinds=Counter(one.kind for one in page.plan.institutions),
        participants=_participants(page),
        colluders=tables.colluder_headings(page.plan.n_colluders),
        terms=tables.deltas_and_units(list(page.result.privacy.values())) if page.result.privacy else "",
        views=[(view, tables.view_rows(page.result, view)) for view in tables.views_of(page.result)],
        figures=[(figure, Markup(inline_svg(figure.drawing, figure.name))) for figure in page.figures],  # noqa: S704 (drawn by us)
        points=_points_blocks(page.points),
        limits=[*page.limits, *_joint_view_limits(page.joint_weight), *_ALWAYS_LIMITS],
        federated=tables.federated_sentence(page.result),
    )


def _joint_view_limits(weight: float | None) -> list[str]:
    if weight is None:
        return [_NO_JOINT_VIEW]
    return [_JOINT_VIEW.format(weight)]


def _participants(page: RunPage) -> list[tuple[str, str, str, str, list[str]]]:
    """Return name, type, rows and columns, then each ε of the institution, or the largest of its type."""
    rows = []
    for name, members in tables.plan_groups(page.plan.institutions):
        spent = [page.result.privacy.get(one.institution, one.privacy) for one in members]
        sizes = tables.span([one.n_rows for one in members])
        rows.append((name, members[0].kind, sizes, tables.block_columns(members[0]), _epsilons(spent)))
    return rows


def _epsilons(statements: Sequence[PrivacyStatement]) -> list[str]:
    charged = ([one.epsilon_planned for one in statements], [one.epsilon_spent for one in statements])
    return [*tables.epsilons_if(statements), *(tables.epsilon(tables.largest(column)) for column in charged)]


def _points_blocks(points: Sequence[Points]) -> list[_PointsBlock]:
    lowest = min((line.points for line in points), default=0.0)
    highest = max((line.points for line in points), default=0.0)
    low, high = min(0.0, lowest), max(0.0, highest)
    scale = 100 / (high - low) if high > low else 0.0
    blocks: dict[str, _PointsBlock] = {}
    for line in points:
        left = (min(0.0, line.points) - low) * scale
        block = blocks.setdefault(line.feature, _PointsBlock(line.feature, []))
        block.lines.append((line.bin, f"{line.points:.0f}", round(left, 1), round(abs(line.points) * scale, 1)))
    return list(blocks.values())
