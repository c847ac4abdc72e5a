"""The drawings of a report, each from one part; a part without figures has no drawing."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from fedcredit.report.calibration import Calibration
from fedcredit.report.decisions import Decisions
from fedcredit.report.discrimination import Discrimination
from fedcredit.report.drawing import FAINT, INK, STYLES, Drawing, finished, new_figure, percent
from fedcredit.report.explanation import Explanation
from fedcredit.report.groups import Grouping, Groups
from fedcredit.report.report import Report
from fedcredit.report.rivals import Rival, Rivals

_MOST_NAMED = 40


def figures_of(report: Report) -> tuple[Drawing, ...]:
    """Every drawing of a report, in the order of its parts."""
    drawn = (
        roc_figure(report.discrimination),
        gains_figure(report.discrimination),
        reliability_figure(report.calibration),
        cut_off_figure(report.decisions),
        *groups_figures(report.groups),
        weight_figure(report.explanation),
        institutions_figure(report.rivals),
    )
    return tuple(one for one in drawn if one is not None)


def roc_figure(part: Discrimination) -> Drawing | None:
    """Share of bads caught against share of goods flagged."""
    if not part.roc or part.overall is None or part.overall.auc.value is None:
        return None
    x, y = np.array(part.roc).T
    figure = new_figure(4.6, 4.4)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], **FAINT)
    colour, line, marker, _ = STYLES[0]
    axes.plot(x, y, color=colour, linestyle=line, marker=marker, markersize=3.5, linewidth=1.8)
    axes.set(xlabel="goods flagged", ylabel="bads caught", xlim=(0, 1), ylim=(0, 1.005), aspect="equal")
    percent(axes, "xy")
    at = ", ".join(f"{np.interp(level, x, y):.0%} at {level:.0%}" for level in (0.1, 0.2, 0.5))
    auc = part.overall.auc
    alt = f"ROC curve at the score bins' edges, AUC {auc.value:.3f}. Bads caught at goods flagged: {at}."
    return finished(figure, "roc", "Who is told apart (ROC)", alt)


def gains_figure(part: Discrimination) -> Drawing | None:
    """Share of all bads among the riskiest shares of customers."""
    if not part.gains:
        return None
    figure = new_figure(4.6, 4.4)
    axes = figure.add_subplot()
    shares, caught = [0.0, *(row.share for row in part.gains)], [0.0, *(row.captured_bads for row in part.gains)]
    axes.plot([0, 1], [0, 1], **FAINT)
    colour, line, marker, _ = STYLES[1]
    axes.plot(shares, caught, color=colour, linestyle=line, marker=marker, markersize=5, linewidth=1.8)
    axes.set(xlabel="riskiest share of customers", ylabel="bads among them", xlim=(0, 1), ylim=(0, 1.005))
    axes.set_aspect("equal")
    percent(axes, "xy")
    words = ", ".join(f"{row.captured_bads:.0%} in {row.share:.0%}" for row in part.gains[:5])
    return finished(figure, "gains", "What the riskiest hold (gains)", f"Cumulative gains. Share of bads: {words}.")


def reliability_figure(part: Calibration) -> Drawing | None:
    """Observed against predicted bad rates with intervals, and the number of records below."""
    if not part.table:
        return None
    rows = part.table
    predicted, observed = np.array([row.mean_pd for row in rows]), np.array([row.bad_rate for row in rows])
    low, high = np.array([row.low for row in rows]), np.array([row.high for row in rows])
    figure = new_figure(4.6, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    limit = min(1.0, 1.08 * float(max(predicted.max(), high.max())))
    upper.plot([0, limit], [0, limit], label="perfect", **FAINT)
    colour, _, marker, _ = STYLES[0]
    upper.errorbar(
        predicted, observed, np.stack([observed - low, high - observed]), color=colour, linestyle="none",
        marker=marker, markersize=5, elinewidth=1.2, capsize=3, label="observed, 95 % interval",
    )  # fmt: skip
    lower.vlines(predicted, 0, [row.n_rows for row in rows], colors=colour, linewidth=4)
    upper.set(ylabel="observed bad rate", xlim=(0, limit), ylim=(0, limit))
    lower.set(xlabel="predicted PD", ylabel="records", ylim=(0, None))
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    percent(upper, "xy")
    upper.legend(loc="upper left", frameon=False, fontsize=9)
    pairs = ", ".join(f"{p:.0%} predicted {o:.0%} observed" for p, o in zip(predicted, observed, strict=True))
    return finished(figure, "calibration", "Predicted and observed (reliability)", f"Reliability: {pairs}.")


def cut_off_figure(part: Decisions) -> Drawing | None:
    """Bad rate among the approved and expected profit by approval rate."""
    rows = [row for row in part.rows if row.decision.bad_rate.value is not None]
    if len(rows) < 2:
        return None
    figure = new_figure(4.6, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    approved = [row.decision.approval_rate.value or 0.0 for row in rows]
    for axes, name, (colour, line, marker, _) in zip((upper, lower), ("bad_rate", "profit"), STYLES, strict=False):
        found = [getattr(row.decision, name) for row in rows]
        values = np.array([one.value for one in found])
        axes.plot(approved, values, color=colour, linestyle=line, marker=marker, markersize=5, linewidth=1.6)
        axes.fill_between(
            approved, [one.low for one in found], [one.high for one in found], color=colour, alpha=0.18, linewidth=0
        )
        percent(axes, "xy")
    at = next((row.decision.approval_rate.value for row in rows if row.chosen), None)
    if at is not None:
        upper.axvline(at, label="chosen cut-off", **FAINT)
        lower.axvline(at, **FAINT)
        upper.legend(loc="upper left", frameon=False, fontsize=9)
    lower.axhline(0, color=INK, linewidth=0.6)
    upper.set(ylabel="bads among approved")
    lower.set(xlabel="approved", ylabel="profit per applicant")
    words = ", ".join(f"{a:.0%} approved {row.decision.bad_rate.value:.1%} bad" for a, row in zip(approved, rows))  # noqa: B905
    alt = f"Bad rate among the approved, and expected profit, by approval rate, with 95 % bands: {words}."
    return finished(figure, "cut-off", "What a cut-off decides", alt)


def groups_figures(part: Groups) -> tuple[Drawing, ...]:
    """One drawing per grouping: each group's approval ratio with its interval."""
    return tuple(one for number, found in enumerate(part.groupings) if (one := _grouping(number, found)) is not None)


