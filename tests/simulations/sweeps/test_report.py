"""The report of a sweep: which files it leaves, that they stand alone, and that equal sweeps give equal files."""

from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from simulations.report import main, report


class Page(HTMLParser):
    """Headings, cells and what the page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        named = dict(attrs)
        self.loads += (
            [named[key] for key in ("src", "href") if named.get(key)] if tag in ("img", "script", "link") else []
        )

    def handle_data(self, data) -> None:
        self.words.append(data.strip())


def test_the_report_draws_what_varied_on_a_page_that_stands_alone(make_sweep, monkeypatch) -> None:
    monkeypatch.setattr("simulations.report.MOST_DRAWN", 3)
    page = report(
        make_sweep({"privacy.placement": ["local", "central"], "privacy.epsilon": [1.0, 4.0], "seed": [0, 1]})
    )
    figures = sorted(path.name for path in (page.parent / "figures").iterdir())
    names = ["auc-by-epsilon", "gain-by-epsilon", "institutions"]
    assert figures == sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))
    for path in (page.parent / "figures").glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")
    assert (page.parent / "NOT_PRIVATE.txt").read_text().startswith("NOT PRIVATE")

    told = Page(page.read_text())
    words = " ".join(told.words)
    assert told.loads == []
    assert "8 runs of 4 settings" in words
    assert "1 more are in the table" in words
    assert f"{0.772 - 0.03 + 0.0005:.4f} ± 0.0007" in words
    assert "ε 4, central noise" in words
    assert "0 of 2" in words  # no bank gains under local noise at ε = 1
    assert "2 of 2" in words


def test_equal_sweeps_give_equal_files(make_sweep) -> None:
    folder = make_sweep({"privacy.epsilon": [1.0, 4.0]}, compare=False)
    before = {path: path.read_bytes() for path in report(folder).parent.rglob("*") if path.is_file()}
    assert len(before) == 4
    report(folder)
    assert {path: path.read_bytes() for path in before} == before


def test_without_rivals_there_is_no_gain(make_sweep) -> None:
    page = report(make_sweep({"privacy.epsilon": [1.0, 4.0]}, compare=False))
    assert [path.name for path in (page.parent / "figures").glob("*.svg")] == ["auc-by-epsilon.svg"]
    assert "gain over training alone" not in page.read_text()


def test_a_folder_that_is_no_sweep_is_refused(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "holds no finished point" in said
    assert list(tmp_path.iterdir()) == []
