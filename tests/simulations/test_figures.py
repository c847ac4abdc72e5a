import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from simulations.figures import (
    INK,
    STYLES,
    Drawing,
    InstitutionAuc,
    Reliability,
    RocCurve,
    inline_svg,
    institution_figure,
    reliability_figure,
    roc_figure,
)

GRID = np.linspace(0, 1, 11)


@cache
def roc() -> Drawing:
    return roc_figure([RocCurve("alone", GRID, GRID**0.5, 0.667), RocCurve("joint", GRID, GRID**0.4, 0.714)])


@cache
def reliability() -> Drawing:
    p = np.array([0.05, 0.2, 0.5])
    return reliability_figure([Reliability("released", p, p + 0.02, p - 0.03, p + 0.06, np.array([100.0, 80.0, 20.0]))])


@cache
def institutions() -> Drawing:
    return institution_figure(
        [
            InstitutionAuc("bank-1", 0.74, 0.75, 0.76),
            InstitutionAuc("bank-2", 0.75, 0.75, 0.745),
            InstitutionAuc("bank-3", None, 0.75, 0.76),
        ]
    )


DRAWINGS = pytest.mark.parametrize("draw", [roc, reliability, institutions])


@DRAWINGS
def test_svg_is_well_formed_and_png_is_png(draw: Callable[[], Drawing]) -> None:
    drawing = draw()
    assert ET.fromstring(drawing.svg).tag.endswith("svg")
    assert drawing.png.startswith(b"\x89PNG")
    assert len(drawing.alt) > 40


@DRAWINGS
def test_equal_input_gives_equal_bytes(draw: Callable[[], Drawing]) -> None:
    assert draw.__wrapped__() == draw()  # type: ignore[attr-defined]  # past the cache


@DRAWINGS
def test_inline_svg_takes_the_pages_colour_and_has_its_own_ids(draw: Callable[[], Drawing]) -> None:
    body = inline_svg(draw(), "fig-1")
    assert body.startswith("<svg ")
    assert INK not in body
    assert "currentColor" in body
    ids = re.findall(r'\bid="([^"]+)"', body)
    assert all(name.startswith("fig-1-") for name in ids)
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', body)
    assert {first or second for first, second in used} <= set(ids)
    ET.fromstring(body.replace("xlink:href", "href"))


def test_text_stays_text() -> None:
    texts = [element.text for element in ET.fromstring(roc().svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "joint (AUC 0.714)" in texts
    assert "bad cases caught" in texts


def test_series_differ_without_colour() -> None:
    assert len({line for _, line, _ in STYLES}) == len({marker for *_, marker in STYLES}) == len(STYLES)


def test_words_say_what_is_drawn() -> None:
    assert "joint 0.714" in roc().alt
    assert "20% predicted 22% observed" in reliability().alt
    assert "200 records" in reliability().alt
    assert "above alone at 1 of 2; the gain is -0.005 to +0.020" in institutions().alt


def test_many_institutions_keep_a_bounded_height() -> None:
    drawing = institution_figure([InstitutionAuc(f"bank-{i}", 0.7, 0.71, 0.72) for i in range(300)])
    assert "bank-7" not in drawing.svg
    assert float(ET.fromstring(drawing.svg).attrib["height"].removesuffix("pt")) < 500


def test_empty_series_draw_without_warning() -> None:
    none = np.zeros(0)
    assert "no records" in reliability_figure([Reliability("released", none, none, none, none, none)]).alt
    assert institution_figure([InstitutionAuc("a", None, None, None)]).alt.endswith("joint.")
    assert institution_figure([]).alt.endswith("joint.")


def test_files_are_written(tmp_path: Path) -> None:
    roc().write(tmp_path, "roc")
    assert (tmp_path / "roc.svg").read_text(encoding="utf-8") == roc().svg
    assert (tmp_path / "roc.png").read_bytes() == roc().png