def weight_figure(part: Explanation) -> Drawing | None:
    """How much each feature moves scores, beside the noise in its points where that is known."""
    if not part.features:
        return None
    features = sorted(part.features, key=lambda one: one.spread)
    noise = dict(part.stability[0].noise_points) if part.stability else {}
    for other in part.stability[1:]:
        noise |= dict(other.noise_points)
    figure = new_figure(5.4, 1.0 + 0.24 * len(features))
    axes = figure.add_subplot()
    heights = np.arange(len(features))
    axes.barh(heights, [one.spread for one in features], color=STYLES[0][0], height=0.6, label="spread of its points")
    if noise:
        axes.plot(
            [noise.get(one.feature, np.nan) for one in features], heights, linestyle="none", marker="s",
            color=STYLES[1][0], markeredgecolor="white", markersize=6, label="noise in one customer's points",
        )  # fmt: skip
    axes.set_yticks(heights, [one.feature for one in features])
    axes.set(xlabel="points (standard deviation)")
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    words = ", ".join(f"{one.feature} {one.spread:.1f}" for one in reversed(features[-8:]))
    return finished(figure, "weight", "What moves scores", f"Spread of each feature's points, largest first: {words}.")


def institutions_figure(part: Rivals) -> Drawing | None:
    """AUC with each institution's columns: alone, with its own type, jointly."""
    alone = [row for row in part.rows if row.institution is not None]
    if not alone:
        return None
    shared = {(row.view, row.model): row.auc for row in part.rows if row.institution is None}
    columns = {
        "alone, no privacy": [row.auc for row in alone],
        "same type": [shared.get((row.view, "institutions of one type")) for row in alone],
        "joint": [shared.get((row.view, "joint model")) for row in alone],
    }
    named, n = len(alone) <= _MOST_NAMED, len(alone)
    figure = new_figure(5.4, (1.2 + 0.42 * n) if named else 6.0)
    axes = figure.add_subplot()
    heights = np.arange(n)[::-1]
    apart = (0.2, 0.0, -0.2)  # so that no marker hides another
    for label, values, (colour, _, marker, _), up in zip(columns, columns.values(), STYLES, apart, strict=False):
        numbers = [np.nan if value is None else value for value in values]
        fill = "none" if label.startswith("alone") else colour
        axes.plot(
            numbers, heights + up, linestyle="none", marker=marker, color=colour, markerfacecolor=fill,
            markersize=8 if named else 3, markeredgewidth=1.6, label=label,
        )  # fmt: skip
    axes.set_yticks(heights if named else [], [str(row.institution) for row in alone] if named else [])
    axes.set(xlabel="AUC on the test records", ylim=(-0.7, n - 0.3))
    axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return finished(figure, "institutions", "What each institution gains", _gain_words(alone))


def _grouping(number: int, found: Grouping) -> Drawing | None:
    rows = [row for row in found.rows if row.figures.approval_ratio and row.figures.approval_ratio.value is not None]
    if not rows:
        return None
    figure = new_figure(5.4, 1.1 + 0.42 * len(rows))
    axes = figure.add_subplot()
    heights = np.arange(len(rows))[::-1]
    ratios = [row.figures.approval_ratio for row in rows]
    values, low, high = (np.array([getattr(one, end) for one in ratios]) for end in ("value", "low", "high"))
    axes.errorbar(
        values, heights, xerr=np.stack([values - low, high - values]), color=STYLES[0][0], linestyle="none",
        marker="o", markersize=6, elinewidth=1.4, capsize=4,
    )  # fmt: skip
    axes.axvline(1.0, color=INK, linewidth=0.8)
    axes.axvline(0.8, **FAINT)
    axes.set_yticks(heights, [_short(row.figures.group) for row in rows])
    axes.set(xlabel=f"approval ratio to {found.reference} (dotted: 0.8)", ylim=(-0.7, len(rows) - 0.3))
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    words = "; ".join(
        f"{row.figures.group} {value:.2f}, 95 % interval {a:.2f} to {b:.2f}"
        for row, value, a, b in zip(rows, values, low, high, strict=True)
    )
    alt = f"Approval ratio of each group of {found.name} to {found.reference}: {words}."
    return finished(figure, f"group-{number + 1}", f"Approval by {found.name}", alt)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:23]}…"


def _gain_words(alone: Sequence[Rival]) -> str:
    gains = [row.auc_delta for row in alone if row.auc_delta is not None]
    words = f"AUC with the columns of each of {len(alone)} institutions: alone, same type, and joint."
    if not gains:
        return words
    better = sum(gain > 0 for gain in gains)
    low, high = (f"{round(gain, 3) + 0.0:+.3f}".replace("-", "\N{MINUS SIGN}") for gain in (min(gains), max(gains)))
    span = f"{low} to {high}"
    return f"{words} Joint is above alone at {better} of {len(gains)}; the gain is {span}."
