import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from fedcredit.evaluation.score_grid import DEFAULT_RANGE, score_bins
from fedcredit.evaluation.summary import evaluate_release
from simulations.figures import RocCurve, roc_figure
from simulations.page import UCI_LIMITS, PageFigure, Points, RunPage, render_page
from simulations.results import Federated, PlanSummary, RunResult

GRID = score_bins(20, *DEFAULT_RANGE, 1024)
VOID = {"meta", "br", "link", "img"}


class Balance(HTMLParser):
    """Collects tags, and fails on one that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def page(run_result: RunResult, plan_summary: PlanSummary) -> RunPage:
    counts = np.stack([np.linspace(60, 5, 20), np.linspace(2, 20, 20)])[None]
    curve = RocCurve("joint <model>", np.array([0.0, 0.3, 1.0]), np.array([0.0, 0.8, 1.0]), 0.75)
    return RunPage(
        title="Two banks & a hospital",
        created="2026-07-01",
        data="UCI default of credit card clients.",
        settings={"privacy.epsilon": "1", "data": "<script>alert(1)</script>"},
        plan=plan_summary,
        result=run_result,
        released=evaluate_release(counts, GRID, 2.0),
        figures=[PageFigure("roc", "ROC", roc_figure([curve]))],
        points=[Points("limit", "0 to 1,200", -23.4), Points("limit", "missing", 0.0), Points("age", "< 30", 31.0)],
        points_scale="600 points stand for odds of 20 to 1.",
        joint_weight=None,
        limits=UCI_LIMITS,
    )


def test_page_is_balanced_self_contained_and_without_script(page: RunPage) -> None:
    parser = Balance()
    parser.feed(render_page(page))
    assert parser.open == []
    assert not parser.seen & {"script", "link", "iframe", "img"}
    assert all(address.startswith("#") for address in parser.addresses)
    assert "svg" in parser.seen


def test_text_is_escaped(page: RunPage) -> None:
    text = render_page(page)
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "Two banks &amp; a hospital" in text
    assert "&lt; 30" in text
    assert "joint &lt;model&gt; 0.750" in text


def test_it_is_stamped_before_anything_else(page: RunPage) -> None:
    text = render_page(page)
    body = text[text.index("<body>") :]
    assert body.index("NOT PRIVATE: exact simulation figures") < body.index("<h1>")


def test_it_holds_privacy_results_figures_points_and_limits(page: RunPage) -> None:
    text = render_page(page)
    for words in (
        "δ = 1e-05; unit: record; adjacency",
        "packets are not masked",
        "placement: local · masks: off (simulation)",
        "<li>Noise placement: local (as asked for).</li>",
        "ε coord.+1 (t)",
        "ε coord.+half",
        "What this does not cover",
        "0.948",
        "alone*: bank-2",
        "95 % interval 0.689 to 0.795",
        "Calibration as released",
        "-23",
        "stand-in",
        "λ = 0",
    ):
        assert words in text
    assert re.search(r'role="img" aria-label="ROC curves', text)


def test_a_fitted_joint_view_drops_its_limit(page: RunPage) -> None:
    text = render_page(replace(page, joint_weight=0.25))
    assert "λ = 0.25" in text
    assert "No view that joins" not in text
    assert "No view that joins" not in render_page(replace(page, joint_weight=0.0))


def test_a_run_without_noise_claims_nothing(page: RunPage) -> None:
    privacy = {
        name: replace(
            one, epsilon_t=None, epsilon_all_others=None, epsilon_planned=None, epsilon_spent=None, delta=None
        )
        for name, one in page.result.privacy.items()
    }
    result = replace(page.result, privacy=privacy, noise="none", placement="none")
    text = render_page(replace(page, result=result))
    assert "No noise was added" in text
    assert "no privacy guarantee" in text
    central = render_page(replace(page, result=replace(result, noise="os", placement="central")))
    assert "No noise was added" not in central
    assert "no privacy guarantee" in central
    assert "adds noise to everything" not in text


@pytest.mark.parametrize(("masks", "placement"), [("on", "distributed"), ("off (simulation)", "local")])
def test_the_headline_is_the_plan(page: RunPage, masks: str, placement: str) -> None:
    """Shares of noise without masks leave more to be seen than was planned, which the headline says."""
    privacy = {name: replace(one, epsilon_t=9.0) for name, one in page.result.privacy.items()}
    result = replace(page.result, privacy=privacy, masks=masks, placement=placement)
    text = render_page(replace(page, result=result))
    assert "ε 1<small>coordinator with 1 colluding</small>" in text
    shortcut = replace(result, masks="off (simulation)", placement="distributed")
    text = render_page(replace(page, result=shortcut))
    assert "ε 1<small>coordinator with 1 colluding, had vectors been masked</small>" in text


def test_each_epsilon_stands_in_its_column(page: RunPage) -> None:
    numbers = ("outsider", "t", "one_colludes", "half_collude", "all_others", "planned", "spent")
    values = {f"epsilon_{name}": 2.0 + index for index, name in enumerate(numbers)}
    privacy = {name: replace(one, **values) for name, one in page.result.privacy.items()}
    text = render_page(replace(page, result=replace(page.result, privacy=privacy)))
    row = text[text.index('<tr><th scope="row">bank-1</th>') :]
    assert re.findall(r"<td[^>]*>([\d.]+)</td>", row[: row.index("</tr>")]) == [f"{2 + index}" for index in range(7)]
    headings = re.findall(r'<th scope="col" class="n">(ε [^<]*)</th>', text)
    assert headings == [
        "ε outsiders",
        "ε coord.+1 (t)",
        "ε coord.+1",
        "ε coord.+half",
        "ε coord.+all others",
        "ε planned",
        "ε spent",
    ]


def test_missing_figures_are_named(page: RunPage) -> None:
    nothing = replace(page.result, federated=Federated(None, None, None, None, None))
    empty = evaluate_release(np.zeros((1, 2, 20)), GRID)
    text = render_page(replace(page, result=nothing, released=empty, figures=(), points=()))
    assert "no records" in text
    assert "Calibration as released" not in text
    assert "<h2>Scorecard" not in text
    assert "not evaluated" in render_page(replace(page, result=nothing, released=None))
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower()
