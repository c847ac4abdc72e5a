"""The page in a browser: nothing on the console, every figure there, nothing wider than a phone."""

from pathlib import Path

import pytest

from fedcredit.report.figures import figures_of
from fedcredit.report.inputs import ReportInputs
from fedcredit.report.page import render_page
from fedcredit.report.report import report_of
from tests.headless_chromium import chromium

WIDTHS = {"phone": 390, "desktop": 1280}
UNREADABLE = (
    "[...document.querySelectorAll('figure svg')].filter(one => one.getBoundingClientRect().width < 200).length"
)


@pytest.mark.system("chromium")
def test_the_page_opens_and_fits(simulated: ReportInputs, tmp_path: Path) -> None:
    report = report_of(simulated)
    drawings = figures_of(report)
    place = tmp_path / "report.html"
    place.write_text(render_page(report, drawings), encoding="utf-8")
    with chromium(tmp_path / "profile") as page:
        page.open(place)
        assert page.complaints() == []
        assert page.value("document.querySelectorAll('figure svg').length") == len(drawings)
        assert page.value("document.querySelectorAll('h2').length") == 12
        for width in WIDTHS.values():
            page.resize(width)
            assert page.value("document.documentElement.scrollWidth") == width
            assert page.value(UNREADABLE) == 0
        ink = []
        for scheme in ("light", "dark"):
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            ink.append(page.value("getComputedStyle(document.querySelector('figure svg text')).fill"))
        assert ink[0] != ink[1]
        assert page.complaints() == []


@pytest.mark.system("chromium")
def test_the_browser_would_complain_of_a_script(tmp_path: Path) -> None:
    """A page that breaks both rules is caught by both."""
    place = tmp_path / "bad.html"
    place.write_text("<script>console.error('no'); undefined_name()</script><div style='width: 999px'>wide</div>")
    with chromium(tmp_path / "profile") as page:
        page.resize(390)
        page.open(place)
        assert len(page.complaints()) == 2
        assert page.value("document.documentElement.scrollWidth") > 390
