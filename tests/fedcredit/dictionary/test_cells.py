import numpy as np
import pytest

from fedcredit.data.uci import uci_dictionary
from fedcredit.dictionary.cells import cell_bounds, feature_cells
from fedcredit.dictionary.grid import quantise_numbers


def test_numbers_with_an_atom(small):
    cells = feature_cells(small.features[0])
    assert [cell.label for cell in cells][:3] == ["0 or less", "above 0 to < 100", "100 to < 200"]
    assert [cell.label for cell in cells][-2:] == ["900 or more", "missing"]
    assert [cell.value for cell in cells][:3] == [0.0, pytest.approx(50), 150.0]
    assert cells[-1].value is None


def test_integers(small):
    cells = feature_cells(small.features[1])
    assert [cell.label for cell in cells] == ["0 or less", "1", "2", "3", "4", "5 or more", "missing"]
    assert [cell.value for cell in cells] == [0, 1, 2, 3, 4, 5, None]


def test_categories(small):
    assert [cell.label for cell in feature_cells(small.features[2])] == ["farm", "shop", "other", "missing"]
    assert cell_bounds(small.features[2]) == ()


@pytest.mark.parametrize("feature", uci_dictionary().features, ids=lambda f: f.name)
def test_every_typical_value_falls_into_its_own_cell(feature):
    cells = feature_cells(feature)
    assert len(cells) == feature.n_cells
    assert len({cell.label for cell in cells}) == len(cells)
    if feature.range is not None:
        values = np.array([cell.value for cell in cells[:-1]], dtype=np.float64)
        assert quantise_numbers(values, feature.cuts, *feature.range).tolist() == list(range(len(values)))
