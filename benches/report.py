"""Are a report's figures right, and do its intervals hold: ``python -m benches.report [--draws N] [--noise S ...]``.

Equality: the packaged table goes through a job without noise. Its released counts must be those of the pooled held-out
rows, each scored with its institution type's columns. Then all 30,000 rows are counted as an evaluation counts them,
and every figure of the report stands beside what scikit-learn or a few lines of NumPy compute from the rows' exact
scores. They agree to the resolution of 100 score bins; rates at the edges of bins are equal.

Coverage: the 30,000 rows of the table, scored, are a population. Each of N evaluations draws 6,000 of them with
replacement, counts them per group in 20 score bins, adds noise to every count, and computes the report's parts. An
interval covers if it holds the figure that the parts give for the whole population without noise. Draws are seeded.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve

from fedcredit.evaluation.calibration import CalibrationRow, calibration_table
from fedcredit.evaluation.decision import Decision, decide, nearest_edge
from fedcredit.evaluation.figure import Figure
from fedcredit.evaluation.histogram import accumulate
from fedcredit.evaluation.phase import MARGIN_SCALE
from fedcredit.evaluation.score_grid import ScoreGrid, bin_of, range_around, score_bins
from fedcredit.job.released import job_summary
from fedcredit.job.released_counts import GroupCounts, released_counts
from fedcredit.models.family import family_of
from fedcredit.report.calibration import Calibration, calibration_of
from fedcredit.report.decisions import decisions_of
from fedcredit.report.discrimination import Discrimination, discrimination_of, overall_cells
from fedcredit.report.groups import Groups, groups_of
from fedcredit.report.inputs import ReportInputs
from simulations.dataset import load
from simulations.federation import run_in_process
from simulations.run import Prepared, prepare
from simulations.settings import data_spec, read_settings
from simulations.simulation import compose_config

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
GROUPED = ("type", "sex", "education")
EXACT = (
    *("privacy=none", "compare=false", "evaluation.score_bins=100", "++model.rounds=5"),
    f"evaluation.groupings=[{','.join(GROUPED)}]",
)
NOISES = (0.0, 5.0, 15.0, 40.0)
DRAWN, BINS = 6000, 20


@dataclass(frozen=True)
class Scored:
    """Rows with their scores: margins in 1/1024 logit, 1 for bad, and the group of each row by grouping."""

    margins: Integers
    bad: NDArray[np.uint8]
    groups: dict[str, Integers]

    @property
    def pd(self) -> Floats:
        """Probabilities of bad."""
        return np.asarray(1 / (1 + np.exp(-self.margins / MARGIN_SCALE)))

    def __getitem__(self, rows: NDArray[np.bool_] | Integers) -> "Scored":
        return Scored(self.margins[rows], self.bad[rows], {name: of[rows] for name, of in self.groups.items()})


@dataclass(frozen=True)
class Exact:
    """A job without noise: what its report is computed from, and the held-out and all rows, scored."""

    inputs: ReportInputs
    held_out: Scored
    everybody: Scored


@dataclass(frozen=True)
class Equal:
    """One line: a figure of the report and its twin from the rows."""

    figure: str
    ours: float
    twin: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether they differ by no more than allowed."""
        return abs(self.ours - self.twin) <= self.tolerance


def run_exactly(*overrides: str) -> Exact:
    config = compose_config((*EXACT, *overrides))
    dictionary, table = load(data_spec(config))
    prepared = prepare(read_settings(config, table.bad.size), dictionary, table, 0.0)
    outcome = run_in_process(prepared.federation, prepared.settings.job)
    plan, progress = outcome.plan, outcome.progress
    inputs = ReportInputs(
        plan=plan,
        dictionary=dictionary,
        model=family_of(plan.model.family).release(progress.state),
        counts=released_counts(plan, dictionary, progress),
        job={**job_summary(plan, progress), "receipts": []},
        statements={},
        hashes={},
    )
    model = family_of(plan.model.family).final(progress.state)
    return Exact(inputs, _scored(prepared, model, held_out=True), _scored(prepared, model, held_out=False))


def held_out_losses(exact: Exact) -> tuple[float, float]:
    """What 100 score bins lose of AUC and KS on one run's 6,000 held-out rows, against their exact scores."""
    rows, grid = exact.held_out, exact.inputs.counts.grid
    assert grid is not None
    bins = bin_of(grid, rows.margins)
    curves = (roc_curve(rows.bad, scores) for scores in (rows.margins, bins))
    ks, binned = (float(np.max(bad_below - good_below)) for good_below, bad_below, _ in curves)
    return roc_auc_score(rows.bad, rows.margins) - roc_auc_score(rows.bad, bins), ks - binned


