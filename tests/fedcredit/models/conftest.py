"""A small dictionary with every kind of feature, and rows for it."""

import numpy as np
import pytest

from fedcredit.data.rows import Rows
from fedcredit.dictionary.schema import DataDictionary, parse_dictionary
from fedcredit.preflight import Preflight, count

DICTIONARY = """
schema_version: 1
name: small
title: Small
source: made up
licence: CC0-1.0
blocks: [applicant, bank, hospital]
institution_types:
  bank: {owns: [applicant, bank], target: {name: default, definition: missed a payment}}
  hospital: {owns: [applicant, hospital], target: {name: default, definition: missed a payment}}
features:
  - {name: income, block: applicant, type: number, unit: EUR, range: [0, 1000], atoms: [0], monotone: decreasing,
     grid: {kind: linear, cells: 5}, data_class: private, purpose: p, basis: b, reason: r}
  - {name: housing, block: applicant, type: category, grid: {kind: categories, codes: {a: owner, b: tenant, c: other}},
     data_class: private, purpose: p, basis: b, reason: r}
  - {name: delay, block: bank, type: integer, unit: months, range: [0, 6], monotone: increasing,
     grid: {kind: integers}, data_class: private, purpose: p, basis: b, reason: r}
  - {name: paid, block: hospital, type: number, unit: EUR, range: [0, 500],
     grid: {kind: linear, cells: 4}, data_class: private, purpose: p, basis: b, reason: r}
"""


@pytest.fixture(scope="session")
def dictionary() -> DataDictionary:
    return parse_dictionary(DICTIONARY.encode())


@pytest.fixture(scope="session")
def make_rows(dictionary):
    """Rows of institutions of the given sizes, whose delay and income tell good from bad."""

    def make(kind: str, sizes: list[int], seed: int = 0) -> Rows:
        rng = np.random.default_rng(seed)
        n = sum(sizes)
        features = dictionary.owned_features(kind)
        cells = np.stack([rng.integers(0, f.n_cells, n) for f in features], axis=1).astype(np.uint16)
        risk = (cells[:, -1] - 2.0) * 0.5 - 0.4 * cells[:, 0]
        bad = (rng.random(n) < 1 / (1 + np.exp(-risk))).astype(np.uint8)
        return Rows(cells, bad, np.cumsum([0, *sizes]).astype(np.int64))

    return make


@pytest.fixture(scope="session")
def release_counts():
    """Noisy (or exact) preflight of some rows."""

    def release(dictionary: DataDictionary, rows: dict[str, Rows], stddev: float = 0.0, seed: int = 0) -> Preflight:
        rng = np.random.default_rng(seed)
        total = sum(count(dictionary, kind, some).sum(axis=0) for kind, some in rows.items())
        ends = np.cumsum([2 * f.n_cells for f in dictionary.features])[:-1]
        parts = [part.reshape(-1, 2).astype(np.float64) for part in np.split(total, ends)]
        noisy = tuple(part + stddev * rng.standard_normal(part.shape) for part in parts)
        return Preflight(noisy, (stddev,) * len(parts))

    return release
