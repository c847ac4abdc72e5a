"""The page and the card: whole, self-contained, escaped, and with every part in them."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from fedcredit.evaluation.figure import Figure, unknown
from fedcredit.report.card import card_of, render_card
from fedcredit.report.drawing import INK, STYLES, Drawing
from fedcredit.report.figures import figures_of, roc_figure
from fedcredit.report.inputs import ReportInputs
from fedcredit.report.page import decimal, percent, render_page, sentence, shown, signed, whole
from fedcredit.report.report import Report, report_of

VOID = {"meta", "br", "link", "img"}


class Balance(HTMLParser):
    """Collects tags, and fails on one that is closed out of order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report(simulated: ReportInputs) -> Report:
    return report_of(simulated)


@pytest.fixture(scope="module")
def drawings(report: Report) -> tuple[Drawing, ...]:
    return figures_of(report)


@pytest.fixture(scope="module")
def page(report: Report, drawings: tuple[Drawing, ...]) -> str:
    return render_page(report, drawings)


def test_it_is_balanced_self_contained_and_without_script(page: str) -> None:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert not {"script", "iframe", "img"} & set(parser.seen)
    assert all(address.startswith(("#", "data:,")) for address in parser.addresses)
    assert len(parser.ids) == len(set(parser.ids))


def test_every_part_has_its_heading(page: str) -> None:
    assert re.findall(r'<h2 id="part-(\d+)">(\d+)\.', page) == [(str(n), str(n)) for n in range(1, 13)]


def test_text_is_escaped(page: str) -> None:
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_simulation_is_stamped_and_a_deployed_job_is_not(page: str, inputs: ReportInputs) -> None:
    body = page[page.index("<body>") :]
    assert body.index("NOT PRIVATE: exact simulation figures") < body.index("<h1>")
    assert "NOT PRIVATE" not in render_page(report_of(inputs), ())


def test_drawings_have_words_and_follow_the_page_s_ink(page: str, drawings: tuple[Drawing, ...]) -> None:
    names = [one.name for one in drawings]
    assert names[:4] == ["roc", "gains", "calibration", "cut-off"]
    assert names[-2:] == ["weight", "institutions"]
    assert page.count("<svg ") == len(drawings) == page.count("<desc ")
    for one in drawings:
        assert ET.fromstring(one.inline.replace("xlink:href", "href")).attrib["role"] == "img"
        assert INK not in one.inline
        assert one.alt in page or one.alt.replace("&", "&amp;") in page


def test_equal_reports_give_equal_bytes(report: Report, drawings: tuple[Drawing, ...], page: str) -> None:
    assert roc_figure(report.discrimination) == drawings[0]
    assert render_page(report, drawings) == page


def test_series_differ_without_colour() -> None:
    assert len({str(line) for _, line, _, _ in STYLES}) == len({marker for *_, marker, _ in STYLES}) == len(STYLES)


def test_a_report_without_figures_says_why(simulated: ReportInputs) -> None:
    counts = replace(simulated.counts, grid=None, groupings=())
    empty = report_of(replace(simulated, counts=counts, model={"family": "mlp"}, metrics=None))
    assert figures_of(empty) == ()
    text = render_page(empty, ())
    assert "phase evaluate did not run" in text
    assert "has no points table" in text
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower()
    assert "not measured" in render_card(card_of(empty))


def test_numbers_are_printed_with_a_minus_and_without_a_negative_zero() -> None:
    assert (percent(-0.0312), percent(-0.00001), percent(None)) == ("−3.1 %", "0.0 %", "n/a")
    assert (decimal(-0.5, 1), decimal(-0.0001, 1)) == ("−0.5", "0.0")
    assert (signed(0.01, 2), signed(-0.01, 2), signed(None)) == ("+0.01", "−0.01", "")
    assert whole(-1234.4) == "−1,234"
    assert sentence("not measured: why") == sentence("not measured: why.") == "Not measured: why."
    assert shown(Figure(0.1, -0.02, 0.3, 0.1, 0.1), "signed percent") == ("+10.0 %", "−2.0 to +30.0 %")
    assert shown(unknown("no cases"), "3") == ("n/a", "no cases")
    assert shown(None, "3") == ("–", "")


def test_the_card_is_the_report_in_short(report: Report) -> None:
    card = card_of(report)
    text, tree = render_card(card), json.loads(card.to_text())
    assert tree["schema"] == "fedcredit-card/1"
    assert tree["plan"] == report.signatures.plan
    assert tree["model"] == report.signatures.files["model.json"]
    for heading in ("Purpose", "Privacy", "Discrimination and calibration", "Cut-off", "Stability", "Groups", "Limits"):
        assert f"\n## {heading}\n" in text
    for line in (line for line in text.splitlines() if line.startswith("|")):
        assert line.endswith("|")
    assert "compliant" not in text