def equality(exact: Exact) -> list[Equal]:
    """Every figure beside its twin: of all rows from their exact scores, and of the job's own from binned ones."""
    rows, grid = exact.everybody, exact.inputs.counts.grid
    assert grid is not None
    inputs = _counted(exact.inputs, grid, rows, None, 0.0)
    ranked, true = discrimination_of(inputs), calibration_of(inputs)
    cut_off, groups = decisions_of(inputs), groups_of(inputs)
    kinds = [rows, *(rows[rows.groups["type"] == k] for k in range(len(inputs.counts.groupings[0].groups)))]
    return [
        *_end_to_end(exact, grid),
        *_quality(ranked, true, kinds),
        *_table(true, rows),
        *(line for row in cut_off.rows for line in _decision(row.decision, grid, rows, cut_off.economics)),
        *_groups(groups, grid, rows, inputs),
    ]


def coverage(exact: Exact, noise_stddev: float, draws: int, seed: int) -> dict[str, tuple[int, int]]:
    """How often each interval holds the population's figure: hits and intervals given, by figure."""
    everybody = exact.everybody
    rate = float(everybody.bad.mean())
    grid = score_bins(BINS, *range_around(rate), MARGIN_SCALE)
    truth = dict(_measured(_counted(exact.inputs, grid, everybody, None, 0.0)))
    rng = np.random.default_rng(seed)
    found: dict[str, tuple[int, int]] = {}
    for _ in range(draws):
        rows = everybody[rng.integers(0, everybody.bad.size, DRAWN)]
        inputs = _counted(exact.inputs, grid, rows, rng, noise_stddev)
        covered = [
            (name, figure.low <= true.value <= figure.high)
            for name, figure in _measured(inputs)
            if figure.low is not None
            and figure.high is not None
            and (true := truth.get(name)) is not None
            and true.value is not None
        ]
        cells = overall_cells(inputs.counts)
        table = calibration_table(cells.good, cells.bad, grid, cells.noise_stddev)
        covered += [("observed rate of a calibration row", hit) for hit in _rows_covered(table, everybody)]
        for name, hit in covered:
            hits, n = found.get(name, (0, 0))
            found[name] = (hits + bool(hit), n + 1)
    return found


def _scored(prepared: Prepared, model: bytes, *, held_out: bool) -> Scored:
    dictionary, spec = prepared.dictionary, prepared.settings.job.model
    parts = []
    for one in prepared.federation.institutions:
        for rows in (one.data.evaluate,) if held_out else (one.data.evaluate, one.data.train):
            margins = family_of(spec.family).margins(spec, dictionary, one.kind, model, rows.cells)
            owned = [dictionary.features[index].name for index in dictionary.owned(one.kind)]
            kind = np.full(rows.n_rows, dictionary.kinds.index(one.kind), dtype=np.int64)
            labels = {name: rows.cells[:, owned.index(name)].astype(np.int64) for name in GROUPED[1:]}
            parts.append(Scored(margins, rows.bad, {"type": kind, **labels}))
    return Scored(
        np.concatenate([part.margins for part in parts]),
        np.concatenate([part.bad for part in parts]),
        {name: np.concatenate([part.groups[name] for part in parts]) for name in GROUPED},
    )


def _end_to_end(exact: Exact, grid: ScoreGrid) -> Iterator[Equal]:
    """The job's own counts and ranking, against the held-out rows' scores put into the same bins."""
    rows, ranked = exact.held_out, discrimination_of(exact.inputs)
    assert ranked.overall is not None
    bins = bin_of(grid, rows.margins)
    good_below, bad_below, _ = roc_curve(rows.bad, bins)
    yield Equal("AUC, held-out, binned", _value(ranked.overall.auc), roc_auc_score(rows.bad, bins), 1e-12)
    yield Equal("KS, held-out, binned", _value(ranked.overall.ks), float(np.max(bad_below - good_below)), 1e-12)
    again = _counted(exact.inputs, grid, rows, None, 0.0).counts
    for job, twin in zip(exact.inputs.counts.groupings, again.groupings, strict=True):
        apart = float(np.abs(job.counts - twin.counts).max())
        yield Equal(f"largest difference of a count, by {job.grouping}", apart, 0.0, 0.0)


