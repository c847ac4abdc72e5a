"""The page and the figures of one run, from what was run and found."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fedcredit.models.points import PointsRow
from simulations.drawings import figures_of
from simulations.page import UCI_LIMITS, PageFigure, Points, RunPage, render_page
from simulations.results import PlanSummary
from simulations.run import Finished, Prepared


def page_and_figures(
    config: Mapping[str, Any],
    prepared: Prepared,
    summary: PlanSummary,
    finished: Finished,
    rows: Sequence[PointsRow],
) -> tuple[str, list[PageFigure]]:
    """HTML of the run's page, and the drawings on it.

    Parameters
    ----------
    rows
        The scorecard's lines; empty for a model without one.
    """
    figures = figures_of(finished, prepared.federation.institutions)
    page = RunPage(
        title="Joint credit scorecard: one simulated run",
        created=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        data=f"{prepared.dictionary.title}. {prepared.dictionary.source} Licence: {prepared.dictionary.licence}",
        settings=_flat("", {key: value for key, value in config.items() if key not in ("hydra", "run")}),
        plan=summary,
        result=finished.result,
        released=finished.released,
        figures=figures,
        points=[Points(row.feature, row.label, row.points) for row in rows],
        points_scale=rows[0].scale_sentence if rows else "",
        joint_weight=0.0,
        limits=UCI_LIMITS if prepared.settings.data.source.startswith("uci") else (),
    )
    return render_page(page), figures


def _flat(prefix: str, tree: Any) -> dict[str, str]:  # noqa: ANN401  (a plain tree)
    if not isinstance(tree, Mapping):
        return {prefix: str(tree)}
    return {
        key: value
        for name, branch in tree.items()
        for key, value in _flat(f"{prefix}.{name}".lstrip("."), branch).items()
    }
