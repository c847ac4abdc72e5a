"""The points table as CSV, with the column names of a detailed `optbinning.Scorecard.table`.

Counts are the released ones, noise included; they can be negative, and shares are then left empty. ``WoE`` is positive
for a safer bin, as in optbinning. The base points of each institution type stand first.
"""

import csv
import io
import math
import re

from fedcredit.models.points import BASE, points_table
from fedcredit.models.scorecard_release import ScorecardBin
from fedcredit.package.contents import ModelPackage

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")
_NEGATIVE_LABEL = re.compile(r"-[0-9][0-9.,]*(e[+-]?[0-9]+)?($|, | to | or )")
COLUMNS = (
    *("Variable", "Bin id", "Bin", "Count", "Count (%)", "Non-event", "Event", "Event rate", "WoE", "IV", "JS"),
    *("Coefficient", "Points"),
)


def points_csv(package: ModelPackage) -> str:
    """Write the table; one line per bin, ended by a line feed."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    counts = {(f.name, i): (one, _totals(f.bins)) for f in package.model.features for i, one in enumerate(f.bins)}
    for row in points_table(package.model.to_json(), package.head.scale.points_scale()):
        known = counts.get((row.feature, row.bin))
        middle = [""] * 8 if row.feature == BASE or known is None else _evidence(*known)
        label = _safe(row.label)
        writer.writerow([row.feature, row.bin, label, *middle, repr(row.coefficient), row.points])
    return out.getvalue()


def _totals(bins: tuple[ScorecardBin, ...]) -> tuple[float, float]:
    return math.fsum(one.good for one in bins), math.fsum(one.bad for one in bins)


def _evidence(one: ScorecardBin, totals: tuple[float, float]) -> list[str]:
    count, total = one.good + one.bad, sum(totals)
    rate = f"{one.bad / count:.6g}" if count > 0 and one.bad >= 0 else ""
    share = f"{count / total:.6g}" if total > 0 and count >= 0 else ""
    figures = (f"{count:.6g}", share, f"{one.good:.6g}", f"{one.bad:.6g}", rate, f"{one.woe:.6g}", f"{one.iv:.6g}")
    return [*figures, _divergence(one, totals)]


def _divergence(one: ScorecardBin, totals: tuple[float, float]) -> str:
    """The bin's part of the Jensen-Shannon divergence; empty where a share is not positive."""
    if min(one.good, one.bad, *totals) <= 0:
        return ""
    p, q = one.good / totals[0], one.bad / totals[1]
    middle = (p + q) / 2
    return f"{(p * math.log(p / middle) + q * math.log(q / middle)) / 2:.6g}"


def _safe(label: str) -> str:
    """Keep a spreadsheet from taking a label for a formula; "-2 to 3" is none, and "-2+3" and "=1" are."""
    formula = label[:1] in _FORMULA_SIGNS and not _NEGATIVE_LABEL.match(label)
    return f"'{label}" if formula else label