def _quality(ranked: Discrimination, true: Calibration, kinds: Sequence[Scored]) -> Iterator[Equal]:
    everybody = kinds[0].bad.size
    for ranking, truth, rows in zip((ranked.overall, *ranked.kinds), (true.overall, *true.kinds), kinds, strict=True):
        assert ranking is not None
        assert truth is not None
        good_below, bad_below, _ = roc_curve(rows.bad, rows.margins)
        auc = roc_auc_score(rows.bad, rows.margins)
        slope = LogisticRegression(C=np.inf, tol=1e-10).fit(rows.margins[:, None] / MARGIN_SCALE, rows.bad).coef_
        who = ranking.customers
        # What ties within a bin hide is a matter of chance, too: it falls with the number of records.
        fine = 2e-4 * (everybody / rows.bad.size) ** 0.5
        yield Equal(f"AUC, {who}", _value(ranking.auc), auc, fine)
        yield Equal(f"Gini, {who}", _value(ranking.gini), 2 * auc - 1, 2 * fine)
        yield Equal(f"KS, {who}", _value(ranking.ks), float(np.max(bad_below - good_below)), 3e-3)
        yield Equal(f"Brier, {who}", _value(truth.brier), brier_score_loss(rows.bad, rows.pd), 5e-4)
        yield Equal(f"log loss, {who}", truth.log_loss or 0.0, log_loss(rows.bad, rows.pd), 2e-3)
        yield Equal(f"bad rate, {who}", _value(truth.bad_rate), rows.bad.mean(), 1e-12)
        yield Equal(f"observed - predicted, {who}", _value(truth.in_the_large), (rows.bad - rows.pd).mean(), 1e-3)
        yield Equal(f"slope, {who}", _value(truth.slope), float(slope[0, 0]), 0.02)


def _table(true: Calibration, rows: Scored) -> Iterator[Equal]:
    for row in true.table:
        inside = rows[_between(rows.pd, row.pd_low, row.pd_high)]
        name = f"observed rate, PD {row.pd_low:.3f} to {row.pd_high:.3f}"
        yield Equal(name, row.bad_rate, inside.bad.mean(), 1e-12)


def _decision(decision: object, grid: ScoreGrid, rows: Scored, economics: object) -> Iterator[Equal]:
    found = {one.name: getattr(decision, one.name) for one in fields(decision)}
    approved, bad = rows.margins < grid.edges[found["edge"]], rows.bad == 1
    earned = np.where(bad, -economics.loss_given_default, economics.margin) * approved
    twins = {
        "approval_rate": approved.mean(),
        "bad_rate": bad[approved].mean(),
        "opportunity": approved[~bad].mean(),
        "bads_approved": approved[bad].mean(),
        "profit": earned.mean(),
    }
    for name, twin in twins.items():
        yield Equal(f"{name}, cut-off {found['pd']:.3f}", _value(found[name]), twin, 1e-12)


def _groups(groups: Groups, grid: ScoreGrid, rows: Scored, inputs: ReportInputs) -> Iterator[Equal]:
    edge = grid.edges[nearest_edge(grid, inputs.assumptions.cut_off)]
    scale = inputs.assumptions.scale
    labels = {one.grouping: one.groups for one in inputs.counts.groupings}
    for grouping in groups.groupings:
        of = {name: rows[rows.groups[grouping.name] == k] for k, name in enumerate(labels[grouping.name])}
        reference = of[grouping.reference or ""]
        for row in grouping.rows:
            own, name = of[row.figures.group], f"{grouping.name} {row.figures.group}"
            yield Equal(f"records, {name}", row.figures.n_rows, own.bad.size, 1e-9)
            if row.figures.too_few:
                continue
            rate, fine = (own.margins < edge).mean(), 4e-4 * (rows.bad.size / own.bad.size) ** 0.5
            yield Equal(f"approval, {name}", _value(row.figures.approval_rate), rate, 1e-12)
            yield Equal(f"bad rate, {name}", _value(row.figures.bad_rate), own.bad.mean(), 1e-12)
            yield Equal(f"AUC, {name}", _value(row.figures.auc), roc_auc_score(own.bad, own.margins), fine)
            gap = (own.bad - own.pd).mean()
            yield Equal(f"observed - predicted, {name}", _value(row.figures.calibration_gap), gap, 1e-3)
            points = scale.offset - scale.factor * own.margins.mean() / MARGIN_SCALE
            yield Equal(f"mean points, {name}", _value(row.mean_points), points, 0.2)
            if own is reference:
                continue
            ratio = rate / (reference.margins < edge).mean()
            yield Equal(f"approval ratio, {name}", _value(row.figures.approval_ratio), ratio, 1e-12)
            chances = [(one.margins < edge)[one.bad == 0].mean() for one in (own, reference)]
            yield Equal(f"opportunity gap, {name}", _value(row.figures.opportunity_gap), chances[0] - chances[1], 1e-12)


def _counted(
    inputs: ReportInputs, grid: ScoreGrid, rows: Scored, rng: np.random.Generator | None, noise_stddev: float
) -> ReportInputs:
    """Inputs of which the evaluation counted these rows, with noise on every count."""
    bins = bin_of(grid, rows.margins)
    groupings = []
    for one in inputs.counts.groupings:
        offsets = np.array([0, rows.bad.size])
        counts = accumulate(bins, rows.groups[one.grouping], rows.bad, offsets, len(one.groups), grid.n_bins)[0]
        noise = 0.0 if rng is None else noise_stddev * rng.standard_normal(counts.shape)
        stddev = np.full(len(one.groups), noise_stddev)
        groupings.append(GroupCounts(one.grouping, one.groups, counts + noise, stddev))
    return replace(inputs, counts=replace(inputs.counts, grid=grid, groupings=tuple(groupings)))


def _measured(inputs: ReportInputs) -> Iterator[tuple[str, Figure]]:
    """The figures of a report that have a name of their own, whatever the noise."""
    ranked, true = discrimination_of(inputs), calibration_of(inputs)
    for one in (ranked.overall, *ranked.kinds, true.overall, *true.kinds):
        yield from _figures(one, one.customers if one else "")
    yield from _figures(_chosen(inputs), "chosen cut-off")
    for grouping in groups_of(inputs).groupings:
        for row in grouping.rows:
            # Which group is largest may change with the noise; then other things are compared.
            if grouping.reference in ("female", "university"):
                yield from _figures(row.figures, f"{grouping.name} {row.figures.group}")


def _chosen(inputs: ReportInputs) -> Decision:
    """The chosen cut-off alone: the others would take most of the time."""
    cells, grid, assumed = overall_cells(inputs.counts), inputs.counts.grid, inputs.assumptions
    assert grid is not None
    edge = nearest_edge(grid, assumed.cut_off)
    return decide(cells.good, cells.bad, grid, edge, cells.noise_stddev, assumed.economics)


def _figures(of: object, who: str) -> Iterator[tuple[str, Figure]]:
    if is_dataclass(of):
        for one in fields(of):
            value = getattr(of, one.name)
            if isinstance(value, Figure):
                yield f"{one.name}, {who}", value


def _rows_covered(table: tuple[CalibrationRow, ...], everybody: Scored) -> Iterator[bool]:
    for row in table:
        inside = everybody[_between(everybody.pd, row.pd_low, row.pd_high)]
        yield row.low <= inside.bad.mean() <= row.high


def _between(pd: Floats, low: float, high: float) -> NDArray[np.bool_]:
    # Bounds are PDs of integer margins: half a margin unit keeps rounding off the edge.
    slack = 1e-9
    return (pd >= low - slack) & ((pd < high - slack) | (high >= 1))


def _value(figure: Figure | None) -> float:
    assert figure is not None
    assert figure.value is not None, figure.why
    return figure.value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--noise", type=float, nargs="*", default=NOISES, help="of one count, in records")
    chosen = parser.parse_args()
    exact = run_exactly()
    print("| figure | report | from the rows | difference | allowed |\n|---|---|---|---|---|")
    for line in equality(exact):
        print(
            f"| {line.figure} | {line.ours:.5f} | {line.twin:.5f} | {abs(line.ours - line.twin):.1e} | "
            f"{line.tolerance:.2g} |{'' if line.holds else ' OUT'}",
            flush=True,
        )
    print("\n| seed | AUC lost on held-out rows | KS lost |\n|---|---|---|")
    for seed in range(10):
        auc, ks = held_out_losses(run_exactly(f"seed={seed}"))
        print(f"| {seed} | {auc:.1e} | {ks:.1e} |", flush=True)
    found = [coverage(exact, noise, chosen.draws, seed=0) for noise in chosen.noise]
    print(f"\n| figure | {' | '.join(f'noise {noise:g}' for noise in chosen.noise)} |\n|---|{'---|' * len(found)}")
    for name in dict.fromkeys(name for of in found for name in of):
        cells = [of.get(name, (0, 0)) for of in found]
        print(f"| {name} | {' | '.join(f'{hits / n:.3f} ({n})' if n else 'not given' for hits, n in cells)} |")


if __name__ == "__main__":
    main()
